"""Whether a new file continues a segment that lost its file.

It may be a copy, a compressed copy, or a restored file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tracesidecar.model import CHUNK_BYTES, TAIL_BYTES, Checkpoint
from tracesidecar.rotation import rank_in_family
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.reading.open_files import OpenedFile, OpenFiles
from tracesidecar.tail.segments import SegmentState

_INDEX_SECONDS = 30.0
"""How long the index of first bytes is kept while no new file comes."""

_OUTDATED_TIMES = 4
"""The index grows by what has changed. With so many times as many entries as there are files, it is
made again: not more often, because there may be very many.
"""

_INDEXED_AT_ONCE = 10_000

MOST_SIMILAR = 128
"""With how many files that begin alike a new one is compared: there may be very many, as of an
agent that begins each file with the same long prompt.
"""

_SEPARATOR = re.compile(r"[.\-_~]")

_ANYWHERE = ""
"""Stands for the directory of files whose first bytes are enough to compare them with all."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A segment that has lost its file, or whose file has lost its name, and since when."""

    file: File
    since: float
    path: str


@dataclass(frozen=True, slots=True)
class CopyInProgress:
    """A new file that may be becoming a copy of the segment `original`.

    When it last grew, at `since`, it held `size` bytes, and all of them were the original's. None
    stands for an original that was truncated before it could be compared.
    `at_start`: it was there when the daemon looked first, and has not grown since.
    """

    file: File
    original: int | None
    size: int
    since: float
    at_start: bool


class Continuations:
    """Knows the orphans and the possible copies, and compares new files with them."""

    def __init__(
        self,
        files: FileTable,
        open_files: OpenFiles,
        fingerprinter: Fingerprinter,
        schedule: PollSchedule,
    ) -> None:
        """Learn from `schedule` which files have changed."""
        self._files = files
        self._open_files = open_files
        self._fingerprinter = fingerprinter
        self._schedule = schedule
        self._index: _PrefixIndex | None = None
        self._is_current = False
        self._searched_at = 0.0
        self._now = 0.0
        self._orphans: dict[int, Orphan] = {}
        self._orphans_at: dict[str, dict[int, File]] = {}
        self._copies: dict[int, CopyInProgress] = {}
        self._recall: Callable[[bytes], object] | None = None

    def recall_by(self, recall: Callable[[bytes], object] | None) -> None:
        """Call this with the first bytes of each new file: it adds orphans that were at rest."""
        self._recall = recall

    @property
    def orphans(self) -> Sequence[File]:
        """Return the files of all orphans."""
        return [orphan.file for orphan in self._orphans.values()]

    @property
    def deleted(self) -> Sequence[File]:
        """Return the orphans that are read without a name."""
        return [file for file in self.orphans if file.state is SegmentState.DELETED]

    @property
    def waiting(self) -> Sequence[File]:
        """Return the new files that may be copies in progress."""
        return [copy.file for copy in self._copies.values()]

    def begin_scan(self, now: float) -> None:
        """Note the time of a scan, and drop the index of all files from time to time."""
        self._now = now
        self._is_current = False
        if now - self._searched_at >= _INDEX_SECONDS:
            self._index = None

    def note_taken(self, file: File) -> None:
        """Let a file that is read from now on be found as the original of one that comes after it.

        In a first scan of very many files only the first ones are, because each costs memory.
        """
        if self._index is not None and len(self._index) < _INDEXED_AT_ONCE:
            self._index.add(file)

    def forget(self, file: File) -> None:
        """Forget a file."""
        orphan = self._orphans.pop(file.id, None)
        if orphan is not None:
            others = self._orphans_at[orphan.path]
            del others[file.id]
            if not others:
                del self._orphans_at[orphan.path]
        self._copies.pop(file.id, None)

    def orphan(self, file: File) -> None:
        """Look for a continuation of this file from now on."""
        if file.id not in self._orphans:
            self._orphans[file.id] = Orphan(file, self._now, file.path)
            self._orphans_at.setdefault(file.path, {})[file.id] = file

    def find_expired(self) -> list[File]:
        """Return the orphans whose continuation was not found in time."""
        return [
            orphan.file
            for orphan in self._orphans.values()
            if self._now - orphan.since >= self._copy_grace(orphan.file)
        ]

    def find_predecessor(self, candidate: OpenedFile, head: bytes) -> File | None:
        """Return the orphan that goes on in this file: the one with the most in common."""
        if self._recall is not None:
            self._recall(head)
        digests: dict[int, bytes] = {}
        found: list[File] = []
        for file in self.orphans:
            length = file.prefix_length
            if not length or length > len(head):
                continue
            digest = digests.get(length) or digests.setdefault(
                length, self._fingerprinter.digest(head[:length])
            )
            if digest == file.prefix_digest and self._continues(file, candidate):
                found.append(file)
        return max(found, key=lambda file: file.reach_offset, default=None)

    def find_orphans_at(self, path: str) -> list[File]:
        """Return the orphans that had this path, in the order in which they lost it."""
        return list(self._orphans_at.get(path, {}).values())

    def find_suspended(self, file: File, candidate: OpenedFile) -> File | None:
        """Return the segment that is away, had this file's path, and goes on in it."""
        found = [
            away
            for away in self._files.find_suspended_at(file.path)
            if away.prefix_length
            and away.compression == file.compression
            and self._fingerprinter.begins_with(candidate, away.prefix)
            and self._fingerprinter.matches(candidate, away.reach)
        ]
        return max(found, key=lambda away: away.reach_offset, default=None)

    def original_of(self, file: File, candidate: OpenedFile, head: bytes) -> File | None:
        """Return the live file that may be in the process of being copied to this one."""
        former = self._copies.get(file.id)
        if former is not None and former.original is not None:
            known = self._files.get(former.original)
            if known is not None and self._is_copy(file, candidate, known):
                return known
        similar = self.find_similar(file, head)
        return next((known for known in similar if self._is_copy(file, candidate, known)), None)

    def find_similar(self, file: File, head: bytes) -> list[File]:
        """Return the live files that may begin as this one, as they were when they were looked at.

        That is the one from which its name says that it was rotated, then those that changed last.
        """
        original, _, _ = rank_in_family(file.name)
        similar: dict[int, File] = {}
        for known in chain(
            file.directory.files.with_name(original),
            self._update_index().find_similar(file, head),
        ):
            if known.state is SegmentState.LIVE:
                similar[known.id] = known
                if len(similar) >= MOST_SIMILAR:
                    break
        return list(similar.values())

    def _update_index(self) -> _PrefixIndex:
        """Return the index of all files, as they are when a scan first needs it."""
        index, self._searched_at = self._index, self._now
        most = max(_INDEXED_AT_ONCE, _OUTDATED_TIMES * len(self._files))
        if index is None or (not self._is_current and len(index) > most):
            self._schedule.take_changed()
            index = self._index = _PrefixIndex(self._files, self._fingerprinter)
        elif not self._is_current:
            index.add_all(self._schedule.take_changed())
        self._is_current = True
        return index

    def wait(self, file: File, original: File | None, size: int, *, at_start: bool) -> bool:
        """Let a possible copy wait; return False if it has not grown for long enough."""
        former = self._copies.get(file.id)
        is_known = former is not None and (former.original is not None or original is None)
        if former is None or former.size != size or not is_known:
            if former is not None:
                # what grows as the original has it is being copied, also if that began before us
                at_start = former.at_start and size < former.size
            self._copies[file.id] = CopyInProgress(
                file, None if original is None else original.id, size, self._now, at_start
            )
            return True
        return self._now - former.since < self._copy_grace(file)

    def waits_since(self, file: File) -> float:
        """Return since when a possible copy has not grown."""
        return self._copies[file.id].since

    def was_there_at_start(self, file: File) -> bool:
        """Return whether a possible copy was there when the daemon looked first."""
        copy = self._copies.get(file.id)
        return copy is None or copy.at_start

    def is_contained(self, file: File, original: File) -> bool:
        """Return whether the original begins with all bytes of a file; reads both.

        It does not if one of them cannot be read.
        """
        try:
            return self._is_readable_beginning(file, original)
        except OSError:
            return False

    def _is_readable_beginning(self, file: File, original: File) -> bool:
        copy, source = self._open_files.reopen(file), self._open_files.reopen(original)
        if copy is None or source is None or not _begin_alike(copy, source):
            return False
        offset = 0
        while True:
            part = copy.pread(CHUNK_BYTES, offset)
            if part != source.pread(len(part), offset):
                return False
            if not part:
                return True
            offset += len(part)

    def is_beginning(self, candidate: OpenedFile, other: OpenedFile) -> bool:
        """Return whether a file is shorter than another one, which begins like it.

        It is not if one of them cannot be read.
        """
        size = candidate.size()
        start = max(0, size - TAIL_BYTES)
        try:
            return (
                size < other.size()
                and _begin_alike(candidate, other)
                and candidate.pread(size - start, start) == other.pread(size - start, start)
            )
        except OSError:
            return False

    def is_spent(self, file: File, size: int) -> bool:
        """Return whether a file holds nothing new.

        It was seen to be a copy of a file that has ended since, and that had been read as far as
        the copy goes. Of an archive nobody knows that: only its first bytes were compared.
        """
        copy = self._copies.get(file.id)
        if copy is None or copy.size != size or copy.original is None:
            return False
        if file.compression != "none":
            return False
        original = self._orphans.get(copy.original)
        return original is not None and original.file.reach_offset >= size

    def _copy_grace(self, file: File) -> float:
        return float(self._files.options(file).copy_grace)

    def _continues(self, file: File, candidate: OpenedFile) -> bool:
        place = file.reach
        if file.state is SegmentState.DELETED:
            # The file can still be read, so its continuation must have all of it.
            end = self._find_end(file)
            if end is None and place.offset < file.length:
                return False  # nothing shows that its rest, which cannot be read now, is there
            place = end or place
        return self._fingerprinter.matches(candidate, place)

    def _find_end(self, file: File) -> Checkpoint | None:
        """Return the checkpoint at the end of a file, None if it cannot be read."""
        try:
            opened = self._open_files.open(file)
            return None if opened is None else self._fingerprinter.checkpoint(opened, file.length)
        except OSError:
            return None

    def _is_copy(self, file: File, candidate: OpenedFile, original: File) -> bool:
        try:
            return self._is_readable_copy(file, candidate, original)
        except OSError:
            return False  # a broken disk, say: nothing shows that one is made of the other

    def _is_readable_copy(self, file: File, candidate: OpenedFile, original: File) -> bool:
        source = self._open_files.open(original) if original.state is SegmentState.LIVE else None
        if source is None or not _begin_alike(source, candidate):
            return False
        if original.compression != "none" and file.compression == "none":
            # Being unpacked, as `gunzip` names it. Else it is a new file that begins alike, which
            # would wait as long as it grows.
            unpacked = original.name.removesuffix(".gz").removesuffix(".zst")
            return file.directory is original.directory and file.name == unpacked
        if file.compression != "none":
            return file.compression != original.compression
        size = candidate.size()
        start = max(0, size - TAIL_BYTES)
        return size <= source.size() and source.pread(size - start, start) == candidate.pread(
            size - start, start
        )


def _begin_alike(one: OpenedFile, other: OpenedFile) -> bool:
    heads = one.pread(TAIL_BYTES, 0), other.pread(TAIL_BYTES, 0)
    shared = min(map(len, heads))
    return shared > 0 and heads[0][:shared] == heads[1][:shared]


class _PrefixIndex:
    """Files by their first bytes: as they are, or were, in any state.

    Short files are compared only within their directory, and by name if the new file is shorter
    still. The directory is known by its path: the first scan finds the files of the last run there
    before it has entered the directory.
    """

    def __init__(self, files: Iterable[File], fingerprinter: Fingerprinter) -> None:
        self._fingerprinter = fingerprinter
        self._by_prefix: dict[tuple[str, bytes], list[File]] = {}
        self._lengths: dict[str, set[int]] = {}
        self._by_name: dict[tuple[str, str], list[File]] = {}
        self._count = 0
        self.add_all(files)

    def __len__(self) -> int:
        return self._count

    def add_all(self, files: Iterable[File]) -> None:
        """Let these files be found as they are now, those first that are added last."""
        for file in files:
            self.add(file)

    def add(self, file: File) -> None:
        """Let a file be found as it is now."""
        folder = file.directory.path
        place = _ANYWHERE if file.prefix_length == TAIL_BYTES else folder
        alike = self._by_prefix.setdefault((place, file.prefix_digest), [])
        if alike and alike[-1] is file:
            return  # one that is written to all the time
        self._count += 1
        alike.append(file)
        self._lengths.setdefault(place, set()).add(file.prefix_length)
        stem = file.name.partition(".")[0]
        self._by_name.setdefault((folder, stem), []).append(file)

    def find_similar(self, file: File, head: bytes) -> Iterator[File]:
        folder = file.directory.path
        for place in (_ANYWHERE, folder):
            for length in self._lengths.get(place, ()):
                if length <= len(head):
                    digest = self._fingerprinter.digest(head[:length])
                    yield from reversed(self._by_prefix.get((place, digest), ()))
        if len(head) < TAIL_BYTES:
            for cut in _SEPARATOR.finditer(file.name):
                yield from self._by_name.get((folder, file.name[: cut.start()]), ())
