"""A store in memory, and a reader that follows files as a sink does."""

from __future__ import annotations

import ctypes
import os
import pathlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

import msgspec
import pytest

from tracesidecar.model import BEGINNING, Checkpoint, Rejection
from tracesidecar.tail.build import build_tailer, ignore
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import Folder, FormerFile, Loss, Remark, Rest, Scan, SegmentRecord
from tracesidecar.units import Seconds

KEY = b"k" * 32


class NothingRests:
    """A `RestingStore` in which no segment may rest."""

    def list_folders(self) -> list[Folder]:
        """Return no folder."""
        return []

    def is_empty(self) -> bool:
        """Return that there is no segment that may rest."""
        return True

    def find_with_inode(self, inode: int) -> list[int]:
        """Return no segment."""
        return []

    def find_with_prefix(self, prefixes: Iterable[tuple[int, bytes]]) -> list[int]:
        """Return no segment."""
        return []

    def list_prefix_lengths(self) -> list[int]:
        """Return no length."""
        return []

    def list_missed(
        self, sources: Collection[str], after: int, limit: int
    ) -> list[tuple[int, float | None]]:
        """Return no segment."""
        return []

    def note_missed(self, segments: Collection[int], at: float | None) -> None:
        """Record nothing."""

    def remove_unused_folders(self) -> None:
        """Remove nothing."""


class MemoryStore:
    """Segments and one sink's checkpoints, in a dict."""

    def __init__(self) -> None:
        self.records: dict[int, SegmentRecord] = {}
        self.checkpoints: dict[int, Checkpoint] = {}
        self.landmarks: dict[int, bytes] = {}
        self.saves = 0
        self.resting = NothingRests()

    def load(self, rest: Rest | None = None) -> list[SegmentRecord]:
        """Return every segment: nothing rests here."""
        return list(self.records.values())

    def recall(self, ids: Collection[int]) -> list[SegmentRecord]:
        """Return segments by their ids."""
        return [self.records[segment] for segment in ids]

    def load_frontier(self, ids: Collection[int] | None = None) -> dict[int, Checkpoint]:
        """Return the checkpoints of the one sink."""
        return dict(self.checkpoints)

    def save_landmarks(self, landmarks: Mapping[int, bytes]) -> None:
        """Remember landmarks by segment."""
        self.landmarks |= landmarks

    def load_landmarks(self, segment: int) -> bytes | None:
        """Return the landmarks of a segment."""
        return self.landmarks.get(segment)

    def find_former(self, path: str) -> FormerFile | None:
        """Return none: nothing is known of what is forgotten."""
        return None

    def copy_offsets(self, former: int, segment: int, limit: Checkpoint) -> None:
        """Let a segment begin where a former one is, but not behind a limit."""
        if former in self.checkpoints:
            at = self.checkpoints[former]
            self.checkpoints[segment] = min(at, limit, key=lambda place: place.offset)

    def save(self, records: Iterable[SegmentRecord]) -> None:
        """Remember segments, and count the calls."""
        self.saves += 1
        self.records |= {record.id: record for record in records}

    def forget(self, ids: Iterable[int]) -> None:
        """Drop segments with their checkpoints."""
        for segment in ids:
            self.records.pop(segment, None)
            self.checkpoints.pop(segment, None)


class Follower:
    """Drives a tailer over real files and keeps what arrives.

    `stop` and `start` are a new process over the same store.
    """

    def __init__(self, root: pathlib.Path, **source: object) -> None:
        self.root = root
        self.traces = root / "traces"
        self.traces.mkdir(exist_ok=True)
        self.held = root / "held"
        self.store = MemoryStore()
        self.now = 1000.0
        usual = SourceOptions(
            name="agent", include=(f"{self.traces}/**/*.jsonl",), copy_grace=Seconds(5)
        )
        self.sources = [msgspec.structs.replace(usual, **source)]
        self.lines: list[bytes] = []
        self.torn: list[bytes] = []
        self.rejected: list[Rejection] = []
        self.losses: list[Loss] = []
        self.warnings: list[Remark] = []
        self.last = Scan()
        self.behind = False
        self.watcher: Watcher | None = None
        self.limit = 1 << 40
        self.at: Callable[[str], None] = ignore
        self.start()

    def start(self) -> None:
        """Start a tailer over the store, with what the sink has."""
        self.tailer = build_tailer(
            self.sources,
            self.store,
            key=KEY,
            link_directory=str(self.held),
            held_limit=self.limit,
            watcher=self.watcher,
            at=self.at,
        )
        for segment, place in self.store.checkpoints.items():
            self.tailer.acknowledge(segment, place.offset)
        self.open: set[int] = set(self.tailer.segments())

    def stop(self) -> None:
        """End as a clean stop does."""
        self.tailer.close()

    def kill(self) -> None:
        """End as by SIGKILL: the kernel closes the files, nothing is saved."""
        self.tailer._open_files.close()
        self.start()

    def restart(self) -> None:
        """Stop, and start again."""
        self.stop()
        self.start()

    def scan(self, seconds: float = 1.0, *, full: bool = False) -> Scan:
        """Scan some seconds later until everything was looked at; acknowledge what is lost."""
        self.now += seconds
        while self.take_scan(full=full).has_more:
            pass
        return self.last

    def take_scan(self, *, full: bool = False) -> Scan:
        """Scan now, a share of each source; acknowledge what is lost."""
        self.last = self.tailer.scan(self.now, full=full)
        self.open |= set(self.last.changed)
        self.losses += self.last.losses
        self.warnings += self.last.warnings
        for loss in self.last.losses:
            self.tailer.acknowledge(loss.segment.id, loss.size)
        return self.last

    def read(self) -> None:
        """Read everything that is ready."""
        for segment in sorted(self.open):
            while self.read_chunk(segment):
                pass

    def read_chunk(self, segment: int) -> bool:
        """Read and acknowledge one chunk; return False if there is none."""
        at = self.store.checkpoints.get(segment, BEGINNING)
        view = self.tailer.segments().get(segment)
        chunk = self.tailer.read(segment, at, final=view is not None and view.is_writer_gone)
        if chunk is None:
            return False
        assert chunk.start == at.offset
        assert chunk.end == chunk.next.offset > chunk.start
        if chunk.rejected:
            self.rejected += chunk.rejected
            assert chunk.data == b""
        else:
            assert len(chunk.data) == chunk.end - chunk.start
            *lines, rest = chunk.data.split(b"\n")
            assert bool(rest) == chunk.torn
            self.lines += lines
            self.torn += [rest] if rest else []
        self.store.checkpoints[segment] = chunk.next
        self.tailer.acknowledge(segment, chunk.end)
        return True

    def turn(self, seconds: float = 1.0) -> None:
        """Scan some seconds later, and read, unless the sink is behind."""
        self.scan(seconds)
        if not self.behind:
            self.read()

    def turns(self, count: int = 8) -> None:
        """Take so many turns of one second."""
        for _ in range(count):
            self.turn()

    def count_lines(self) -> Counter[bytes]:
        """Count the lines that arrived."""
        return Counter(self.lines)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        threading.Event().wait(0.02)


def follow_until(follower: Follower, condition: Callable[[], bool], what: str) -> None:
    """Scan and read until the condition holds."""

    def holds() -> bool:
        follower.turn(0.01)
        return condition()

    until(holds, what)


class Writer:
    """Appends numbered lines to a file, and remembers all that it ever wrote."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.number = 0

    def make(self, count: int = 1, width: int = 40) -> bytes:
        """Make so many new lines."""
        lines = []
        for _ in range(count):
            self.number += 1
            lines.append(b'{"n": %d, "text": "%s"}' % (self.number, b"x" * width))
        self.written += lines
        return b"".join(line + b"\n" for line in lines)

    def append(self, path: pathlib.Path | str, count: int = 1, width: int = 40) -> None:
        """Append so many new lines to a file."""
        with open(path, "ab") as file:
            file.write(self.make(count, width))


def descriptors(below: pathlib.Path) -> list[str]:
    """Return what this process has open below a directory."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        with suppress(FileNotFoundError):
            found.append(os.readlink(path))
    return [each for each in found if each.startswith(f"{below}/")]


def exchange(one: pathlib.Path, other: pathlib.Path) -> None:
    """Give each of two files or directories the name of the other, at once."""
    libc, here, both = ctypes.CDLL(None, use_errno=True), -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), both):
        pytest.skip(f"no RENAME_EXCHANGE here: {os.strerror(ctypes.get_errno())}")
