"""The reading commands work beside a running daemon, and `exec` hands the agent's end on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Desk
from tests.servers.processes import wait_until

CONFIGURATION = """\
state_directory = "../state"
[daemon]
listen = ""
poll_interval = "100ms"
[[source]]
name = "agent"
include = ["traces/*.jsonl"]
[[sink]]
name = "lake"
type = "directory"
path = "lake"
batch = { age = "200ms", idle = "50ms" }
"""


@pytest.fixture
def daemon(desk: Desk) -> Iterator[Desk]:
    """A desk with a daemon that has shipped two lines."""
    desk.write("tracesidecar.toml", CONFIGURATION)
    desk.write("traces/a.jsonl", "1\n2\n")
    with (
        (desk.folder / "log").open("wb") as log,
        subprocess.Popen(
            [PROGRAM, "run"], stderr=log, env=desk.environment(), cwd=desk.folder
        ) as process,
    ):
        try:
            wait_until(
                lambda: (
                    any((desk.folder / "lake").glob("raw/v1/*/*.gz")) or process.poll() is not None
                )
            )
            wait_until(lambda: count_delivered(desk) == 2)
            yield desk
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(600)


def count_delivered(desk: Desk) -> int:
    done = desk.call("status", "--json")
    return (
        int(json.loads(done.stdout)["sinks"][0]["delivered_lines"]) if done.returncode == 0 else 0
    )


def test_status_of_a_running_daemon_is_running(daemon: Desk) -> None:
    status = daemon.document("status")
    assert status["running"] is True
    assert (status["sinks"][0]["delivered_lines"], status["sinks"][0]["lag_bytes"]) == (2, 0)
    assert status["sinks"][0]["state"] not in {"stopped", "not started"}


def test_a_second_daemon_reports_which_process_holds_the_state_directory(daemon: Desk) -> None:
    done = daemon.call("ship", "--once")
    assert done.returncode == 75
    assert "is in use by process" in done.stderr


def test_explain_works_beside_the_daemon(daemon: Desk) -> None:
    (ranges,) = daemon.document("explain", "traces/a.jsonl")["ranges"]
    assert [(piece["start"], piece["end"], piece["state"]) for piece in ranges["pieces"]] == [
        (0, 4, "delivered")
    ]


def test_exec_ships_what_the_agent_writes_and_exits_with_its_code(desk: Desk) -> None:
    desk.write("tracesidecar.toml", CONFIGURATION)
    done = desk.call(
        "exec", "--", "sh", "-c", "mkdir -p traces; echo '{\"a\":1}' > traces/b.jsonl; exit 3"
    )
    assert done.returncode == 3
    assert count_delivered(desk) == 1


def test_the_agents_own_options_are_not_ours(desk: Desk) -> None:
    path = desk.write("other.toml", CONFIGURATION)
    for words in (("exec", "--config", str(path), "--"), ("--config", str(path), "exec")):
        done = desk.call(
            *words,
            "sh",
            "-c",
            'test "$*" = "--config x --json -- y"',
            "sh",
            "--config",
            "x",
            "--json",
            "--",
            "y",
        )
        assert done.returncode == 0, done.stderr
    assert Path(desk.folder.parent / "state").is_dir()
