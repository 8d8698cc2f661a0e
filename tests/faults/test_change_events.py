"""Where the kernel has no room for change events, files are polled, and the log says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar, append, number_lines
from tests.servers.processes import wait_until
from tests.tail.follower import Follower
from tracesidecar.tail.discovery import watcher as watcher_module
from tracesidecar.tail.discovery.inotify import NoticingObserver
from tracesidecar.tail.discovery.watcher import Watcher

LIMITED = 'echo "$1" > "/proc/sys/user/$0" && shift && exec "$@"'
"""Runs a command in a user namespace of its own, in which a limit of inotify is lowered."""


def _limit(name: str, value: int) -> tuple[str, ...]:
    prefix = ("unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, name, str(value))
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no user namespace")
    return prefix


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    made = Sidecar(tmp_path)
    yield made
    made.kill()


def _list_warnings(sidecar: Sidecar) -> list[str]:
    return [
        str(event["problem"])
        for event in sidecar.events()
        if event.get("event") == "collect.warning" and event.get("kind") == "notices"
    ]


def test_without_an_inotify_instance_the_daemon_polls(sidecar: Sidecar) -> None:
    sidecar.prefix = _limit("max_inotify_instances", 0)
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    sidecar.start()
    sidecar.arrives(3)
    append(sidecar.traces / "a.jsonl", number_lines(3, 3))
    sidecar.arrives(6)
    assert ["max_user_instances" in warning for warning in _list_warnings(sidecar)] == [True]
    assert sidecar.stop() == 0


def test_directories_beyond_the_last_inotify_watch_are_polled_at_once(sidecar: Sidecar) -> None:
    """watchdog is silent about a watch that it could not add below a root."""
    sidecar.prefix = _limit("max_inotify_watches", 2)
    below = [sidecar.traces / f"d{number}" for number in range(6)]
    for folder in below:
        folder.mkdir()
        append(folder / "a.jsonl", number_lines(0, 1, folder=folder.name))
    sidecar.start()
    sidecar.arrives(6)
    wait_until(lambda: _list_warnings(sidecar))
    began = time.monotonic()
    for folder in below:
        append(folder / "a.jsonl", number_lines(1, 1, folder=folder.name))
    sidecar.arrives(12)
    assert time.monotonic() - began < 20, "a share of the quiet files at a time would take 30 s"
    assert ["max_user_watches" in warning for warning in _list_warnings(sidecar)] == [True]
    assert sidecar.stop() == 0


@pytest.mark.long
def test_a_directory_added_after_the_last_inotify_watch_is_polled_at_once(
    sidecar: Sidecar,
) -> None:
    sidecar.prefix = _limit("max_inotify_watches", 2)
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert not _list_warnings(sidecar)
    began = time.monotonic()
    for number in range(6):
        folder = sidecar.traces / f"d{number}"
        folder.mkdir()
        append(folder / "a.jsonl", number_lines(0, 1, folder=folder.name))
    sidecar.arrives(6)
    wait_until(lambda: _list_warnings(sidecar))
    for number in range(6):
        append(sidecar.traces / f"d{number}" / "a.jsonl", number_lines(1, 1, folder=number))
    sidecar.arrives(12)
    assert time.monotonic() - began < 20
    assert sidecar.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
@pytest.mark.parametrize("way", ["moved", pytest.param("deleted", marks=pytest.mark.long)])
def test_a_root_that_comes_back_is_followed_by_events_at_once(sidecar: Sidecar, way: str) -> None:
    """A poll would find the lines after 40 seconds, and did so for a minute after a failure."""
    text = sidecar.config.read_text()
    sidecar.config.write_text(text.replace('poll_interval = "200ms"', 'poll_interval = "40s"'))
    append(sidecar.traces / "a.jsonl", number_lines(0, 3))
    sidecar.start()
    sidecar.arrives(3)
    if way == "moved":
        aside = sidecar.folder / "aside"
        sidecar.traces.rename(aside)
        sidecar.traces.mkdir()
        wait_until(lambda: _count_watches(sidecar, sidecar.traces) == 1, 60)
        sidecar.traces.rmdir()
        aside.rename(sidecar.traces)
    else:
        shutil.rmtree(sidecar.traces)
        wait_until(lambda: _count_watches(sidecar) == 0, 60)
        sidecar.traces.mkdir()
    wait_until(lambda: _count_watches(sidecar, sidecar.traces) == 1, 60)
    began = time.monotonic()
    for number in range(3, 6):
        append(sidecar.traces / "b.jsonl", number_lines(number, 1))
        sidecar.arrives(number + 1)
    assert time.monotonic() - began < 20
    assert not _list_warnings(sidecar)
    assert sidecar.stop() == 0


def _count_watches(sidecar: Sidecar, folder: Path | None = None) -> int:
    """The inotify watches of the daemon: all, or those of this very folder."""
    assert sidecar.daemon is not None
    lines: list[str] = []
    for info in Path(f"/proc/{sidecar.daemon.pid}/fdinfo").iterdir():
        with suppress(OSError):  # closed by now
            lines += [line for line in info.read_text().splitlines() if line[:8] == "inotify "]
    wanted = "" if folder is None else f" ino:{folder.stat().st_ino:x} "
    return sum(wanted in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
def test_a_thread_of_the_watcher_that_dies_is_noticed_and_replaced(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.stop()
    now = [0.0]
    follower.watcher = Watcher([str(follower.traces)], clock=lambda: now[0])
    follower.start()
    follower.turns(3)
    observer = follower.watcher._observer
    assert isinstance(observer, NoticingObserver)
    assert follower.watcher.is_working
    observer.inotify.stop()
    observer.inotify.join(60)
    follower.turn()
    assert not follower.watcher.is_working
    assert [warning.kind for warning in follower.warnings] == ["notices"]
    (follower.traces / "a.jsonl").write_bytes(b'{"n":1}\n')
    follower.turn()
    assert len(follower.lines) == 1
    now[0] += watcher_module.RETRY_SECONDS
    follower.turn()
    assert follower.watcher.is_working
    follower.watcher.close()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
def test_after_a_queue_overflow_everything_is_looked_at(tmp_path: Path) -> None:
    """Events are dropped while the thread that reads them does not run."""
    follower = Follower(tmp_path)
    follower.stop()
    follower.watcher = Watcher([str(follower.traces)])
    follower.start()
    follower.turns(3)
    observer = follower.watcher._observer
    assert isinstance(observer, NoticingObserver)
    follower.watcher.take_missed()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with observer.inotify._lock:  # the thread that reads waits for this lock
        path = follower.traces / "a.tmp"
        for number in range(limit + 100):
            path.touch()
            os.rename(path, follower.traces / f"{number % 2}.tmp")
    wait_until(lambda: follower.watcher is not None and follower.watcher._has_missed)
    follower.watcher.close()
