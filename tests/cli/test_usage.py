"""Wrong usage, a rejected configuration and a bug each have their own exit code and a clear message
on stderr.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Desk
from tracesidecar import __version__
from tracesidecar.cli import COMMANDS, main

REJECTED = '[[source]]\nname = "a"\ninclude = ["t/*.jsonl"]\n'


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("shipp",),
        ("--colour", "run"),
        ("ship",),
        ("status", "--jsn"),
        ("quarantine",),
        ("quarantine", "show", "x"),
        ("exec",),
        ("exec", "--"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_64_with_a_message_on_stderr(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert command in said.out
    assert "--config" in said.out


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {command} " in overview for command in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("ship", "--once"),
        ("exec", "--", "true"),
        ("check-config",),
        ("status",),
        ("redact",),
    ],
    ids=" ".join,
)
def test_a_rejected_configuration_exits_78_with_one_sentence(
    desk: Desk, words: tuple[str, ...]
) -> None:
    desk.write("tracesidecar.toml", REJECTED)
    done = desk.call(*words)
    assert (done.returncode, done.stdout) == (78, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith(
        "tracesidecar.toml:1: sink: there is no [[sink]] block: at least one must say where to "
        "ship to"
    )


def test_the_configuration_may_be_named_before_and_after_the_command(desk: Desk) -> None:
    path = str(desk.write("other.toml", REJECTED))
    for words in (
        ("--config", path, "check-config"),
        ("check-config", "--config", path),
        (f"--config={path}", "check-config"),
    ):
        done = desk.call(*words)
        assert (done.returncode, "other.toml:1: sink" in done.stderr) == (78, True)


def test_every_way_to_ask_for_the_version_works(desk: Desk) -> None:
    assert (
        desk.call("version").stdout
        == desk.call("--version").stdout
        == f"tracesidecar {__version__}\n"
    )
    assert desk.document("version")["version"] == __version__


def test_a_reader_that_goes_away_ends_a_command_quietly(desk: Desk) -> None:
    command = f"{PROGRAM} config-schema | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        env=desk.environment(),
        cwd=desk.folder,
        check=False,
    )
    assert done.stderr == b""
    assert done.returncode in {0, 141}


def test_a_bug_exits_1_and_its_message_is_not_shown(desk: Desk) -> None:
    """An exception's message may quote what was read, so only its origin is reported."""
    program = (
        "import sys, tracesidecar.cli as cli, tracesidecar.cli.commands.version as version\n"
        "def fail(arguments): raise ValueError('a line of a trace')\n"
        "version.execute = fail\n"
        "sys.exit(cli.main(['version']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "a line of a trace" not in done.stderr


def test_a_state_directory_in_use_exits_75_with_the_reason_locked(
    desk: Desk, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    desk.write(
        "tracesidecar.toml",
        f'state_directory = "{state}"\n{REJECTED}[[sink]]\nname = "l"\ntype = "directory"\n'
        'path = "lake"\n',
    )
    program = (
        f"import fcntl, sys; lock = open({str(state / 'lock')!r}, 'w'); fcntl.flock(lock, "
        "fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        done = desk.call("ship", "--once", "--json")
        holder.communicate(b"")
    assert done.returncode == 75
    assert json.loads(done.stdout)["reason"] == "locked"
    assert "is in use" in done.stderr


def test_a_light_command_loads_nothing_heavy(desk: Desk) -> None:
    program = (
        "import sys; from tracesidecar.cli import main; main(['version']); "
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=desk.folder, check=True
    )
    assert not {
        "rich",
        "hyperscan",
        "re2",
        "aiohttp",
        "boto3",
        "watchdog",
        "prometheus_client",
        "tomli",
        "asyncio",
    } & set(eval(done.stdout.splitlines()[1]))


def test_the_configuration_may_be_named_behind_a_commands_own_words(desk: Desk) -> None:
    path = str(desk.folder / "nowhere.toml")
    for words in (
        ("quarantine", "--config", path, "list"),
        ("quarantine", "list", "--json", "--config", path),
    ):
        said = desk.call(*words)
        assert said.returncode == 78, said.stderr
        assert "nowhere.toml" in said.stderr
