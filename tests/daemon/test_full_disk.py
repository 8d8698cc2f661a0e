"""While the state directory is full the daemon waits, loses nothing, and goes on by itself."""

from __future__ import annotations

import functools
import os
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.daemon.sidecar import Sidecar, append, number_lines
from tests.servers.processes import wait_until


@pytest.fixture
def small_state(sidecar: Sidecar) -> Iterator[Sidecar]:
    """A state directory on a file system of 24 MiB, most of it taken by the compiled rules."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    sidecar.state.mkdir(mode=0o700, exist_ok=True)
    if (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(sidecar.state)],
            check=False,
        ).returncode
        != 0
    ):
        pytest.skip("this kernel lets nobody mount a tmpfs here")
    yield sidecar
    sidecar.kill()
    subprocess.run(["umount", str(sidecar.state)], check=True)


def fill(sidecar: Sidecar) -> None:
    """Leave no byte free."""
    with (sidecar.state / "filler").open("wb", buffering=0) as filler:
        for size in (1 << 20, 4096):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


def goes_on(sidecar: Sidecar, lines: int, events: int) -> bool:
    """Return whether that many lines are there, or more was logged than that."""
    return len(sidecar.lines()) >= lines or len(sidecar.events()) > events


def test_a_full_state_directory_pauses_and_recovers_without_a_restart(small_state: Sidecar) -> None:
    sidecar = small_state
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    fill(sidecar)
    written = 10
    while not any(
        event["event"] in ("journal.unwritable", "collect.scan_failed")
        for event in sidecar.events()
    ):
        append(sidecar.traces / f"{written}.jsonl", number_lines(written, 10))
        written += 10
        before = len(sidecar.events())
        wait_until(functools.partial(goes_on, sidecar, written, before))
    append(sidecar.traces / "late.jsonl", number_lines(written, 10))
    written += 10
    wait_until(lambda: b"wait" in sidecar.get("/status")[1] or len(sidecar.events()) > before + 2)
    assert not sidecar.has_ended()
    (sidecar.state / "filler").unlink()
    sidecar.arrives(written)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, written))
