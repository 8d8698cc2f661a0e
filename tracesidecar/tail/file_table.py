"""The known files, in memory: a few hundred bytes each, found by segment id and by inode."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tracesidecar.model import Checkpoint, Compression, Segment
from tracesidecar.tail.fingerprint import Prefix
from tracesidecar.tail.glob import Positions
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.compressed import ArchiveFile, Damage, may_be_archive
from tracesidecar.tail.segments import LossReason, MountIdentity, Protection, SegmentState

Claims = dict[tuple[int, int], Positions]
"""For which patterns (source, pattern) a directory is walked, and how far each has got there."""

Key = TypeVar("Key", int, str)

_UNVERIFIED = -1
"""A ctime that no file has."""


_FEW = 64
"""In a directory with more known files, they are found by name without a look at all of them."""


LISTING_SECONDS = 0.1
"""A directory that takes longer to list rests afterwards, as long as scans are bounded: an agent
may change one of 100,000 names all the time, and change notices name what is new in it.
"""

_RESTS = 10
"""How many times as long as its listing took."""


class DirectoryFiles:
    """The known files of a directory, by name: of a few names there is more than one.

    Only FileTable changes it.
    """

    __slots__ = ("_by_name", "_few")

    def __init__(self) -> None:
        self._few: list[File] = []
        self._by_name: dict[str, File | tuple[File, ...]] = {}

    def __iter__(self) -> Iterator[File]:
        yield from self._few
        for found in self._by_name.values():
            if isinstance(found, tuple):
                yield from found
            else:
                yield found

    def with_name(self, name: str) -> tuple[File, ...]:
        """Return the files that have this name, in the order in which they became known."""
        if not self._by_name:
            return tuple(file for file in self._few if file.name == name)
        found = self._by_name.get(name, ())
        return found if isinstance(found, tuple) else (found,)

    def add(self, file: File) -> None:
        """Add a file under its name."""
        if self._by_name:
            self._add_by_name(file)
            return
        self._few.append(file)
        if len(self._few) > _FEW:
            few, self._few = self._few, []
            for each in few:
                self._add_by_name(each)

    def discard(self, file: File) -> bool:
        """Remove a file, which still has its name; return whether it was here."""
        namesakes = self.with_name(file.name)
        if file not in namesakes:
            return False
        if not self._by_name:
            self._few.remove(file)
            return True
        left = tuple(other for other in namesakes if other is not file)
        if len(left) > 1:
            self._by_name[file.name] = left
        elif left:
            self._by_name[file.name] = left[0]
        else:
            del self._by_name[file.name]
        return True

    def _add_by_name(self, file: File) -> None:
        others = self.with_name(file.name) if self._by_name else ()
        self._by_name[file.name] = (*others, file) if others else file


@dataclass(slots=True, eq=False)
class Directory:
    """A directory that is walked; the walk alone changes it.

    `changed_ns` (ctime) is -1 when the directory must be listed again. One that is `linked` was
    reached through a symlink. `place` is None in one that is not walked. `rotated` has the names
    that files were rotated away from, and when the first of those files was last written. `source`
    is the one whose budget it uses. One that takes long to list is not listed again before
    `rests_until` (monotonic clock).
    """

    path: str
    device: int
    inode: int
    claims: Claims
    linked: bool
    place: MountIdentity | None = None
    changed_ns: int = -1
    children: dict[str, Directory] = field(default_factory=dict)
    files: DirectoryFiles = field(default_factory=DirectoryFiles)
    rotated: dict[str, int] = field(default_factory=dict)
    source: int = 0
    rests_until: float = 0.0

    def locate(self, name: str) -> str:
        """Return the path of a name in it."""
        return f"{self.path}/{name}" if self.path != "/" else f"/{name}"

    def require_listing(self) -> None:
        """Have the directory listed at the next look, even if its ctime does not change."""
        self.changed_ns = _UNVERIFIED

    def note_listed(self, changed_ns: int) -> None:
        """Note that the directory was listed with this ctime."""
        self.changed_ns = changed_ns

    def rest_after(self, seconds: float) -> None:
        """Let the directory rest if it took long to list."""
        if seconds > LISTING_SECONDS:
            self.rests_until = time.monotonic() + _RESTS * seconds


@dataclass(slots=True, eq=False)
class File:
    """A known file, as it was when last looked at; only its own methods change it.

    `reach` is the furthest place that was read or committed, with the digest of the bytes before
    it. `length` is the decompressed length as far as it is known; of an archive it is the whole
    length only when `is_whole`. It is beyond `size` as long as what was appended cannot be read.
    `changed_ns` (ctime) is -1 when the content must be verified before
    it is trusted again. `origin` is the path under which the file was first seen, empty as long as
    it has that path. `recorded_protection` is what the journal says of its protection; `can_link`
    is whether the last attempt to link it succeeded, None before the first. `damage` says why an
    archive can be read no further; it is not saved, but met again after a restart. `place` is that
    of the directory in which it was last seen. What is before `begin` is also in the segment
    `former`, which goes on here (0: there is none).

    Equal numbers and digests are the same object: in a small file that is done most are equal, and
    there are very many such files.
    """

    id: int
    source: int
    directory: Directory
    name: str
    device: int
    inode: int
    generation: int
    size: int = 0
    length: int = 0
    modified_ns: int = 0
    changed_ns: int = _UNVERIFIED
    prefix_length: int = 0
    prefix_digest: bytes = b""
    reach_offset: int = 0
    reach_digest: bytes = b""
    acknowledged_offset: int = 0
    state: SegmentState = SegmentState.NEW
    compression: Compression = "none"
    loss: LossReason | None = None
    is_whole: bool = False
    origin: str = ""
    begin: int = 0
    recorded_protection: Protection | None = None
    can_link: bool | None = None
    damage: Damage | None = None
    place: MountIdentity | None = None
    former: int = 0

    @property
    def path(self) -> str:
        """Return where the file was last seen."""
        return self.directory.locate(self.name)

    @property
    def prefix(self) -> Prefix:
        """Return the first bytes as last seen."""
        return Prefix(self.prefix_length, self.prefix_digest)

    @property
    def reach(self) -> Checkpoint:
        """Return the furthest place that was read or committed."""
        return Checkpoint(self.reach_offset, self.reach_digest)

    @property
    def disk_bytes(self) -> int:
        """Return how long the file is on disk, with what could not be read of it."""
        return max(self.size, self.length) if self.compression == "none" else self.size

    @property
    def is_acknowledged(self) -> bool:
        """Return whether every required sink has all bytes that are known."""
        return self.acknowledged_offset >= self.length

    @property
    def is_read_to_end(self) -> bool:
        """Return whether everything that is known to be in the file has been read."""
        return self.reach_offset >= self.length and (
            self.is_whole or self.damage is not None or self.compression == "none"
        )

    @property
    def is_writer_gone(self) -> bool:
        """Return whether no byte will be added."""
        return self.state is SegmentState.DELETED or self.is_whole or self.damage is not None

    @property
    def is_undecided(self) -> bool:
        """Return whether the file has something, but may be a copy in progress."""
        return self.state is SegmentState.NEW and self.prefix_length > 0

    @property
    def has_barely_begun(self) -> bool:
        """Return whether the file was read, and is an archive without any content so far."""
        was_read = self.size > 0 and may_be_archive(self.name)
        return was_read and not self.prefix_length and not self.is_whole

    @property
    def is_mere_copy(self) -> bool:
        """Return whether nothing is read of the file because another one has all of its bytes."""
        return self.state is SegmentState.SPENT and self.loss is None

    # The name:

    def move_to(self, directory: Directory, name: str) -> None:
        """Note where the file is now. `FileTable.move` calls this: it finds the file there."""
        before = self.path
        self.directory, self.name = directory, name
        if self.path != before:
            self.origin = self.origin or before

    def note_origin(self, path: str) -> None:
        """Note under which path the file was seen before it was known."""
        self.origin = path

    # The content:

    def advance(self, place: Checkpoint) -> None:
        """Note that the file has been read up to a place."""
        if place.offset > self.reach_offset:
            self.length = max(self.length, place.offset)
            self.reach_offset = self.length if place.offset == self.length else place.offset
            self.reach_digest = (
                self.prefix_digest if place.digest == self.prefix_digest else place.digest
            )

    def acknowledge(self, offset: int) -> None:
        """Note that every required sink has the file up to an offset."""
        if offset > self.acknowledged_offset:
            self.acknowledged_offset = self.reach_offset if offset == self.reach_offset else offset

    def observe(self, status: os.stat_result) -> None:
        """Update size, times and inode from a stat, after the content has been verified."""
        if status.st_size != self.size:
            self.is_whole = False
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
            self.damage = None
        if (self.device, self.inode) != (status.st_dev, status.st_ino):
            # else keep the number objects that are shared with the table
            self.device, self.inode = status.st_dev, status.st_ino
        self.modified_ns, self.changed_ns = status.st_mtime_ns, status.st_ctime_ns
        if self.size != status.st_size:
            self.size = status.st_size
        if self.compression == "none":
            self.length = self.size

    def note_unread(self, size: int) -> bool:
        """Note how long a file is that cannot be opened; return whether it is longer than known.

        If it is deleted and nothing has kept it, that much is lost.
        """
        if self.compression != "none" or size <= self.length:
            return False
        self.length = size
        return True

    def note_compression(self, compression: Compression) -> None:
        """Note how the file is compressed. Its length is not known yet if it is an archive."""
        self.compression = compression
        if compression != "none":
            self.length = self.reach_offset

    def note_prefix(self, prefix: Prefix) -> None:
        """Note that the file begins with these bytes."""
        self.prefix_length = self.size if self.size == prefix.length else prefix.length
        self.prefix_digest = prefix.digest

    def observe_archive(self, archive: ArchiveFile) -> bool:
        """Note how much is in an archive; return whether only now its whole length is known."""
        if archive.damage is not None:
            self.damage, self.length = archive.damage, archive.size()
            return False
        was_whole, self.is_whole = self.is_whole, self.is_whole or archive.is_complete
        self.length = archive.size() if archive.is_complete else max(self.length, archive.size())
        return self.is_whole and not was_whole

    def succeed(self, generation: int) -> None:
        """Note that the file is the next version of one of this generation."""
        self.generation = generation + 1

    def renumber(self, device: int) -> None:
        """Note another device number: a reboot may change it."""
        self.device = device

    def note_place(self, place: MountIdentity) -> None:
        """Note where the file's directory is."""
        self.place = place

    def require_verification(self) -> None:
        """Have the content verified at the next look, even if its stat does not change."""
        self.changed_ns = _UNVERIFIED

    def begin_at(self, place: Checkpoint, former: int) -> None:
        """Begin in mid-file: what is before this place was delivered as another segment.

        `FileTable.succeed` calls this: it finds the file by that segment.
        """
        self.begin, self.former = place.offset, former
        self.advance(place)

    def accept_change(self, changed_ns: int) -> None:
        """Update the ctime without verification, because the cause of the change is known."""
        self.changed_ns = changed_ns

    def note_link(self, *, is_made: bool) -> None:
        """Note whether a hard link could be made."""
        self.can_link = is_made

    # The state:

    def take(self) -> None:
        """Begin to read: the file is new, or has been found again."""
        self.state = SegmentState.LIVE

    def spend(self) -> None:
        """Read nothing of it from now on: it is a copy, or a damaged archive."""
        self.state = SegmentState.SPENT

    def lose_name(self, *, is_readable: bool) -> None:
        """Note that the name is gone; `is_readable` if a link or descriptor still has the file."""
        self.state = SegmentState.DELETED if is_readable else SegmentState.MISSING

    def suspend(self) -> None:
        """Note that the file is missing, and perhaps only because its file system is."""
        self.state = SegmentState.AWAY

    def recover(self) -> None:
        """Note that the file is there after all; whether it has its name is looked up next."""
        self.state, self.loss = SegmentState.LIVE, None

    def end(self, reason: LossReason) -> None:
        """Note that something else stands in the file now."""
        self.state, self.loss = SegmentState.ENDED, reason

    def give_up(self, reason: LossReason) -> None:
        """Note that the rest of the file cannot be read any more."""
        self.state, self.loss = SegmentState.LOST, reason

    def continue_as(self, other: File, status: os.stat_result) -> None:
        """Go on in the file that `other` was made for, with this segment's id and offsets."""
        self.compression, self.loss = other.compression, None
        self.state = SegmentState.LIVE
        self.observe(status)

    # The journal:

    def note_recorded(self, protection: Protection | None) -> None:
        """Note what the journal says of the protection."""
        self.recorded_protection = protection


class FileTable:
    """All known files. One that has lost its inode (ended, lost) is found by its id only.

    One that is away is found by its inode apart from the others: that number may be another file's.
    One that is at rest is in the journal only, until its inode is met.
    """

    def __init__(self, sources: Sequence[SourceOptions]) -> None:
        self._sources = sources
        self._recall: Callable[[int], object] | None = None
        self._by_id: dict[int, File] = {}
        self._by_inode: dict[int, File | tuple[File, ...]] = {}
        self._away: dict[int, list[File]] = {}
        self._away_at: dict[str, list[File]] = {}
        self._successors: dict[int, File] = {}
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[File]:
        return iter(list(self._by_id.values()))

    def __contains__(self, segment: int) -> bool:
        return segment in self._by_id

    def count(self, source: int) -> int:
        """Return how many files of a source are known."""
        return self._counts[source]

    def get(self, segment: int) -> File | None:
        """Return the file of a segment."""
        return self._by_id.get(segment)

    def succeed(self, former: File, file: File, place: Checkpoint) -> None:
        """Let a file begin at a place up to which it is the same as a former segment in it."""
        file.begin_at(place, former.id)
        self._successors[former.id] = file

    def find_successor(self, segment: int) -> tuple[int, int] | None:
        """Return the segment that has the unchanged beginning of another now, and its length."""
        file, length = self._successors.get(segment), sys.maxsize
        last = None
        while file is not None:
            last, length = file, min(length, file.begin)
            file = self._successors.get(file.id)
        return None if last is None else (last.id, length)

    def recall_by(self, recall: Callable[[int], object] | None) -> None:
        """Call this with each inode that no known file has: it adds those at rest that had it."""
        self._recall = recall

    def find(self, device: int, inode: int) -> File | None:
        """Return the file that has this inode now."""
        if self._recall is not None and inode not in self._by_inode:
            self._recall(inode)
        found = self._by_inode.get(inode)
        if isinstance(found, tuple):
            return next((file for file in found if file.device == device), None)
        return found if found is not None and found.device == device else None

    def with_inode(self, inode: int) -> tuple[File, ...]:
        """Return the files with this inode on any device."""
        if self._recall is not None and inode not in self._by_inode:
            self._recall(inode)
        return self._in_memory(inode)

    def _in_memory(self, inode: int) -> tuple[File, ...]:
        found = self._by_inode.get(inode)
        return found if isinstance(found, tuple) else () if found is None else (found,)

    def options(self, file: File) -> SourceOptions:
        """Return the options of the file's source."""
        return self._sources[file.source]

    def segment(self, file: File) -> Segment:
        """Return the value that goes along with the file's bytes."""
        name = self.options(file).name
        return Segment(
            file.id,
            name,
            file.path,
            file.device,
            file.inode,
            file.generation,
            file.origin,
            file.begin,
        )

    def add(self, file: File) -> None:
        """Make a file known under its id, its inode and its directory."""
        self._counts[file.source] += 1
        self._by_id[file.id] = file
        if file.former:
            self._successors[file.former] = file
        if file.state is SegmentState.AWAY:
            self._add_away_file(file)
        else:
            self.attach(file)
        file.directory.files.add(file)

    def attach(self, file: File) -> None:
        """Let a file be found by its inode."""
        others = self._in_memory(file.inode)
        self._by_inode[file.inode] = (*others, file) if others else file

    def detach(self, file: File) -> None:
        """Let a file no longer be found by its inode."""
        left = tuple(other for other in self._in_memory(file.inode) if other is not file)
        if len(left) > 1:
            self._by_inode[file.inode] = left
        elif left:
            self._by_inode[file.inode] = left[0]
        else:
            self._by_inode.pop(file.inode, None)

    @property
    def suspended(self) -> list[File]:
        """Return the files that are away."""
        return [file for files in self._away.values() for file in files]

    def find_suspended(self, inode: int) -> tuple[File, ...]:
        """Return the files that are away and had this inode."""
        return tuple(self._away.get(inode, ()))

    def find_suspended_at(self, path: str) -> tuple[File, ...]:
        """Return the files that are away and had this path."""
        return tuple(self._away_at.get(path, ()))

    def suspend(self, file: File) -> None:
        """Find a file apart from the others from now on: it is away."""
        self.detach(file)
        self._add_away_file(file)

    def readmit(self, file: File) -> None:
        """Find a file among the others again: it is no longer away."""
        self._drop_away_file(file)
        self.attach(file)

    def move(self, file: File, directory: Directory, name: str) -> None:
        """Give a file another directory and name."""
        is_away = file.state is SegmentState.AWAY
        if is_away:
            self._drop_away_file(file)
        was_there = file.directory.files.discard(file) or file.directory is not directory
        file.move_to(directory, name)
        if was_there:
            directory.files.add(file)
        if is_away:
            self._add_away_file(file)

    def remove(self, file: File) -> None:
        """Forget a file."""
        if self._by_id.pop(file.id, None) is not None:
            self._counts[file.source] -= 1
        self._successors.pop(file.id, None)
        if self._successors.get(file.former) is file:
            del self._successors[file.former]
        self.detach(file)
        self._drop_away_file(file)
        file.directory.files.discard(file)

    def _add_away_file(self, file: File) -> None:
        self._away.setdefault(file.inode, []).append(file)
        self._away_at.setdefault(file.path, []).append(file)

    def _drop_away_file(self, file: File) -> None:
        _drop(self._away, file.inode, file)
        _drop(self._away_at, file.path, file)


def _drop(files: dict[Key, list[File]], key: Key, file: File) -> None:
    others = [other for other in files.get(key, ()) if other is not file]
    if others:
        files[key] = others
    else:
        files.pop(key, None)
