"""Change events make things faster; polling finds everything, even if no event comes."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import pytest
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.inotify_c import InotifyEvent

from tests.faults.mounts import real_mounts
from tests.tail.follower import Follower, Writer, descriptors, exchange, follow_until, until
from tracesidecar.tail.discovery.inotify import ReportingInotify
from tracesidecar.tail.discovery.poll_schedule import DISTRUST_SECONDS, FULL_CYCLE_SECONDS
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.file_table import File


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


@pytest.fixture
def watching(follow: Callable[..., Follower], woken: threading.Event) -> Iterator[Follower]:
    follower = follow()
    follower.stop()
    follower.watcher = Watcher([str(follower.traces)], wake=woken.set)
    follower.start()
    follower.turns(3)
    yield follower
    follower.watcher.close()


def test_a_change_wakes_the_caller_and_is_read(
    watching: Follower, writer: Writer, woken: threading.Event
) -> None:
    woken.clear()
    writer.append(watching.traces / "a.jsonl", 3)
    assert woken.wait(120)
    follow_until(watching, lambda: len(watching.lines) == 3, "the lines arrive")
    woken.clear()
    writer.append(watching.traces / "a.jsonl", 3)
    follow_until(watching, lambda: len(watching.lines) == 6, "the further lines arrive")


def test_a_root_that_is_replaced_and_comes_back_is_watched_and_no_failure(
    watching: Follower, writer: Writer, woken: threading.Event
) -> None:
    assert watching.watcher is not None
    writer.append(watching.traces / "a.jsonl", 3)
    follow_until(watching, lambda: len(watching.lines) == 3, "the lines arrive")
    aside = watching.root / "aside"
    for step in ("replaced", "back", "deleted", "made"):
        watching.turn()
        woken.clear()
        if step == "replaced":
            watching.traces.rename(aside)
            watching.traces.mkdir()
        elif step == "back":
            watching.traces.rmdir()
            aside.rename(watching.traces)
            writer.append(watching.traces / "a.jsonl", 3)
        elif step == "deleted":
            shutil.rmtree(watching.traces)
        else:
            watching.traces.mkdir()
        assert woken.wait(60), f"the root is {step}"
        assert watching.watcher.is_working
        follow_until(watching, lambda: len(watching.lines) == len(writer.written), "all arrives")
        assert watching.watcher.is_working
    woken.clear()
    writer.append(watching.traces / "b.jsonl", 3)
    assert woken.wait(60)
    follow_until(watching, lambda: len(watching.lines) == len(writer.written), "all arrives")
    assert watching.count_lines() == Counter(writer.written)
    assert not [warning for warning in watching.warnings if warning.kind == "notices"]


def test_a_directory_made_and_filled_at_once_is_read(watching: Follower, writer: Writer) -> None:
    for number in range(30):
        below = watching.traces / f"d{number}" / "x"
        below.mkdir(parents=True)
        writer.append(below / "a.tmp", 10)
        (below / "a.tmp").rename(below / "a.jsonl")
    follow_until(
        watching,
        lambda: len(watching.lines) == len(writer.written),
        "all lines arrive",
    )
    watching.turns(40)
    assert watching.count_lines() == Counter(writer.written)


def test_rotation_is_followed_by_change_events(watching: Follower, writer: Writer) -> None:
    a = watching.traces / "a.jsonl"
    for number in range(5):
        writer.append(a, 10)
        follow_until(
            watching,
            lambda: len(watching.lines) == len(writer.written),
            "all lines arrive",
        )
        writer.append(a, 10)
        a.rename(watching.traces / f"a.jsonl.{number}")
    follow_until(
        watching,
        lambda: len(watching.lines) == len(writer.written),
        "all lines arrive",
    )
    assert watching.count_lines() == Counter(writer.written)


class Deaf(Watcher):
    """A watcher that works and never reports anything, as on a network file system."""

    def drain(self) -> set[str]:
        super().drain()
        return set()


def test_a_change_that_was_not_announced_is_found_and_notices_are_distrusted(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow()
    for name in ("a", "b"):
        writer.append(follower.traces / f"{name}.jsonl")
    follower.turn()
    follower.stop()
    follower.watcher = Deaf([str(follower.traces)])
    follower.start()
    follower.turns(3)
    schedule = follower.tailer._scan_sequence._poll_cycle._schedule
    schedule._recheck.clear()
    writer.append(follower.traces / "a.jsonl")
    old = time.time() - 10
    os.utime(follower.traces / "a.jsonl", (old, old))
    until(
        lambda: time.time_ns() - os.stat(follower.traces / "a.jsonl").st_ctime_ns > 3_100_000_000,
        "the change is old",
    )
    follower.turns(int(FULL_CYCLE_SECONDS) + 1)
    assert follower.count_lines() == Counter(writer.written)
    assert not schedule.trusts(follower.now)
    writer.append(follower.traces / "b.jsonl")
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)
    assert schedule.trusts(follower.now + DISTRUST_SECONDS)
    follower.watcher.close()


def test_polling_finds_everything_when_no_watches_are_left(
    follow: Callable[..., Follower], writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(InotifyObserver, "schedule", fail)
    follower = follow()
    follower.stop()
    follower.watcher = Watcher([str(follower.traces)])
    follower.start()
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    writer.append(follower.traces / "a.jsonl", 3)
    follower.turn()
    assert follower.count_lines() == Counter(writer.written)
    assert [warning.kind for warning in follower.warnings] == ["notices"]
    follower.watcher.close()


def test_a_directory_that_is_replaced_is_watched_again(
    watching: Follower, writer: Writer, tmp_path: pathlib.Path
) -> None:
    watching.traces.rename(tmp_path / "away")
    watching.turn()
    watching.traces.mkdir()
    watching.turn()
    writer.append(watching.traces / "a.jsonl")
    follow_until(watching, lambda: len(watching.lines) == 1, "the line arrives")


def test_with_notices_a_scan_looks_at_a_thirtieth_of_the_quiet_files(
    watching: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        writer.append(watching.traces / f"{number}.jsonl")
    watching.turn()
    watching.scan(full=True)
    schedule = watching.tailer._scan_sequence._poll_cycle._schedule
    follow_until(watching, lambda: not any(schedule.files_to_recheck().values()), "all is quiet")
    compared: list[int] = []
    compare = watching.tailer._scan_sequence._changes.compare

    def record(file: File) -> int | None:
        compared.append(file.id)
        return compare(file)

    monkeypatch.setattr(watching.tailer._scan_sequence._changes, "compare", record)
    watching.turns(10)
    assert len(compared) <= 10 * (300 / FULL_CYCLE_SECONDS + 2)
    watching.turns(int(FULL_CYCLE_SECONDS) + 1)
    assert len(set(compared)) == 300


def arrivals(follower: Follower) -> list[str]:
    return [name for name in os.listdir(follower.held) if name.startswith("arrival-")]


def test_what_arrives_is_kept_before_any_scan(watching: Follower, writer: Writer) -> None:
    path = watching.traces / "a.jsonl"
    writer.append(path)
    until(lambda: len(arrivals(watching)) == 1, "the file is linked")
    path.unlink()
    follow_until(watching, lambda: len(watching.lines) == 1, "the line arrives")
    assert arrivals(watching) == []


def test_what_arrived_before_a_crash_is_not_lost_and_not_repeated(
    watching: Follower, writer: Writer
) -> None:
    for name in ("moved", "deleted", "stays"):
        writer.append(watching.traces / f"{name}.jsonl")
    until(lambda: len(arrivals(watching)) == 3, "the files are linked")
    watching.kill()
    (watching.traces / "moved.jsonl").rename(watching.root / "moved.jsonl")
    (watching.traces / "deleted.jsonl").unlink()
    watching.turns()
    assert watching.count_lines() == Counter(writer.written)
    assert arrivals(watching) == []


@pytest.mark.skipif(sys.platform != "linux", reason="RENAME_EXCHANGE is of Linux")
def test_directories_that_were_exchanged_do_not_end_the_watcher_with_an_error(
    watching: Follower, writer: Writer
) -> None:
    """Both moves are announced one after the other, so that both had one path for a moment."""
    one, other = watching.traces / "one", watching.traces / "other"
    one.mkdir()
    other.mkdir()
    writer.append(one / "a.jsonl")
    writer.append(other / "b.jsonl")
    follow_until(watching, lambda: len(watching.lines) == 2, "both directories are watched")
    exchange(one, other)
    writer.append(one / "b.jsonl")
    writer.append(watching.traces / "last.jsonl")
    follow_until(watching, lambda: len(watching.lines) == 4, "the lines arrive")
    assert watching.watcher is not None
    watching.watcher.close()
    assert watching.count_lines() == Counter(writer.written)


def test_what_is_written_after_a_file_left_empty_arrives(
    watching: Follower, writer: Writer
) -> None:
    path = watching.traces / "a.jsonl"
    with path.open("ab") as file:
        until(lambda: len(arrivals(watching)) == 1, "the file is linked")
        path.rename(watching.root / "a.done")
        watching.turns(3)
        file.write(writer.make())
    follow_until(watching, lambda: len(watching.lines) == 1, "the line arrives")


def test_where_no_link_is_made_an_arrival_is_kept_open(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    follower = follow(protect="never")
    follower.stop()
    follower.watcher = Watcher([str(follower.traces)])
    follower.start()
    follower.turns(3)
    path = follower.traces / "a.jsonl"
    writer.append(path)
    until(lambda: descriptors(follower.traces) == [str(path)], "the file is open")
    path.unlink()
    follow_until(follower, lambda: len(follower.lines) == 1, "the line arrives")
    assert arrivals(follower) == []
    follower.watcher.close()


def test_a_file_that_is_replaced_by_longer_ones_arrives_once(
    watching: Follower, writer: Writer
) -> None:
    path, written = watching.traces / "a.jsonl", watching.traces / "a.new"
    for number in range(1, 21):
        writer.make()
        written.write_bytes(b"".join(line + b"\n" for line in writer.written))
        written.rename(path)
        if number % 5 == 0:
            watching.turn()
    follow_until(watching, lambda: len(watching.lines) >= 20, "the lines arrive")
    watching.turns()
    assert watching.count_lines() == Counter(writer.written)


def test_a_file_that_is_replaced_while_scans_look_arrives_once(
    watching: Follower, writer: Writer
) -> None:
    """Between any two steps of a scan another version may take the name."""
    path, written = watching.traces / "a.jsonl", watching.traces / "a.new"

    def replace() -> None:
        for _ in range(150):
            writer.make()
            written.write_bytes(b"".join(line + b"\n" for line in writer.written))
            written.rename(path)
            pause.wait(0.003)

    pause, thread = threading.Event(), threading.Thread(target=replace)
    thread.start()
    while thread.is_alive():
        watching.turn(0.03)
        pause.wait(0.03)
    follow_until(watching, lambda: len(watching.lines) >= 150, "the lines arrive")
    watching.turns(10)
    assert watching.count_lines() == Counter(writer.written)
    assert not watching.losses
    # the notice of the last version may be read when the scans have met it already
    follow_until(watching, lambda: arrivals(watching) == [], "the last link is released")


@pytest.mark.parametrize("protect", ["always", "never"])
def test_a_version_that_is_replaced_while_its_segment_goes_on_in_it_is_read(
    follow: Callable[..., Follower], writer: Writer, protect: str
) -> None:
    """It was opened before, and had to be opened again by a name that was another file's."""
    follower = follow(protect=protect)
    path, written = follower.traces / "a.jsonl", follower.traces / "a.new"

    def replace_at(point: str) -> None:
        if point == "rotating" and len(writer.written) == 5:
            writer.append(written, 2)
            written.rename(path)

    follower.stop()
    follower.at = replace_at
    follower.start()
    writer.append(path, 3)
    follower.turns(2)
    writer.make(2)
    written.write_bytes(b"".join(line + b"\n" for line in writer.written))
    written.rename(path)
    follower.turns(4)
    assert len(writer.written) == 7
    assert follower.count_lines() == Counter(writer.written)
    assert not follower.losses


@pytest.mark.parametrize("protect", ["always", "never"])
def test_a_quiet_file_that_is_replaced_by_a_longer_one_arrives_once(
    watching: Follower, writer: Writer, monkeypatch: pytest.MonkeyPatch, protect: str
) -> None:
    """The event names the new file only, and the old one is looked at every 30 seconds."""
    monkeypatch.setattr("tracesidecar.tail.tracking.lifecycle._FRESH_NS", 0)
    watching.stop()
    watching.sources = [msgspec.structs.replace(watching.sources[0], protect=protect)]
    watching.start()
    paths = [watching.traces / name for name in ("inside.jsonl", "outside.jsonl", "equal.jsonl")]
    for path in paths:
        writer.append(path, 20)
    follow_until(watching, lambda: len(watching.lines) == 60, "the lines arrive")
    schedule = watching.tailer._scan_sequence._poll_cycle._schedule
    follow_until(
        watching,
        lambda: not any(schedule.files_to_recheck().values()),
        "the files are quiet",
    )
    for path in paths:
        folder = watching.root if path.stem == "outside" else watching.traces
        copy = folder / "copy.tmp"
        copy.write_bytes(path.read_bytes())
        if path.stem != "equal":
            writer.append(copy, 1)
        copy.rename(path)
    follow_until(watching, lambda: len(watching.lines) >= 62, "the new lines arrive")
    watching.turns(10)
    assert watching.count_lines() == Counter(writer.written)
    assert not watching.losses


def test_our_own_links_are_no_arrivals_although_a_glob_matches_them(
    follow: Callable[..., Follower], writer: Writer
) -> None:
    """As where `hold_directory` is below the traces, on their mount."""
    follower = follow()
    follower.stop()
    held = follower.traces / "held"
    (follower.root / "alias").symlink_to(follower.traces)
    source = msgspec.structs.replace(
        follower.sources[0], hold_directory=str(follower.root / "alias" / "held")
    )
    held.mkdir(mode=0o700)
    follower.sources = [source]
    follower.watcher = Watcher([str(follower.traces)])
    follower.start()
    follower.turns(3)
    writer.append(follower.traces / "a.jsonl")
    until(lambda: bool(list(held.iterdir())), "the file is linked")
    follow_until(follower, lambda: len(follower.lines) == 1, "the line arrives")
    writer.append(follower.traces / "b.jsonl")
    follow_until(follower, lambda: len(follower.lines) == 2, "the line arrives")
    follower.turns(3)
    assert len(list(held.iterdir())) == 2

    def rests() -> bool:
        before = held.stat().st_mtime_ns
        threading.Event().wait(0.1)
        return held.stat().st_mtime_ns == before

    until(rests, "no link leads to another")
    assert follower.count_lines() == Counter(writer.written)
    follower.watcher.close()


def test_a_file_that_is_moved_faster_than_notices_are_read_is_no_loss(
    watching: Follower, writer: Writer
) -> None:
    for number in range(20):
        writer.append(watching.traces / "a.jsonl")
        for age in range(number, 0, -1):
            (watching.traces / f"a.jsonl.{age}").rename(watching.traces / f"a.jsonl.{age + 1}")
        (watching.traces / "a.jsonl").rename(watching.traces / "a.jsonl.1")
    follow_until(watching, lambda: len(watching.lines) == 20, "all lines arrive")
    watching.turns()
    assert watching.count_lines() == Counter(writer.written)
    assert watching.losses == []


def _publish(folder: pathlib.Path, way: str, number: int, lines: bytes) -> None:
    """Let a file take a name that the one before has had only for a moment."""
    path = folder / f"{number}.jsonl"
    if way == "replaced":
        path.write_bytes(lines)
        (folder / "new").write_bytes(b'{"next": %d}\n' % number)
        (folder / "new").rename(path)
    elif way == "replaced by a followed one":
        path.write_bytes(lines)
        (folder / "b.jsonl").write_bytes(b'{"next": %d}\n' % number)
        (folder / "b.jsonl").rename(path)
    else:
        path.write_bytes(lines)
        if way == "deleted":
            path.unlink()
        elif way == "moved out":
            path.rename(folder.parent / f"out-{number}")
        else:
            path.rename(folder / "aside")
            (folder / "aside").unlink()
        path.write_bytes(b'{"next": %d}\n' % number)


@pytest.mark.parametrize(
    "way",
    ["replaced", "replaced by a followed one", "deleted", "moved out", "moved aside and deleted"],
)
@pytest.mark.parametrize("is_paused", [True, False])
def test_a_file_whose_name_another_took_at_once_arrives_or_is_a_loss(
    watching: Follower, writer: Writer, way: str, is_paused: bool
) -> None:
    """When the notice of the first file is read, its name leads to the second."""
    arrivals_of = watching.tailer._arrivals
    for number in range(10):
        if is_paused:
            arrivals_of._lock.acquire()
        _publish(watching.traces, way, number, writer.make())
        if is_paused:
            arrivals_of._lock.release()
        arrives = partial(watching.lines.__contains__, b'{"next": %d}' % number)
        follow_until(watching, arrives, "the second arrives")

    def count_accounted() -> int:
        return sum(line in watching.lines for line in writer.written) + len(watching.losses)

    follow_until(watching, lambda: count_accounted() == 10, "each first file is accounted for")
    watching.turns()
    assert count_accounted() == 10
    assert len({*watching.lines}) == len(watching.lines), "nothing arrives twice"
    assert {loss.reason for loss in watching.losses} <= {"gone", "moved"}


class LateNotices:
    """Holds up the thread that reads the notices, before any of a name that is held."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._held: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        """Let no notice of this name be read."""
        self.reached.clear()
        self._held[name] = threading.Event()

    def release(self, name: str) -> None:
        """Let the notices of this name be read again."""
        self.reached.clear()
        self._held.pop(name).set()

    def pass_by(self, event: InotifyEvent) -> None:
        """Wait while a notice is held."""
        held = self._held.get(os.fsdecode(event.name))
        if held is not None:
            self.reached.set()
            assert held.wait(120)


@pytest.fixture
def late_notices(monkeypatch: pytest.MonkeyPatch) -> LateNotices:
    late, handle = LateNotices(), ReportingInotify.handle_event

    def handle_late(inotify: ReportingInotify, event: InotifyEvent) -> None:
        late.pass_by(event)
        handle(inotify, event)

    monkeypatch.setattr(ReportingInotify, "handle_event", handle_late)
    return late


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("way", ["deleted", "moved out", "moved aside and deleted"])
def test_the_next_file_of_a_name_is_not_taken_for_one_that_nobody_saw(
    late_notices: LateNotices, watching: Follower, writer: Writer, way: str
) -> None:
    """Seen: a scan met the next before its notice was read, and the first was no loss."""
    watcher = watching.watcher
    assert watcher is not None
    path = watching.traces / "a.jsonl"
    late_notices.hold(path.name)
    path.write_bytes(writer.make())
    if way == "deleted":
        path.unlink()
    elif way == "moved out":
        path.rename(watching.root / "out")
    else:
        path.rename(watching.traces / "aside")
        (watching.traces / "aside").unlink()
    gone_at = time.monotonic()
    late_notices.release(path.name)
    until(lambda: watcher.find_announced_time() >= gone_at, "it is known to be gone")
    late_notices.hold(path.name)
    path.write_bytes(b'{"next": 0}\n')
    watching.scan(full=True)
    watching.read()
    assert watching.lines == [b'{"next": 0}']
    late_notices.release(path.name)
    follow_until(watching, lambda: bool(watching.losses), "the first is a loss")
    watching.turns()
    assert [loss.segment.path for loss in watching.losses] == [str(path)]
    assert watching.lines == [b'{"next": 0}']


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_file_that_was_replaced_unseen_is_a_loss_although_the_name_of_the_next_has_another(
    late_notices: LateNotices, watching: Follower, writer: Writer
) -> None:
    """Seen: the next was taken for what has its former name by now, and the first forgotten."""
    first, next_ = watching.traces / "a.jsonl", watching.traces / "b.jsonl"
    late_notices.hold(first.name)
    late_notices.hold(next_.name)
    first.write_bytes(b'{"first": 0}\n')
    writer.append(next_)
    next_.rename(first)
    late_notices.release(first.name)
    assert late_notices.reached.wait(120), "the notices are read that the first was made"
    late_notices.hold(first.name)
    writer.append(next_)
    late_notices.release(next_.name)
    assert late_notices.reached.wait(120), "all are read but that the next has its name"
    next_.rename(watching.traces / "c.jsonl")
    late_notices.release(first.name)
    follow_until(watching, lambda: bool(watching.losses), "the first is a loss")
    watching.turns()
    assert [loss.segment.path for loss in watching.losses] == [str(first)]
    assert watching.count_lines() == Counter(writer.written)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_how_far_the_notices_were_read_is_known_although_more_of_them_wait(
    late_notices: LateNotices, watching: Follower
) -> None:
    watcher = watching.watcher
    assert watcher is not None
    late_notices.hold("first")
    late_notices.hold("second")
    before = time.monotonic()
    (watching.traces / "first").touch()
    assert late_notices.reached.wait(120)
    assert watcher.find_announced_time() < before
    (watching.traces / "second").touch()
    late_notices.release("first")
    until(lambda: watcher.find_announced_time() >= before, "the first notice counts as read")
    second_at = time.monotonic()
    assert watcher.find_announced_time() < second_at
    late_notices.release("second")
    until(lambda: watcher.find_announced_time() >= second_at, "the second notice counts as read")


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_each_of_many_files_that_have_one_name_in_turn_arrives_or_is_a_loss(
    watching: Follower, writer: Writer, at_once: int
) -> None:
    path = watching.traces / "a.jsonl"
    for _ in range(6):
        with watching.tailer._arrivals._lock:
            for _ in range(at_once):
                path.write_bytes(writer.make())
                path.unlink()
        watching.turn()

    def count_accounted() -> int:
        return len(watching.lines) + len(watching.losses)

    follow_until(watching, lambda: count_accounted() == 6 * at_once, "each is accounted for")
    watching.turns()
    assert count_accounted() == 6 * at_once
    assert len({*watching.lines}) == len(watching.lines)


def test_a_file_that_leaves_its_name_and_comes_back_at_once_is_no_loss(
    watching: Follower, writer: Writer
) -> None:
    for number, between in enumerate(["aside", "b.jsonl", "aside"] * 4):
        path = watching.traces / f"{number}.jsonl"
        with watching.tailer._arrivals._lock:
            writer.append(path)
            path.rename(watching.traces / between)
            (watching.traces / between).rename(path)
    follow_until(watching, lambda: len(watching.lines) >= 12, "the lines arrive")
    watching.turns()
    assert watching.count_lines() == Counter(writer.written)
    assert watching.losses == []


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's")
def test_a_file_system_that_comes_or_goes_below_a_root_is_noticed_at_once(
    watching: Follower, writer: Writer, woken: threading.Event, tmp_path: pathlib.Path
) -> None:
    """Seen: lines were read a minute later, or, if it was unmounted before that, never."""
    below = watching.traces / "deep" / "below"
    below.mkdir(parents=True)
    writer.append(below / "a.jsonl", 3)
    follow_until(watching, lambda: len(watching.lines) == 3, "the lines arrive")
    began = watching.now

    def all_arrive() -> bool:
        return len(watching.lines) == len(writer.written)

    with real_mounts(tmp_path) as mounts:
        woken.clear()
        mounts.tmpfs(below)
        assert woken.wait(60), "it is mounted"
        writer.append(below / "b.jsonl", 3)
        follow_until(watching, all_arrive, "what is mounted arrives")
        woken.clear()
        writer.append(below / "b.jsonl", 2)
        assert woken.wait(60), "it is watched"
        follow_until(watching, all_arrive, "what comes there arrives")
        woken.clear()
        mounts.detach(below)
        assert woken.wait(60), "it is unmounted"
        writer.append(below / "a.jsonl", 1)
        follow_until(watching, all_arrive, "what comes to the covered file arrives")
    assert watching.now - began < 15, "the full scan, every 30 seconds, was not waited for"


@pytest.mark.parametrize("has_events", [True, False])
def test_a_link_to_a_directory_that_is_set_anew_is_followed_at_once(
    follow: Callable[..., Follower], writer: Writer, has_events: bool
) -> None:
    """Seen: nothing of the new directory was read for half a minute, with lag 0."""
    follower = follow(symlinks="follow")
    if has_events:
        follower.stop()
        follower.watcher = Watcher([str(follower.traces)])
        follower.start()
    for version in ("v1", "v2"):
        (follower.root / version).mkdir()
        writer.append(follower.root / version / "a.jsonl", 3)
    (follower.traces / "current").symlink_to(follower.root / "v1")
    follow_until(follower, lambda: len(follower.lines) == 3, "the lines arrive")
    began = follower.now
    (follower.traces / ".new").symlink_to(follower.root / "v2")
    (follower.traces / ".new").rename(follower.traces / "current")
    follow_until(follower, lambda: len(follower.lines) == 6, "those of the new directory arrive")
    assert follower.now - began < 15, "the full scan, every 30 seconds, was not waited for"
    if follower.watcher is not None:
        follower.watcher.close()
