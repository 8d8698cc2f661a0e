"""Where a directory really is, and whether the absence of a file in it proves a deletion.

A path shows whatever is mounted there: a disk that comes late or is replaced takes all its files
along, and none of them was deleted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracesidecar.tail.discovery.mounts import Mounts
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File
from tracesidecar.tail.segments import MountIdentity

EMPTY_ROOT_SECONDS = 24 * 3600.0
"""How long a root that is empty, on the device that it always was on, proves nothing.

A folder that is filled by somebody else (a synchronized one, an image that is restored) is empty
for a while.
"""

_FILESYSTEM_MASK = (1 << 64) - 1
_ABSENT = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class _Ground:
    """The nearest directory that is there, at or above the one that a file was in."""

    place: MountIdentity
    root: str | None


class DirectoryMounts:
    """Reads which mounts hold directories, and judges absences by them. For the tailer's thread."""

    def __init__(self, globs: SourceGlobs, tree: Tree) -> None:
        self._globs = globs
        self._tree = tree
        self._now = 0.0
        self._mounts = Mounts()
        self._grounds: dict[str, _Ground | None] = {}
        self._empty: dict[str, bool] = {}
        self._empty_since: dict[str, float] = {}
        self._same: set[tuple[MountIdentity, MountIdentity]] = set()

    def begin_scan(self, now: float) -> None:
        """Note the time of a scan; what was read in the last one is read again."""
        self._now = now
        self._mounts.forget()
        self._grounds = {}
        self._empty = {}

    def read(self, path: str) -> MountIdentity | None:
        """Return which mount holds a directory, None if it cannot be looked at."""
        try:
            with self._tree.directory(path) as descriptor:
                return self.read_open(descriptor)
        except OSError:
            return None

    def read_open(self, descriptor: int) -> MountIdentity | None:
        """Return which mount holds an open directory, None if it cannot be looked at."""
        try:
            return MountIdentity(
                os.fstat(descriptor).st_dev,
                os.fstatvfs(descriptor).f_fsid & _FILESYSTEM_MASK,
                self._find_base(descriptor),
            )
        except OSError:
            return None

    def note(self, file: File) -> None:
        """Note where a file is, if its name still leads to it.

        A file that is only open may be anywhere: another mount may cover it.
        """
        try:
            status = self._tree.stat(file.path)
        except OSError:
            return
        place = file.directory.place or self.read(file.directory.path)
        if place is not None and (status.st_dev, status.st_ino) == (file.device, file.inode):
            file.note_place(place)

    def has_changed(self, file: File) -> bool:
        """Return whether another file system is at a file's path, as far as the walk knows."""
        place = file.directory.place
        return None not in (place, file.place) and not self._is_same(file, place)

    def learn(self, file: File) -> None:
        """Learn from a file, found with its content, that its file system has another number."""
        before, now = file.place, file.directory.place or self.read(file.directory.path)
        if before is not None and now is not None and before != now:
            self._same.add((before, now))

    def proves_deletion(self, file: File) -> bool:
        """Return whether a file that is missing must have been deleted, or moved.

        That is so if its directory, or the nearest one above it that is left, can be listed and is
        on the file's own file system. If every sink has the file, the root must not be empty
        either, or must have been so for a day: to forget such a file means to deliver it again if
        it comes back.
        """
        ground = self._ground(file)
        if ground is None:
            return False
        if ground.root is None or not file.is_acknowledged:
            return True
        return not self._is_empty(ground.root)

    def has_ground(self, file: File) -> bool:
        """Return whether the root of a file is there and on the file's own file system."""
        return self._ground(file) is not None

    def _ground(self, file: File) -> _Ground | None:
        directory = file.directory.path
        if directory not in self._grounds:
            self._grounds[directory] = self._find_ground(directory)
        ground = self._grounds[directory]
        return ground if ground is not None and self._is_same(file, ground.place) else None

    def _find_ground(self, directory: str) -> _Ground | None:
        """Return the ground of a directory; None if it cannot be listed, or the root is not there.

        EACCES, EIO, ESTALE (a server that has forgotten the mount) say nothing about the files.
        """
        root = self._globs.root_of(directory)
        path = directory
        while True:
            try:
                self._tree.is_empty(path)
            except _ABSENT:
                if path in (root, "/"):
                    return None
                path = os.path.dirname(path)
            except OSError:
                return None
            else:
                break
        place = self.read(path)
        return None if place is None else _Ground(place, root)

    def _is_same(self, file: File, place: MountIdentity | None) -> bool:
        if place is None:
            return False
        if file.place is None:
            return file.device == place.device
        return file.place == place or (file.place, place) in self._same

    def _is_empty(self, root: str) -> bool:
        if root not in self._empty:
            try:
                is_empty = self._tree.is_empty(root)
            except OSError:
                is_empty = True
            if is_empty:
                since = self._empty_since.setdefault(root, self._now)
                is_empty = self._now - since < EMPTY_ROOT_SECONDS
            else:
                self._empty_since.pop(root, None)
            self._empty[root] = is_empty
        return self._empty[root]

    def _find_base(self, descriptor: int) -> str:
        """Return the base of an open directory's mount; elsewhere than on Linux there is none."""
        spot = self._mounts.locate(descriptor)
        if spot is None:
            return ""
        outside, inside = spot.outside.split("/"), spot.inside.split("/")
        while outside and inside and outside[-1] == inside[-1]:
            outside.pop()
            inside.pop()
        return f"{'/'.join(outside)}={'/'.join(inside)}" if outside or inside else ""
