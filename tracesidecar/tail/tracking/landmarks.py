"""How much of a rewritten or shortened file is still what was read.

The digests of a segment say whether it is unchanged up to its end. They do not say how far it is
unchanged, which is what counts when the end is gone: after a power cut of the agent's disk, a file
lacks what was not on the disk yet, and the agent goes on from there. So each segment has landmarks:
a mark for every line near its end, and sampled digests before these.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator

import msgspec

from tracesidecar.model import BEGINNING, TAIL_BYTES, Checkpoint
from tracesidecar.tail.file_table import File
from tracesidecar.tail.fingerprint import ByteSource, Fingerprinter, Prefix
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.segments import FormerFile, SegmentState, SegmentStore

_ZONE_BYTES = 64 << 10
_ZONE_LINES = 1024
_MARK_BYTES = 4
_MOST_SAMPLES = 24
_READ_STATES = (SegmentState.LIVE, SegmentState.DELETED)
_MOST_COMPARED = 256
"""How many lines at each end of a file are compared with those of the former at its path."""

_RECENT_NS = 86_400 * 10**9
"""A file that rests longer is on the disk: no power cut shortens it."""


class Landmarks(msgspec.Struct, frozen=True, array_like=True):
    """What is known of the bytes before a place.

    From `zone` on, `lengths` are those of the lines with their newlines, and `marks` has four bytes
    for each, of the line's digest. `samples` are places before the zone, with the digest of the
    bytes before each.
    """

    zone: int
    zone_digest: bytes
    lengths: tuple[int, ...]
    marks: bytes
    samples: tuple[tuple[int, bytes], ...] = ()

    @property
    def end(self) -> int:
        """The place up to which this says something."""
        return self.zone + sum(self.lengths)


class LandmarkKeeper:
    """Makes the landmarks of files that were read, and finds the first change by them."""

    def __init__(
        self, open_files: OpenFiles, fingerprinter: Fingerprinter, store: SegmentStore
    ) -> None:
        self._open_files = open_files
        self._fingerprinter = fingerprinter
        self._store = store
        self._read: set[int] = set()
        self._unsaved: dict[int, bytes] = {}

    def note_reading(self, file: File) -> None:
        """Note that a file was read: how far is a place to remember."""
        if file.compression == "none":
            self._read.add(file.id)

    def mark(self, file: File) -> bytes | None:
        """Return the landmarks of a file that was read, as they are not saved yet."""
        self.renew(file)
        return self._unsaved.get(file.id)

    def renew(self, file: File) -> None:
        """Make the landmarks of a file that was read, as far as it was read."""
        if file.id not in self._read or file.state not in _READ_STATES:
            return
        self._read.discard(file.id)
        if time.time_ns() - file.modified_ns > _RECENT_NS:
            return
        opened = self._open_files.open(file)
        try:
            if opened is None or not self._fingerprinter.matches(opened, file.reach):
                return
            made = self._make(opened, file.reach, self._load(file.id))
        except OSError:
            return  # a broken disk, say: the former ones are still true
        self._unsaved[file.id] = msgspec.msgpack.encode(made)

    def flush(self) -> None:
        """Save what was made since the last call; what cannot be saved stays for the next one."""
        if self._unsaved:
            self._store.save_landmarks(self._unsaved)
            self._unsaved = {}

    def find_unchanged(self, file: File, opened: ByteSource, size: int) -> Checkpoint:
        """Return the end of the last line up to which a changed file is as it was read.

        That is its beginning if nothing is known, or nothing is left. A line counts as unchanged if
        everything from the beginning of the zone to its end is; before the zone, samples decide.
        """
        known = self._load(file.id)
        if known is None:
            return BEGINNING
        if known.zone and not self._fingerprinter.begins_with(opened, file.prefix):
            return BEGINNING  # without a zone, the marks of its lines say how it begins
        zone = Checkpoint(known.zone, known.zone_digest)
        if known.zone <= size and self._fingerprinter.matches(opened, zone):
            end = self._find_last_line(known, opened)
            return self._fingerprinter.checkpoint(opened, end)
        samples = (Checkpoint(offset, digest) for offset, digest in reversed(known.samples))
        return next(
            (
                sample
                for sample in samples
                if sample.offset <= size and self._fingerprinter.matches(opened, sample)
            ),
            BEGINNING,
        )

    def is_like(self, file: File, other: ByteSource, size: int) -> bool:
        """Return whether another file, of `size` bytes, is a version of one that cannot be read.

        It is if it has more of its beginning than a line, or if half of its own lines, at its
        beginning or end, are known ones. One line does if it is half of the other: rotated files
        may all begin with the same.
        """
        return self._is_like(file.prefix, self._load(file.id), other, _measure(file, other, size))

    def find_forgotten(self, file: File, other: ByteSource, size: int) -> FormerFile | None:
        """Return the forgotten file of a new one's path of which that is a version."""
        former = self._store.find_former(file.path)
        if former is None or former.record.compression != file.compression:
            return None
        size = _measure(file, other, size)
        known = None if former.landmarks is None else _decode(former.landmarks)
        prefix = Prefix(former.record.prefix_length, former.record.prefix_digest)
        return former if self._is_like(prefix, known, other, size) else None

    def _is_like(
        self, prefix: Prefix, known: Landmarks | None, other: ByteSource, size: int
    ) -> bool:
        is_enough = prefix.length == TAIL_BYTES or 0 < size <= 2 * prefix.length
        if prefix.length and is_enough and self._fingerprinter.begins_with(other, prefix):
            return True
        if known is None:
            return False
        if known.zone and self._fingerprinter.matches(
            other, Checkpoint(known.zone, known.zone_digest)
        ):
            return True
        end = 0 if known.zone else self._find_last_line(known, other)
        if end and (size <= 2 * end or end > known.lengths[0]):
            return True
        marks = {
            known.marks[at : at + _MARK_BYTES] for at in range(0, len(known.marks), _MARK_BYTES)
        }
        start = max(0, size - _ZONE_BYTES)
        first = _split(other.pread(min(size, _ZONE_BYTES), 0))[:_MOST_COMPARED]
        last = _split(other.pread(size - start, start))[-_MOST_COMPARED:]
        return any(self._has_half_of(lines, marks) for lines in (first, last))

    def _has_half_of(self, lines: list[bytes], marks: Collection[bytes]) -> bool:
        """Return whether half of some lines are known ones, and more than the first of a file."""
        shared = sum(mark in marks for _, mark in self._mark(lines))
        return 2 * shared >= len(lines) and shared > min(1, len(marks) - 1)

    def is_unchanged(self, file: File, opened: ByteSource) -> bool:
        """Return whether all landmarks are as they were: sampled, and exact near the end."""
        known = self._load(file.id)
        if known is None:
            return True
        samples = [Checkpoint(offset, digest) for offset, digest in known.samples]
        return (
            all(
                self._fingerprinter.matches(opened, place)
                for place in (*samples, Checkpoint(known.zone, known.zone_digest))
            )
            and self._find_last_line(known, opened) == known.end
        )

    def _load(self, segment: int) -> Landmarks | None:
        content = self._unsaved.get(segment) or self._store.load_landmarks(segment)
        return None if content is None else _decode(content)

    def _make(self, opened: ByteSource, reach: Checkpoint, former: Landmarks | None) -> Landmarks:
        start = max(0, reach.offset - _ZONE_BYTES)
        data = opened.pread(reach.offset - start, start)
        if start:
            skipped = data.find(b"\n") + 1
            start, data = start + skipped, data[skipped:]
        lines = _split(data)
        if len(lines) > _ZONE_LINES:
            start += sum(map(len, lines[:-_ZONE_LINES]))
            lines = lines[-_ZONE_LINES:]
        zone = self._fingerprinter.checkpoint(opened, start)
        marks = b"".join(mark for _, mark in self._mark(lines))
        places = self._sample(opened, start, former)
        return Landmarks(start, zone.digest, tuple(map(len, lines)), marks, tuple(places))

    def _sample(
        self, opened: ByteSource, zone: int, former: Landmarks | None
    ) -> Iterable[tuple[int, bytes]]:
        """Return places before the zone: the further back, the further apart."""
        kept = dict(former.samples) if former is not None else {}
        samples: list[tuple[int, bytes]] = []
        distance = _ZONE_BYTES // 2
        place = zone - distance
        while place > 0 and len(samples) < _MOST_SAMPLES:
            near = next((old for old in kept if abs(old - place) <= distance // 4), None)
            if near is not None:
                samples.append((near, kept[near]))
            else:
                newline = opened.pread(TAIL_BYTES, place).find(b"\n")
                if newline >= 0:
                    found = self._fingerprinter.checkpoint(opened, place + newline + 1)
                    samples.append((found.offset, found.digest))
            distance *= 2
            place -= distance
        return sorted(set(samples))

    def _find_last_line(self, known: Landmarks, opened: ByteSource) -> int:
        """Return the end of the last line of the zone up to which nothing has changed."""
        data = opened.pread(sum(known.lengths), known.zone)
        lines, at = [], 0
        for length in known.lengths:
            lines.append(data[at : at + length])
            at += length
        end = known.zone
        for number, (line, mark) in enumerate(self._mark(lines)):
            place = number * _MARK_BYTES
            if (
                len(line) != known.lengths[number]
                or mark != known.marks[place : place + _MARK_BYTES]
            ):
                break
            end += len(line)
        return end

    def _mark(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        key = self._fingerprinter.key
        for line in lines:
            yield line, hashlib.blake2b(line, key=key, digest_size=_MARK_BYTES).digest()


def _measure(file: File, opened: ByteSource, size: int) -> int:
    """Return the size of a file; of an archive, that of its content, or at least three prefixes."""
    return size if file.compression == "none" else len(opened.pread(3 * TAIL_BYTES, 0))


def _decode(content: bytes) -> Landmarks | None:
    """Decode landmarks; None if they are damaged: then nothing is known."""
    try:
        found = msgspec.msgpack.decode(content, type=Landmarks)
    except msgspec.DecodeError:
        return None
    is_sound = min((found.zone, *found.lengths, *(at for at, _ in found.samples))) >= 0
    return found if is_sound and sum(found.lengths) <= _ZONE_BYTES else None


def _split(data: bytes) -> list[bytes]:
    """Split at newlines only, and keep them; `splitlines` would split at carriage returns too."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])
