"""`/readyz`, systemd's status line and `status` say why the daemon is not ready."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until

DEAD = '[[sink]]\nname = "far"\ntype = "http"\nurl = "http://127.0.0.1:9/"\n'
STRANGER = 54_321


def _close_to_us(folder: Path) -> tuple[str, ...]:
    """Let nobody list the folder; return how to start a program that cannot either."""
    folder.chmod(0o700)
    if os.geteuid():
        folder.chmod(0)
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed, and root may list everything")
    os.chown(folder, STRANGER, STRANGER)
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def _open_to_us(folder: Path) -> None:
    if not os.geteuid():
        os.chown(folder, 0, 0)
    folder.chmod(0o700)


@pytest.mark.long
def test_a_directory_that_cannot_be_listed_is_named_until_it_can(sidecar: Sidecar) -> None:
    folder = sidecar.traces / "closed"
    folder.mkdir()
    append(folder / "a.jsonl", number_lines(0, 3))
    sidecar.prefix = _close_to_us(folder)
    reason = (
        f"source agent: the directory {folder} cannot be listed (Permission denied): "
        "let the daemon's user read it"
    )
    address = sidecar.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(120)
        sidecar.start(NOTIFY_SOCKET=str(address))
        while f"STATUS=not ready: {reason}; " not in manager.recv(4096).decode():
            pass
    assert sidecar.get("/readyz") == (503, f"{reason}\n".encode())
    metrics = sidecar.get("/metrics")[1]
    assert b'tracesidecar_unreadable{source="agent"} 1.0' in metrics
    assert b"tracesidecar_ready 0.0" in metrics
    document = json.loads(sidecar.ask("status", "--json").stdout)
    assert (document["ready"], document["why_not"]) == (False, [reason])
    assert f"not ready: {reason}".encode() in sidecar.ask("status").stdout
    _open_to_us(folder)
    sidecar.arrives(3)
    wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"))
    assert b'tracesidecar_unreadable{source="agent"} 0.0' in sidecar.get("/metrics")[1]
    assert sidecar.stop() == 0


@pytest.mark.parametrize("mode", [0o700, 0o744], ids=["not listed", "listed and not entered"])
def test_a_directory_that_is_closed_while_running_is_named_at_once(
    sidecar: Sidecar, mode: int
) -> None:
    """Long before the next poll that would look at every directory, 30 s later."""
    folder = sidecar.traces / "closed"
    (folder / "below").mkdir(parents=True)
    append(folder / "below" / "a.jsonl", number_lines(0, 3))
    sidecar.prefix = _close_to_us(folder)
    _open_to_us(folder)
    sidecar.start()
    sidecar.arrives(3)
    wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"))
    _close_to_us(folder)
    if os.geteuid() == 0:
        folder.chmod(mode)
    named = folder if mode == 0o700 or os.geteuid() else folder / "below"
    reason = f"source agent: the directory {named} cannot be listed (Permission denied)"
    wait_until(lambda: sidecar.get("/readyz")[1].decode().startswith(reason), seconds=20)
    _open_to_us(folder)
    wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"), seconds=20)
    assert sidecar.stop() == 0


def test_a_root_that_nobody_has_made_yet_is_no_reason(sidecar: Sidecar) -> None:
    sidecar.traces.rmdir()
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"))
    sidecar.traces.mkdir()
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    sidecar.arrives(3)
    assert sidecar.stop() == 0


def test_a_required_sink_that_cannot_connect_is_named_with_what_came_back(
    sidecar: Sidecar,
) -> None:
    optional = DEAD.replace('"far"', '"spare"') + "required = false\n"
    sidecar.configure(LAKE.format(lake=sidecar.lake) + DEAD + optional)
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: b"sink far cannot connect: network" in sidecar.get("/readyz")[1])
    status, reasons = sidecar.get("/readyz")
    assert status == 503
    assert b"spare" not in reasons
    assert sidecar.get("/livez")[0] == 200, "a destination that is away is no reason to restart"
    sidecar.kill()


def test_a_sink_that_is_retried_is_named_with_the_reason_before_it_counts_as_stalled(
    sidecar: Sidecar,
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    address = sidecar.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(120)
        sidecar.start(NOTIFY_SOCKET=str(address))
        sidecar.arrives(3)
        shutil.rmtree(sidecar.lake)
        sidecar.lake.touch()
        append(sidecar.traces / "a.jsonl", number_lines(3, 6))
        while "; lake: running, not_found: could not write" not in manager.recv(4096).decode():
            pass
    assert sidecar.get("/readyz") == (200, b"ok\n")
    assert b"sink lake: not_found: could not write" in sidecar.ask("status").stdout
    (sink,) = json.loads(sidecar.ask("status", "--json").stdout)["sinks"]
    assert "a file is where a folder should be" in sink["trouble"]
    sidecar.kill()


def test_a_rejected_reload_is_named_until_one_succeeds(sidecar: Sidecar) -> None:
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    wait_until(lambda: sidecar.get("/readyz")[0] == 200)
    assert b"tracesidecar_config_reload_success 1.0" in sidecar.get("/metrics")[1]
    good = sidecar.config.read_text()
    sidecar.config.write_text(good + "nonsense = 1\n")
    assert sidecar.daemon is not None
    sidecar.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: sidecar.get("/readyz")[0] == 503)
    (reason,) = sidecar.get("/readyz")[1].decode().splitlines()
    assert re.fullmatch(
        r"the reload at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d was rejected: .*nonsense.*; "
        "the configuration from before stays in force",
        reason,
    )
    asked = sidecar.ask("status", "--json")
    assert asked.returncode == 0
    assert b"nonsense" in asked.stderr
    document = json.loads(asked.stdout)
    assert (document["ready"], document["why_not"]) == (False, [reason])
    assert document["rejected_reload"]["reason"] in reason
    assert 0 <= time.time() - document["rejected_reload"]["at"] < 600
    shown = sidecar.ask("status")
    assert shown.returncode == 0
    assert f"not ready: {reason}\n".encode() in shown.stdout
    assert b"tracesidecar_config_reload_success 0.0" in sidecar.get("/metrics")[1]
    sidecar.config.write_text(good)
    sidecar.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: sidecar.get("/readyz") == (200, b"ok\n"))
    assert b"tracesidecar_config_reload_success 1.0" in sidecar.get("/metrics")[1]
    assert json.loads(sidecar.ask("status", "--json").stdout)["rejected_reload"] is None
    assert sidecar.stop() == 0
