"""The files that are known, in memory: a few hundred bytes each, found by segment and by inode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from tracesidecar.model import Checkpoint, Compression, Segment
from tracesidecar.tail.fingerprint import Prefix
from tracesidecar.tail.glob import Positions
from tracesidecar.tail.segments import LossReason, Protection, SegmentRecord, State

Claims = dict[tuple[int, int], Positions]
"""Which patterns (source, pattern) a directory is walked for, and how far each has got."""


@dataclass(slots=True, eq=False)
class Directory:
    """A directory that is walked. `changed_ns` is -1 when it must be listed again; one that is
    `linked` was reached through a symlink.

    `rotated` has the names that files were rotated away from, and when the first of those was last
    written.
    """

    path: str
    device: int
    inode: int
    claims: Claims
    linked: bool
    changed_ns: int = -1
    children: dict[str, Directory] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    rotated: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class File:
    """A known file, as it was when last looked at. `reach` is the furthest place read or committed,
    with the digest of what stands before it.

    Equal numbers and digests are the same object: of a small file that is done, most are equal, and
    there are very many of those.

    `changed_ns` (ctime) is -1 when the file must be verified before it is trusted again. `length`
    is the decompressed length as far as known; of an archive it is the whole of it only when
    `is_whole`. `origin` is the path that it had when first seen, empty as long as it has that.

    `recorded_protection` is what the journal says of its protection. `can_link` is whether the last
    attempt to link it succeeded, None before the first.
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
    changed_ns: int = -1
    prefix_length: int = 0
    prefix_digest: bytes = b""
    reach_offset: int = 0
    reach_digest: bytes = b""
    settled: int = 0
    state: State = "new"
    compression: Compression = "none"
    loss: LossReason | None = None
    is_whole: bool = False
    origin: str = ""
    recorded_protection: Protection | None = None
    can_link: bool | None = None

    @property
    def path(self) -> str:
        """Return where the file was last seen."""
        return os.path.join(self.directory.path, self.name)

    @property
    def prefix(self) -> Prefix:
        """Return the first bytes as last seen."""
        return Prefix(self.prefix_length, self.prefix_digest)

    @property
    def reach(self) -> Checkpoint:
        """Return the furthest place read or committed."""
        return Checkpoint(self.reach_offset, self.reach_digest)

    def advance(self, place: Checkpoint) -> None:
        """Note that the file has been read up to a place."""
        if place.offset > self.reach_offset:
            self.length = max(self.length, place.offset)
            self.reach_offset = self.length if place.offset == self.length else place.offset
            self.reach_digest = (
                self.prefix_digest if place.digest == self.prefix_digest else place.digest
            )

    def settle(self, offset: int) -> None:
        """Note that every sink that must have the file has it up to here."""
        if offset > self.settled:
            self.settled = self.reach_offset if offset == self.reach_offset else offset

    def note(self, status: os.stat_result) -> None:
        """Take over what a stat says, after the content has been verified."""
        if (self.device, self.inode) != (
            status.st_dev,
            status.st_ino,
        ):  # else keep the numbers that are shared with the catalogue
            self.device, self.inode = status.st_dev, status.st_ino
        self.modified_ns, self.changed_ns = status.st_mtime_ns, status.st_ctime_ns
        if self.size != status.st_size:
            self.size = status.st_size
        if self.compression == "none":
            self.length = self.size

    def segment(self, source: str) -> Segment:
        """Return the value that goes along with the bytes."""
        return Segment(
            self.id, source, self.path, self.device, self.inode, self.generation, self.origin
        )

    def record(self, source: str, protection: Protection) -> SegmentRecord:
        """Return what the journal keeps."""
        return SegmentRecord(
            self.id, source, self.path, self.device, self.inode, self.generation, self.compression, self.size,
            self.prefix_length, self.prefix_digest, self.modified_ns, self.changed_ns, self.state, self.loss, self.length, self.is_whole, self.origin,
            protection, self.can_link,
        )  # fmt: skip


class FileTable:
    """All known files. One that has lost its inode (ended, missing) is found by its id only."""

    def __init__(self) -> None:
        self._by_id: dict[int, File] = {}
        self._by_inode: dict[int, File | tuple[File, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[File]:
        return iter(list(self._by_id.values()))

    def __contains__(self, segment: int) -> bool:
        return segment in self._by_id

    def get(self, segment: int) -> File | None:
        """Return the file of a segment."""
        return self._by_id.get(segment)

    def find(self, device: int, inode: int) -> File | None:
        """Return the file that has this inode now."""
        found = self._by_inode.get(inode)
        if isinstance(found, tuple):
            return next((file for file in found if file.device == device), None)
        return found if found is not None and found.device == device else None

    def with_inode(self, inode: int) -> tuple[File, ...]:
        """Return the files with this inode on any device."""
        found = self._by_inode.get(inode)
        return found if isinstance(found, tuple) else () if found is None else (found,)

    def add(self, file: File) -> None:
        """Make a file known under its id, its inode and its directory."""
        self._by_id[file.id] = file
        self.attach(file)
        file.directory.files.append(file)

    def attach(self, file: File) -> None:
        """Make a file found by its inode."""
        others = self.with_inode(file.inode)
        self._by_inode[file.inode] = (*others, file) if others else file

    def detach(self, file: File) -> None:
        """Make a file no longer found by its inode."""
        left = tuple(other for other in self.with_inode(file.inode) if other is not file)
        if len(left) > 1:
            self._by_inode[file.inode] = left
        elif left:
            self._by_inode[file.inode] = left[0]
        else:
            self._by_inode.pop(file.inode, None)

    def move(self, file: File, directory: Directory, name: str) -> None:
        """Give a file another place and name."""
        before = file.path
        if file.directory is not directory:
            if file in file.directory.files:
                file.directory.files.remove(file)
            directory.files.append(file)
            file.directory = directory
        file.name = name
        if file.path != before:
            file.origin = file.origin or before

    def remove(self, file: File) -> None:
        """Forget a file."""
        self._by_id.pop(file.id, None)
        self.detach(file)
        if file in file.directory.files:
            file.directory.files.remove(file)
