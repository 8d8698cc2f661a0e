"""A configuration is found in its order, its references are replaced, and what is left out has its
default.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.config.conftest import Folder
from tracesidecar.config.load import find, load
from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize import RedactionOptions


def test_the_command_line_comes_before_the_environment_and_that_before_the_folder(
    folder: Folder, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    assert find(None, {}) is None
    folder.write(good)
    assert find(None, {}) == "tracesidecar.toml"
    assert find(None, {"TRACESIDECAR_CONFIG": "/e.toml"}) == "/e.toml"
    assert find("/c.toml", {"TRACESIDECAR_CONFIG": "/e.toml"}) == "/c.toml"


def test_a_configuration_that_cannot_be_read_is_not_passed_over(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    folder.file.symlink_to("gone")
    with pytest.raises(
        ConfigurationError,
        match=r"tracesidecar\.toml: the configuration cannot be read: No such file",
    ):
        load(None, {})


def test_references_are_replaced_and_may_stand_for_numbers_and_flags(
    folder: Folder, good: str
) -> None:
    (folder.path / "hmac").write_text("from-a-file\n")
    folder.environ |= {"LINES": "7", "EMPTY": ""}
    text = good + (
        'required = "${env:REQUIRED:-false}"\n'
        'batch = { lines = "${env:LINES}", age = "${env:EMPTY:-3s}" }\n'
    )
    text += '[redaction]\nhmac_key = "${file:hmac}"\nallow = ["a$${b}", "${env:EMPTY}"]\n'
    configuration = folder.load(text).configuration
    (sink,) = configuration.sink
    assert (sink.required, sink.batch.lines, sink.batch.age) == (False, 7, 3.0)
    assert configuration.redaction.hmac_key == "from-a-file"
    assert configuration.redaction.allow == ("a${b}", "")


def test_a_secret_does_not_print(folder: Folder, good: str) -> None:
    folder.environ["KEY"] = "correct horse"
    configuration = folder.load(good + '[redaction]\nhmac_key = "${env:KEY}"\n').configuration
    assert "correct horse" not in repr(configuration)


def test_what_is_left_out_has_the_documented_default(folder: Folder, good: str) -> None:
    configuration = folder.load(good).configuration
    daemon, (sink,) = configuration.daemon, configuration.sink
    assert (daemon.drain_deadline, daemon.memory_limit, daemon.listen) == (
        25.0,
        48 << 20,
        "127.0.0.1:9464",
    )
    assert (daemon.poll_interval, daemon.held_limit) == (1.0, 10 << 30)
    assert (sink.compression, sink.required, sink.sources, sink.start) == ("gzip", True, (), None)
    assert configuration.redaction == RedactionOptions()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x"}, "/x/tracesidecar"),
        ({}, "{home}/.local/state/tracesidecar"),
    ],
    ids=["systemd", "xdg", "home"],
)
def test_the_state_directory_has_its_place(
    folder: Folder, good: str, environ: dict[str, str], expected: str
) -> None:
    folder.environ |= environ
    text = good.removeprefix('state_directory = "state"\n')
    inspection = folder.inspect(text)
    assert inspection.configuration is not None
    assert inspection.configuration.state_directory == expected.format(home=folder.environ["HOME"])


def test_paths_may_begin_in_the_home_or_beside_the_file(folder: Folder, good: str) -> None:
    text = (
        good.replace("traces/**", "~/t/**")
        .replace('"lake"\n', '"./lake"\n')
        .replace('name = "./lake"', 'name = "lake"')
    )
    text = text.replace(
        '.jsonl"]', '.jsonl"]\nexclude = ["./a/*", "b/*", "**/c"]\nhold_directory = "held"'
    )
    configuration = folder.load(text).configuration
    (source,), (sink,) = configuration.source, configuration.sink
    assert source.include == (f"{folder.environ['HOME']}/t/**/*.jsonl",)
    assert source.exclude == (f"{folder.path}/a/*", "b/*", "**/c")
    assert source.hold_directory == f"{folder.path}/held"
    assert getattr(sink, "path", None) == f"{folder.path}/lake"


def test_a_file_name_that_is_not_utf8_can_be_loaded(folder: Folder, good: str) -> None:
    path = os.fsencode(folder.path) + b"/caf\xe9.toml"
    Path(os.fsdecode(path)).write_text(good)
    assert load(os.fsdecode(path), folder.environ).configuration.source[0].name == "agent"
