"""Segments at rest: finished long ago, and gone. They stay in the journal until they are met again.

An agent that ran for years leaves very many of them. Each could still come back in the first scans,
moved or compressed; after that they are over.
"""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence

from tracesidecar.model import BEGINNING
from tracesidecar.tail.discovery.places import Places
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import (
    FinishedSegment,
    Place,
    SegmentRecord,
    SegmentState,
    SegmentStore,
)
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.lifecycle import IN_USE_NS, Lifecycle

_NUMBER_BITS = 24
"""More segments than such a number can count are loaded as ever."""

_KEY_MASK = (1 << 64 - _NUMBER_BITS) - 1
_DIGEST_BYTES = (64 - _NUMBER_BITS) // 8

_JUDGED_AT_ONCE = 2000
"""How many segments are found to be over in one scan."""

_KNOWN_FOLDERS = 10_000

_Folder = tuple[str, int, Place | None]


class RestingSegments:
    """Leaves segments in the journal at the start, and makes them known once they are met.

    One is met if a file has its inode, or begins as it does. Each takes 24 bytes.
    """

    def __init__(
        self,
        *,
        store: SegmentStore,
        sources: Sequence[SourceOptions],
        globs: SourceGlobs,
        places: Places,
        files: FileTable,
        schedule: PollSchedule,
        continuations: Continuations,
        lifecycle: Lifecycle,
        fingerprinter: Fingerprinter,
        linked: frozenset[int],
        directory: Callable[[str], Directory],
    ) -> None:
        """`linked` are the segments that have a hard link."""
        self._store = store
        self._sources = {source.name: number for number, source in enumerate(sources)}
        self._grace = max((source.copy_grace for source in sources), default=0.0)
        self._globs = globs
        self._places = places
        self._files = files
        self._schedule = schedule
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._fingerprinter = fingerprinter
        self._linked = linked
        self._old_ns = time.time_ns() - IN_USE_NS
        self._directory = directory
        self._announce: Callable[[Collection[int]], object] | None = None
        self._folders: dict[_Folder, frozenset[str] | None] = {}
        self._ids = array("q")
        self._by_inode = array("Q")
        self._by_prefix = array("Q")
        self._prefix_lengths: set[int] = set()
        self._is_left = bytearray()
        self._judged = 0
        self._since: float | None = None

    # ---- at the start

    def rests(self, segment: FinishedSegment) -> bool:
        """Return whether a live segment that every sink has can be left in the journal."""
        folder, _, name = segment.path.rpartition("/")
        key = folder, segment.device, segment.place
        try:
            names = self._folders[key]
        except KeyError:
            if len(self._folders) >= _KNOWN_FOLDERS:
                self._folders.clear()
            names = self._folders[key] = self._list(folder, segment)
        number = len(self._ids)
        if (
            names is None
            or name in names
            or segment.id in self._linked
            or not segment.prefix_length
            or number >> _NUMBER_BITS
            or segment.modified_ns > self._old_ns
        ):
            return False
        self._ids.append(segment.id)
        self._by_inode.append(_inode_key(segment.inode) | number)
        self._by_prefix.append(_prefix_key(segment.prefix_digest) | number)
        self._prefix_lengths.add(segment.prefix_length)
        return True

    def begin(self) -> None:
        """Be ready to be met: every segment was loaded, or rests."""
        self._folders.clear()
        if not self._ids:
            return
        self._by_inode = array("Q", sorted(self._by_inode))
        self._by_prefix = array("Q", sorted(self._by_prefix))
        self._is_left = bytearray(b"\1") * len(self._ids)
        self._files.recall_by(self._recall_inode)
        self._continuations.recall_by(self._recall_similar)

    def announce_by(self, announce: Callable[[Collection[int]], object]) -> None:
        """Call this with the segments that are about to be known again."""
        self._announce = announce

    def _list(self, folder: str, segment: FinishedSegment) -> frozenset[str] | None:
        """Return the names in a folder; None if a file that is not there may yet be something.

        Its file system may be away, or its lines may go on in a neighbour that nobody follows.
        """
        root = self._globs.root_of(folder)
        if root is None or not self._places.has_ground(_stand_in(segment, folder)):
            return None
        if _is_empty(root):
            return None
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
            if any(
                entry.is_file(follow_symlinks=False) and self._globs.source_of(entry.path) is None
                for entry in found
            ):
                return None
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError:
            return None
        return frozenset(entry.name for entry in found)

    # ---- in scans

    def expire(self, now: float) -> None:
        """Find segments to be over, some at a time, once no other file can go on with them."""
        if not self._ids:
            return
        self._since = now if self._since is None else self._since
        if now - self._since < self._grace:
            return
        stop = min(self._judged + _JUDGED_AT_ONCE, len(self._ids))
        numbers = {self._ids[at]: at for at in range(self._judged, stop) if self._is_left[at]}
        left = []
        for record in self._store.recall(numbers):
            folder = Directory(os.path.dirname(record.path), 0, 0, {}, linked=False)
            is_over = self._places.proves_deletion(self._revive(record, folder))
            if is_over and not os.path.lexists(record.path):
                self._lifecycle.forget_resting(record.id)
            else:
                left.append(numbers[record.id])
        for file in self._recall(left):
            self._schedule.recheck_soon(file)
        for number in numbers.values():
            self._is_left[number] = 0
        self._judged = stop
        if stop == len(self._ids):
            self._end()

    def _end(self) -> None:
        self._ids, self._by_inode, self._by_prefix = array("q"), array("Q"), array("Q")
        self._is_left = bytearray()
        self._files.recall_by(None)
        self._continuations.recall_by(None)

    def _recall_inode(self, inode: int) -> None:
        for file in self._recall(self._find(self._by_inode, _inode_key(inode))):
            self._schedule.recheck_soon(file)

    def _recall_similar(self, head: bytes) -> None:
        """Search a new file, of which these are the first bytes, for what was in others."""
        met: list[int] = []
        for length in self._prefix_lengths:
            if length <= len(head):
                digest = self._fingerprinter.digest(head[:length])
                met += self._find(self._by_prefix, _prefix_key(digest))
        for file in self._recall(met):
            self._lifecycle.lose_name(file, is_readable=False)

    def _find(self, keys: array[int], key: int) -> list[int]:
        """Return the numbers of the segments with a key, which others rarely share by chance."""
        found = []
        for at in range(bisect_left(keys, key), len(keys)):
            number = keys[at] - key
            if number >> _NUMBER_BITS:
                break
            if self._is_left[number]:
                found.append(number)
        return found

    def _recall(self, numbers: Collection[int]) -> list[File]:
        """Make segments known, as they would have been since the start."""
        if not numbers:
            return []
        segments = {self._ids[number] for number in numbers}
        records = self._store.recall(segments)
        reached = self._store.load_frontier(segments)
        if self._announce is not None:
            self._announce(segments)
        files = []
        for record in records:
            file = self._revive(record, self._directory(os.path.dirname(record.path)))
            file.advance(reached.get(record.id, BEGINNING))
            self._files.add(file)
            files.append(file)
        for number in numbers:
            self._is_left[number] = 0
        return files

    def _revive(self, record: SegmentRecord, folder: Directory) -> File:
        file = File.revive(record, self._sources[record.source], folder, None)
        file.acknowledge(file.length)
        return file


def _is_empty(root: str) -> bool:
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def _stand_in(segment: FinishedSegment, folder: str) -> File:
    """Return a file that stands for one of its folder where only its place counts."""
    return File(
        segment.id,
        0,
        Directory(folder, 0, 0, {}, linked=False),
        "",
        segment.device,
        segment.inode,
        0,
        state=SegmentState.MISSING,
        place=segment.place,
    )


def _inode_key(inode: int) -> int:
    return (inode & _KEY_MASK) << _NUMBER_BITS


def _prefix_key(digest: bytes) -> int:
    return int.from_bytes(digest[:_DIGEST_BYTES]) << _NUMBER_BITS
