"""Without a configuration, the agents that are there are followed into a lake of this user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracesidecar.cli.commands.init import configuration_text
from tracesidecar.config.load import load
from tracesidecar.tail import GlobPattern


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def sources(environ: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {source.name: source.include for source in load(None, environ).configuration.source}


def test_nothing_found_leaves_the_traces_folder_to_watch(home: Path) -> None:
    loaded = load(None, {"HOME": str(home)})
    (source,), (sink,) = loaded.configuration.source, loaded.configuration.sink
    assert (loaded.path, loaded.warnings) == (None, ())
    assert (source.name, source.include, source.repair) == (
        "traces",
        (f"{home}/work/traces/**/*.jsonl",),
        True,
    )
    assert (sink.type, sink.format, getattr(sink, "path", None)) == (
        "directory",
        "event",
        f"{home}/.local/share/tracesidecar/lake",
    )
    assert sink.batch.idle <= 2
    assert loaded.configuration.state_directory == f"{home}/.local/state/tracesidecar"


def test_each_agent_that_is_there_becomes_a_source(home: Path) -> None:
    for folder in (
        ".claude/projects",
        ".codex/sessions",
        ".copilot/session-state",
        ".gemini/tmp",
        ".qwen/projects",
        ".cursor/projects",
    ):
        (home / folder).mkdir(parents=True)
    (home / ".pi/agent/sessions").mkdir(parents=True)
    (home / ".kimi-code/sessions").mkdir(parents=True)
    (home / "work/.attocode/traces").mkdir(parents=True)
    found = sources({"HOME": str(home)})
    assert list(found) == [
        "claude-code",
        "codex",
        "copilot",
        "gemini",
        "qwen",
        "cursor",
        "pi",
        "kimi",
        "attocode",
        "traces",
    ]
    assert found["claude-code"] == (f"{home}/.claude/projects/**/*.jsonl",)
    assert found["kimi"] == (f"{home}/.kimi-code/sessions/*/*/agents/*/wire.jsonl",)
    assert found["attocode"] == (f"{home}/work/.attocode/traces/*.jsonl",)


def test_the_agents_own_variables_are_honoured(home: Path) -> None:
    for folder in ("c/projects", "x/sessions", "g/.gemini/tmp", "m"):
        (home / folder).mkdir(parents=True)
    environ = {"HOME": str(home), "CLAUDE_CONFIG_DIR": f"{home}/c", "CODEX_HOME": f"{home}/x"}
    environ |= {"GEMINI_CLI_HOME": f"{home}/g", "MACHINA_TRACE_DIR": f"{home}/m"}
    found = sources(environ)
    assert found["claude-code"] == (f"{home}/c/projects/**/*.jsonl",)
    assert found["codex"] == (
        f"{home}/x/sessions/**/rollout-*.jsonl",
        f"{home}/x/sessions/**/rollout-*.jsonl.zst",
    )
    assert found["gemini"] == (f"{home}/g/.gemini/tmp/*/chats/**/*.jsonl",)
    assert found["machina"] == (f"{home}/m/**/*.jsonl",)


def test_prompt_histories_are_left_out(home: Path) -> None:
    (home / ".claude/projects").mkdir(parents=True)
    (claude, _) = load(None, {"HOME": str(home)}).configuration.source
    assert "**/history.jsonl" in claude.exclude


@pytest.mark.parametrize("folder", ["[ab]", "*", "a?c", "[!x]", "[", "]x[*]"])
def test_characters_of_a_folder_are_no_wildcards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """By default, in what `init` writes, and where a configuration begins at its own folder."""
    place = tmp_path / folder
    for each in (place, tmp_path / "a", tmp_path / "abc"):
        (each / "traces").mkdir(parents=True)
        (each / "traces" / "x.jsonl").touch()
        (each / ".codex" / "sessions").mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    environ = {"HOME": str(place)}
    written = place / "written.toml"
    written.write_text(configuration_text(str(place)))
    relative = place / "relative.toml"
    relative.write_text(
        '[[source]]\nname = "traces"\ninclude = ["traces/**/*.jsonl"]\n'
        '[[source]]\nname = "at-home"\ninclude = ["~/traces/x.jsonl"]\n'
        '[[sink]]\nname = "lake"\ntype = "directory"\npath = "lake"\n'
    )
    for path in (None, str(written), str(relative)):
        configuration = load(path, environ).configuration
        for source in configuration.source:
            patterns = [GlobPattern.parse(glob) for glob in source.include]
            roots = {pattern.root for pattern in patterns}
            assert all(root.startswith(str(place)) for root in roots), (path, roots)
            reached = [
                each
                for each in sorted(tmp_path.rglob("x.jsonl"))
                if any(pattern.reaches(str(each)) for pattern in patterns)
            ]
            expected = [] if source.name == "codex" else [place / "traces" / "x.jsonl"]
            assert reached == expected, (path, source.include)
        assert path is not None or "codex" in {source.name for source in configuration.source}


def test_a_pattern_that_only_looks_escaped_keeps_its_wildcards() -> None:
    pattern = GlobPattern.parse("/a/[*]b/[ab]*/[?]x.jsonl")
    assert pattern.root == "/a/*b"
    assert pattern.reaches("/a/*b/axx/?x.jsonl")
    assert not pattern.reaches("/a/bb/axx/?x.jsonl")
    assert not pattern.reaches("/a/*b/axx/yx.jsonl")
