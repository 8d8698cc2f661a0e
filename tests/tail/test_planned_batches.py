"""Random histories of files that begin like their elder generations, read by a sink that plans,
sends and commits.

Kills, rotation by rename and by copy, and compression fall between any two steps of both. Each line
arrives once. Only what nothing could tell apart is left out: a file that is met together with an
unfinished copy of it, and one that begins with all bytes of another.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pytest

from tests.tail import follower as followers
from tests.tail.follower import Follower, MemoryStore
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.tail import turns
from tracesidecar.tail.segments import SegmentRecord, SegmentState

NAMES = ("a", "b", "c")
LONGEST_COPY_SECONDS = 2.0
"""Less than `copy_grace`: a copy that takes longer is a file of its own."""


@dataclass(frozen=True)
class Part:
    """A range of a segment, with its bytes as they were read."""

    segment: int
    start: int
    following: Checkpoint
    data: bytes


class PlanStore(MemoryStore):
    """A journal with one plan, which may be cut off before one of its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[Part] = []
        self.writes_left: int | None = None

    def load_frontier(self, ids: Collection[int] | None = None) -> dict[int, Checkpoint]:
        frontier = super().load_frontier()
        for part in self.plan:
            if part.following.offset > frontier.get(part.segment, BEGINNING).offset:
                frontier[part.segment] = part.following
        return frontier

    def save(self, records: Iterable[SegmentRecord]) -> None:
        self._write()
        super().save(records)

    def forget(self, ids: Iterable[int]) -> None:
        self._write()
        super().forget(ids)

    def _write(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise KeyboardInterrupt


class History:
    """Three files and one sink. What is drawn depends on the seed alone."""

    def __init__(self, root: pathlib.Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rng = random.Random(seed)
        self.store = PlanStore()
        monkeypatch.setattr(followers, "MemoryStore", lambda: self.store)
        self.follower = Follower(root, include=(f"{root}/traces/*.jsonl*",))
        self.header_bytes = self.rng.choice((10, 300, 5000))
        self.written = Counter[bytes]()
        self.generations = Counter[str]()
        self.met: set[str] = set()
        self.copying: dict[str, float] = {}
        self.packing: dict[str, float] = {}
        self.batch: list[Part] = []
        self.has_arrived = False
        self.has_scanned = False
        self.arrived: list[bytes] = []

    def run(self, steps: int) -> None:
        often: list[tuple[Callable[[], None], int]] = [
            (self.append, 5),
            (self.rename, 2),
            (self.copy, 3),
            (self.pack, 2),
            (self.scan, 5),
            (self.ship, 10),
            (self.kill, 2),
        ]
        actions, weights = zip(*often, strict=True)
        for action in self.rng.choices(actions, weights, k=steps):
            action()
        self.finish()
        found = Counter(b"".join(self.arrived).splitlines(keepends=True))
        assert not found - self.written, "something arrived twice"
        assert not self.written - found, "something is missing"

    # ---------------------------------------------------------------- the writers

    def path(self, name: str, generation: int = 0) -> pathlib.Path:
        return self.follower.traces / (
            f"{name}.jsonl.{generation}" if generation else f"{name}.jsonl"
        )

    def append(self) -> None:
        name = self.rng.choice(NAMES)
        if name in self.copying:
            return
        path, lines = self.path(name), []
        if not path.exists() or not path.stat().st_size:
            lines.append(b'{"header":"%s"}\n' % (name.encode() * self.header_bytes))
        for _ in range(self.rng.randint(1, 5)):
            fresh = b'{"n":%d,"t":"%s"}\n' % (
                self.written.total() + len(lines),
                b"y" * self.rng.choice((1, 50, 3000)),
            )
            may_repeat = len(lines) != 1 and self.rng.random() < 0.3
            lines.append(b'{"same":true}\n' if may_repeat else fresh)
        self.written.update(lines)
        with path.open("ab") as file:
            file.write(b"".join(lines))

    def rename(self) -> None:
        name = self.rng.choice(NAMES)
        if self._begin_rotation(name):
            self.met.discard(name)
            self.path(name).rename(self.path(name, 1))
            if self.rng.random() < 0.7:
                self.path(name).touch()
            if self.rng.random() < 0.3:
                self.packing[name] = self.follower.now

    def copy(self) -> None:
        """Copy and truncate at once; or begin to copy, or end what was begun."""
        if self.copying and self.rng.random() < 0.7:
            self._end_copy(next(iter(self.copying)))
            return
        name = self.rng.choice(NAMES)
        if name not in self.met or not self._begin_rotation(name):
            return
        self.met.remove(name)
        content = self.path(name).read_bytes()
        seen = self.rng.choice((0, 1, len(content) // 2, len(content)))
        self.path(name, 1).write_bytes(content[:seen])
        self.copying[name] = self.follower.now
        if self.rng.random() < 0.6:
            self._end_copy(name)

    def pack(self, *, may_stop: bool = True) -> None:
        """Compress the files that were renamed, and remove them; or only begin to."""
        for name in sorted(self.packing):
            plain, packed = self.path(name, 1), self.follower.traces / f"{name}.jsonl.1.gz"
            content = gzip.compress(plain.read_bytes())
            if may_stop and not packed.exists() and self.rng.random() < 0.5:
                packed.write_bytes(content[: self.rng.randrange(len(content))])
            else:
                packed.write_bytes(content)
                plain.unlink()
                del self.packing[name]

    def _begin_rotation(self, name: str) -> bool:
        """Rename the older generations; return False if the file cannot be rotated now."""
        path = self.path(name)
        if name in self.copying or name in self.packing:
            return False
        if not path.exists() or not path.stat().st_size:
            return False
        for generation in range(self.generations[name], 0, -1):
            for suffix in ("", ".gz"):
                older = self.follower.traces / f"{name}.jsonl.{generation}{suffix}"
                if older.exists():
                    older.rename(self.follower.traces / f"{name}.jsonl.{generation + 1}{suffix}")
        self.generations[name] += 1
        return True

    def _end_copy(self, name: str) -> None:
        shutil.copyfile(self.path(name), self.path(name, 1))
        os.truncate(self.path(name), 0)
        del self.copying[name]

    # ---------------------------------------------------------------- the daemon

    def scan(self) -> None:
        for name, since in list(self.copying.items()):
            if self.follower.now - since > LONGEST_COPY_SECONDS:
                self._end_copy(name)
        if any(self.follower.now - since > LONGEST_COPY_SECONDS for since in self.packing.values()):
            self.pack(may_stop=False)
        if self.rng.random() < 0.15:
            self.store.writes_left = self.rng.randint(0, 1)
        self._scan(self.rng.choice((0.2, 1.0)), full=self.rng.random() < 0.1)

    def kill(self) -> None:
        self.store.writes_left = None
        self.batch, self.has_scanned = [], False
        self.follower.kill()

    def _scan(self, seconds: float, *, full: bool) -> None:
        try:
            self.follower.scan(seconds, full=full)
        except KeyboardInterrupt:
            self.kill()
            return
        self.store.writes_left = None
        self.has_scanned = True
        self.met = {name for name in NAMES if name not in self.copying and self._is_read(name)}
        if self.store.plan and not self.batch:
            self.replay()

    def _is_read(self, name: str) -> bool:
        """Return whether a file has been met and decided about; not every scan looks at it."""
        read = {
            (record.path, record.inode)
            for record in self.store.records.values()
            if record.state is SegmentState.LIVE
        }
        path = self.path(name)
        return path.exists() and (str(path), path.stat().st_ino) in read

    def ship(self) -> None:
        """Take the next step: fill a batch, plan it, send it, commit it."""
        if not self.has_scanned or (self.store.plan and not self.batch):
            return
        if not self.batch:
            self.batch = self._fill()
        elif not self.store.plan:
            self.store.plan, self.has_arrived = self.batch, False
        elif not self.has_arrived:
            self._send()
        else:
            self._commit()

    def _fill(self) -> list[Part]:
        tailer, views = self.follower.tailer, self.follower.tailer.segments()
        known = [segment for segment in self.follower.open if segment in views]
        known.sort(key=lambda segment: (views[segment].segment.path, segment))
        batch, reached = [], dict(self.store.checkpoints)
        for segment in self.rng.sample(known, min(len(known), 3)) * 2:
            at = reached.get(segment, BEGINNING)
            chunk = tailer.read(segment, at, final=views[segment].is_writer_gone)
            if chunk is not None:
                batch.append(Part(segment, chunk.start, chunk.next, chunk.data))
                reached[segment] = chunk.next
        return batch

    def _send(self) -> None:
        self.arrived += [part.data for part in self.store.plan]
        self.has_arrived = True

    def _commit(self) -> None:
        for part in self.store.plan:
            self.store.checkpoints[part.segment] = part.following
            self.follower.tailer.acknowledge(part.segment, part.following.offset)
        self.store.plan, self.batch = [], []

    def replay(self, *, again: bool = False) -> None:
        """Send the plan once more, which changes nothing if it has arrived, and commit it.

        Every planned byte still exists, so a plan that cannot be read waits for a later scan.
        """
        for part in self.store.plan:
            end = part.following.offset
            pieces = self.follower.tailer.read_range(part.segment, part.start, end)
            if pieces is None or b"".join(pieces) != part.data:
                if not again:
                    self._rescan()
                return
        if not self.has_arrived:
            self._send()
        self._commit()

    def _rescan(self) -> None:
        self.follower.scan(0.0, full=True)
        self.replay(again=True)

    def finish(self) -> None:
        """Let the writers end, and the daemon deliver all that is there."""
        for name in list(self.copying):
            self._end_copy(name)
        self.pack(may_stop=False)
        quiet = 0
        while quiet < 12:
            before = len(self.arrived)
            self._scan(1.0, full=True)
            for _ in range(8):
                self.ship()
            quiet = quiet + 1 if len(self.arrived) == before else 0
        assert not self.store.plan, "the plan's bytes were not found"


def live(seeds: Iterable[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        with tempfile.TemporaryDirectory() as directory, monkeypatch.context() as context:
            history = History(pathlib.Path(directory), seed, context)
            try:
                history.run(120)
            finally:
                history.follower.stop()


def test_kills_between_any_steps_lose_and_repeat_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    live(range(40), monkeypatch)


def test_scans_that_have_time_for_nothing_lose_and_repeat_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen: a copy was met, and taken for another file, before its original was looked at."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    live(range(20), monkeypatch)


@pytest.mark.long
def test_very_many_scans_that_have_time_for_nothing_lose_and_repeat_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    live(range(20, 700), monkeypatch)


@pytest.mark.long
def test_very_many_kills_between_any_steps_lose_and_repeat_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live(range(40, 1000), monkeypatch)
