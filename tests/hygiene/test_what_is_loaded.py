"""A daemon loads the clients that its sinks need, and no other."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.hygiene.test_layering import HOMES
from tracesidecar.journal import Journal

LIGHT = {"hyperscan", "prometheus_client", "re2", "rich", "tomli", "watchdog"}
"""What every daemon needs, whatever it ships to."""
HEAVY = set(HOMES) - LIGHT
OF_THE_REDACTION = tuple(
    f"tracesidecar.sanitize.{part}" for part in ("sanitizer", "redactor", "detect", "edit")
)
REPORT_LOADED = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
from tracesidecar.cli import main
sys.exit(main())
"""


def test_a_daemon_that_ships_to_syslog_only_has_loaded_no_heavy_client(tmp_path: Path) -> None:
    trace, config = tmp_path / "trace.jsonl", tmp_path / "tracesidecar.toml"
    trace.write_text('{"role":"user","content":"hello"}\n')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as siem:
        siem.bind(("127.0.0.1", 0))
        siem.settimeout(120)
        config.write_text(f"""\
state_directory = "{tmp_path}/state"
[[source]]
name = "agent"
include = ["{trace}"]
[[sink]]
name = "siem"
type = "syslog"
transport = "udp"
host = "127.0.0.1"
port = {siem.getsockname()[1]}
""")
        done = subprocess.run(
            [sys.executable, "-c", REPORT_LOADED, "ship", "--once", "--config", config],
            capture_output=True,
            check=True,
            timeout=600,
        )
        assert siem.recv(65536), "it has shipped"
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "tracesidecar" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("command", ["version", "status", "quarantine list"])
def test_a_command_that_redacts_nothing_loads_neither_the_redaction_nor_the_tailer(
    tmp_path: Path, command: str
) -> None:
    config = tmp_path / "tracesidecar.toml"
    config.write_text(f"""\
state_directory = "{tmp_path}/state"
[[source]]
name = "agent"
include = ["{tmp_path}/*.jsonl"]
[[sink]]
name = "lake"
type = "directory"
path = "{tmp_path}/lake"
""")
    (tmp_path / "state").mkdir(mode=0o700)
    with closing(Journal.open(str(tmp_path / "state"))):
        pass
    done = subprocess.run(
        [sys.executable, "-c", REPORT_LOADED, *command.split(), "--config", config],
        capture_output=True,
        check=True,
        timeout=600,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "tracesidecar.cli" in loaded
    assert not {name for name in loaded if name.startswith(OF_THE_REDACTION)}
    assert "tracesidecar.tail.tailer" not in loaded
