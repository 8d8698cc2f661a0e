"""The daemon waits until a temporary error of the state directory has passed, at both ends of a run
as in between.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until
from tests.warm import warm


@pytest.fixture
def tiny_state(sidecar: Sidecar) -> Iterator[Sidecar]:
    """A state directory on a file system of its own, with the compiled rules."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    sidecar.state = sidecar.folder / "disk" / "state"
    sidecar.state.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(sidecar.state.parent)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this kernel lets nobody mount a tmpfs here")
    warm(sidecar.state)
    sidecar.configure(LAKE.format(lake=sidecar.lake))
    yield sidecar
    sidecar.kill()
    subprocess.run(["umount", str(sidecar.state.parent)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free in a file system; return the file that takes them."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def lock_journal(state: Path) -> sqlite3.Connection:
    """Lock the journal as another process would: for as long as the connection is open."""
    other = sqlite3.connect(state / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def waits_for_state(sidecar: Sidecar) -> None:
    """The daemon lives, says once in the log why it waits, and says so on its pages."""
    sidecar.wait_for_event("state.unavailable")
    assert not sidecar.has_ended()
    assert sidecar.get("/livez")[0] == 200
    code, why = sidecar.get("/readyz")
    assert code == 503
    assert str(sidecar.state).encode() in why


def ends_as_before(sidecar: Sidecar, lines: list[bytes]) -> None:
    """Everything arrives once, and the daemon ends well."""
    sidecar.wait_for_event("state.available")
    sidecar.arrives(len(lines))
    events = [event for event in sidecar.events() if event["event"] == "state.unavailable"]
    assert len({str(event["problem"]) for event in events}) == len(events)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


@pytest.mark.parametrize("is_first_run", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_disk_that_is_full_at_the_start_is_waited_for(
    tiny_state: Sidecar, is_first_run: bool
) -> None:
    sidecar, lines = tiny_state, number_lines(0, 10)
    append(sidecar.traces / "a.jsonl", lines)
    if is_first_run:
        (sidecar.state / "journal.sqlite").unlink()
    else:
        assert sidecar.ship().returncode == 0
        lines = number_lines(0, 20)
        append(sidecar.traces / "b.jsonl", lines[10:])
        (sidecar.state / "journal.sqlite-wal").unlink(missing_ok=True)
    filler = fill(sidecar.state.parent)
    sidecar.start()
    if is_first_run:
        waits_for_state(sidecar)
    else:
        wait_until(lambda: "journal" in str(sidecar.events()) or sidecar.has_ended())
        assert not sidecar.has_ended()
    filler.unlink()
    sidecar.arrives(len(lines))
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(lines)


def test_a_journal_that_is_locked_at_the_start_is_waited_for(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    other = sqlite3.connect(sidecar.state / "journal.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    sidecar.start()
    waits_for_state(sidecar)
    other.close()
    ends_as_before(sidecar, number_lines(0, 20))


@pytest.mark.long
def test_shipping_once_waits_for_a_locked_journal_and_then_says_75(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "1s"')
    assert sidecar.ship().returncode == 0
    other = sqlite3.connect(sidecar.state / "journal.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    done = sidecar.ship("--json")
    assert done.returncode == 75
    assert json.loads(done.stdout)["reason"] == "unavailable"
    assert b"Traceback" not in done.stderr
    assert b"bug" not in done.stderr
    for command in (["status"], ["quarantine", "list"], ["explain", str(sidecar.traces / "a")]):
        done = sidecar.call(*command)
        assert done.returncode == 75, done
        assert b"journal.sqlite cannot be used now" in done.stderr
    other.close()
    assert sidecar.ship().returncode == 0


@pytest.mark.long
def test_a_journal_that_is_locked_at_the_end_spoils_nothing(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "5s"')
    sidecar.start()
    sidecar.arrives(10)
    sidecar.wait_for_event("service.ready")
    other = lock_journal(sidecar.state)
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    assert sidecar.stop() == 75
    assert not any("bug" in str(event) for event in sidecar.events())
    other.close()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20))


@pytest.mark.long
def test_a_stop_while_the_state_directory_cannot_be_used_says_75(sidecar: Sidecar) -> None:
    assert sidecar.ship().returncode == 0
    other = sqlite3.connect(sidecar.state / "journal.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    sidecar.start()
    waits_for_state(sidecar)
    assert sidecar.stop() == 75
    other.close()


@pytest.mark.long
@pytest.mark.parametrize("place", ["cache", "status.sock", "held"])
def test_what_only_helps_may_be_in_the_way(sidecar: Sidecar, place: str) -> None:
    """A file where a folder should be, or a folder where a file should be, costs no line."""
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    target = sidecar.state / place
    if place == "status.sock":
        (target / "in the way").mkdir(parents=True)
    else:
        subprocess.run(["rm", "-rf", str(target)], check=True)
        target.write_bytes(b"in the way")
    sidecar.start()
    sidecar.arrives(10)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10))


@pytest.mark.long
def test_a_process_without_descriptors_waits(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    script = (
        "import os, resource, sys, threading\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "taken = []\n"
        "from tracesidecar import daemon\n"
        "from tracesidecar.cli import main\n"
        "taken = [os.dup(0) for _ in range(64 - len(os.listdir('/proc/self/fd')) - 6)]\n"
        "threading.Timer(4, lambda: [os.close(each) for each in taken]).start()\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with sidecar.log.open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-c", script, "--config", str(sidecar.config), "ship", "--once"],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env=sidecar.environment(),
            cwd=sidecar.folder,
            timeout=300,
            check=False,
        )
    assert done.returncode in (0, 75), sidecar.log.read_text()
    assert "bug" not in sidecar.log.read_text()
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 10))
