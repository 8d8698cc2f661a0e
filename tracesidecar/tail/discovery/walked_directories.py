"""The directories that are walked, and the files that have no such directory any more."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Claims, Directory, FileTable
from tracesidecar.tail.segments import MountIdentity


class WalkedDirectories:
    """Takes directories into the tree that is walked, and out of it.

    For each pattern, a directory is walked under one path only. `unreadable` are directories that
    exist and cannot be listed: path → first source, and why.
    """

    def __init__(
        self,
        tree: Tree,
        globs: SourceGlobs,
        files: FileTable,
        directory_mounts: DirectoryMounts,
        *,
        own: OwnPaths,
        admission: Admission,
    ) -> None:
        """Enter nothing that is `own`."""
        self._tree = tree
        self._globs = globs
        self._files = files
        self._directory_mounts = directory_mounts
        self._own = own
        self._admission = admission
        self._walked: dict[str, Directory] = {}
        self._elsewhere: dict[str, Directory] = {}
        self._claimed: dict[tuple[int, int], dict[str, Claims]] = {}
        self._own_elsewhere: list[str] = []
        self.unreadable: dict[str, tuple[int, str]] = {}

    def __iter__(self) -> Iterator[Directory]:
        return iter(list(self._walked.values()))

    def get(self, path: str) -> Directory | None:
        """Return the walked directory of a path, None if it is not walked."""
        return self._walked.get(path)

    def find_parent(self, path: str) -> Directory | None:
        """Return the walked directory that a path is in, None if that is not walked."""
        return self._walked.get(os.path.dirname(path))

    def has(self, directory: Directory) -> bool:
        """Return whether this very directory is walked, and not gone or replaced meanwhile."""
        return self._walked.get(directory.path) is directory

    def find(self, path: str) -> Directory:
        """Return the directory of that path; one that is not walked has nothing but the path."""
        found = self._walked.get(path) or self._elsewhere.get(path)
        if found is None:
            found = self._elsewhere[path] = Directory(path, 0, 0, {}, linked=False)
        return found

    def find_source(self, path: str) -> int:
        """Return the source in whose directory a path is, else the first one."""
        directory = self.find_parent(path) or self.get(path)
        return 0 if directory is None else directory.source

    def is_watched(self, directory: Directory) -> bool:
        """Return whether change events cover a directory: walked, and not through a symlink."""
        return not directory.linked and self.has(directory)

    def is_top(self, directory: Directory) -> bool:
        """Return whether a mount may begin here: a fresh file system can have the old numbers."""
        parent = self.find_parent(directory.path)
        return parent is None or parent.device != directory.device

    def enter_missing_roots(self) -> Iterator[Directory]:
        """Enter the roots of the patterns that were not there; yield those that are new."""
        for root in self._globs.roots:
            if root in self._walked:
                continue
            directory = self._enter(root, {}, linked=os.path.islink(root))
            if directory is not None:
                yield directory

    def enter_below(
        self, directory: Directory, name: str, *, linked: bool, claims: Claims | None = None
    ) -> list[Directory]:
        """Enter a sub-directory; return it if it is new, or if a further pattern needs it.

        `claims` are those of the directory that count, by default all.
        """
        if name in directory.children:
            return []
        claims = self._globs.claims_below(directory, name, claims)
        path = directory.locate(name)
        known = self._walked.get(path)
        child = known or self._enter(path, claims, linked=linked)
        if child is None:
            return []
        directory.children[name] = child
        if known is not None and claims.items() <= known.claims.items():
            return []
        child.claims |= claims
        return [child]

    def drop(self, directory: Directory) -> None:
        """Walk a directory no longer; its files stay known under the same paths."""
        if self._walked.pop(directory.path, None) is not None:
            self._admission.count_directory(directory.source, -1)
        self.unreadable.pop(directory.path, None)
        self._claimed.get((directory.device, directory.inode), {}).pop(directory.path, None)
        parent = self.find_parent(directory.path)
        if parent is not None:
            parent.children.pop(os.path.basename(directory.path), None)
            parent.require_listing()
        for file in list(directory.files):
            self._files.move(file, self.find(directory.path), file.name)

    def note_unreachable(self, path: str, claims: Claims, error: OSError) -> None:
        """Tell a directory that nobody has made yet from one that exists and cannot be listed."""
        if isinstance(error, FileNotFoundError | NotADirectoryError) or not claims:
            self.unreadable.pop(path, None)
            return
        source = min(key[0] for key in claims)
        self.unreadable[path] = source, error.strerror or "it cannot be listed"

    def forget_unreadable(self, directory: Directory, names: set[str]) -> None:
        """Forget that a directory could not be listed, and what `names` no longer has of it."""
        self.unreadable.pop(directory.path, None)
        for path in list(self.unreadable):
            folder, name = os.path.split(path)
            if folder == directory.path and name not in names:
                del self.unreadable[path]

    def take_own_elsewhere(self) -> list[str]:
        """Return the directories of ours that were met under other paths since the last call."""
        found, self._own_elsewhere = self._own_elsewhere, []
        return found

    def _enter(self, path: str, inherited: Claims, *, linked: bool) -> Directory | None:
        """Take a directory into the tree, unless no pattern needs it under this path."""
        claims = inherited | self._globs.claims_at(path)
        try:
            with self._tree.directory(path) as descriptor:
                status, place = os.fstat(descriptor), self._directory_mounts.read_open(descriptor)
                is_own = self._is_own(path, descriptor, status, place, linked=linked)
        except OSError as error:  # its parent may be listed, but not entered (mode 0444), say
            self.note_unreachable(path, claims, error)
            return None
        self.unreadable.pop(path, None)
        if is_own:
            return None
        claimed = self._claimed.setdefault((status.st_dev, status.st_ino), {})
        others = [other for where, other in claimed.items() if where != path]
        claims = {
            key: positions
            for key, positions in claims.items()
            if all(other.get(key) != positions for other in others)
        }
        if not claims:
            return None
        claimed[path] = claims
        directory = Directory(
            path,
            status.st_dev,
            status.st_ino,
            claims,
            linked=linked,
            place=place,
            source=min(source for source, _ in claims),
        )
        if former := self._elsewhere.pop(path, None):
            for file in list(former.files):
                self._files.move(file, directory, file.name)
            directory.rotated = former.rotated
        self._walked[path] = directory
        self._admission.count_directory(directory.source, 1)
        return directory

    def _is_own(
        self,
        path: str,
        descriptor: int,
        status: os.stat_result,
        place: MountIdentity | None,
        *,
        linked: bool,
    ) -> bool:
        """Return whether a directory is ours; it can only be below one of ours by link or mount."""
        parent = self.find_parent(path)
        is_apart = linked or parent is None or parent.place != place
        if not (self._own.contains(descriptor) if is_apart else self._own.has(status)):
            return False
        if not self._own.is_configured(path):
            self._own_elsewhere.append(path)
        return True
