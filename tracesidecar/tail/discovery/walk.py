"""Which files there are: a walk that is repeated only where a directory has changed."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracesidecar.tail.file_table import Claims, Directory, File, FileTable
from tracesidecar.tail.glob import Exclusions, Pattern, Positions
from tracesidecar.tail.options import SourceOptions

_FRESH_NS = 3_000_000_000
"""A directory changed this recently is listed once more: file systems keep time by the tick, or by
the second.
"""

_ROTATED = re.compile(r"(.+)[.\-_][0-9][0-9.:T_-]*(?:\.gz|\.zst)?", re.DOTALL)
"""What rotation makes of a name: `a.jsonl.1`, `a.jsonl-20261121.gz`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a directory, and the source that wants it (None: a sibling that no glob matches)."""

    directory: Directory
    name: str
    source: int | None

    @property
    def path(self) -> str:
        """Return the whole path."""
        return os.path.join(self.directory.path, self.name)


@dataclass(slots=True)
class Findings:
    """What a walk met: names whose inode is not known (or known under another name), files whose
    name is gone, what it refused or could not read.
    """

    unknown: list[Place] = field(default_factory=list)
    renamed: list[tuple[File, Place]] = field(default_factory=list)
    nameless: list[File] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def merge(self, other: Findings) -> None:
        """Add what another walk met."""
        self.unknown += other.unknown
        self.renamed += other.renamed
        self.nameless += other.nameless
        self.odd += other.odd
        self.unreadable += other.unreadable


class Discovery:
    """Keeps the tree of walked directories.

    Symlinks are followed once: a directory is walked for each pattern under one path only.
    """

    def __init__(
        self, sources: Sequence[SourceOptions], files: FileTable, *, hidden: Iterable[str]
    ) -> None:
        """`hidden` are directories that are never entered: where links are held."""
        self._patterns = {
            (s, p): Pattern.parse(glob)
            for s, source in enumerate(sources)
            for p, glob in enumerate(source.include)
        }
        self._exclusions = [Exclusions(source.exclude) for source in sources]
        self._files = files
        self._hidden = {os.path.realpath(path) for path in hidden}
        self._directories: dict[str, Directory] = {}
        self._elsewhere: dict[str, Directory] = {}
        self._claimed: dict[tuple[int, int], dict[str, Claims]] = {}

    @property
    def roots(self) -> list[str]:
        """Return the directories that the patterns begin in."""
        return sorted({pattern.root for pattern in self._patterns.values()})

    def directories(self) -> list[Directory]:
        """Return all walked directories."""
        return list(self._directories.values())

    def directory(self, path: str) -> Directory:
        """Return the directory of that path; one that is not walked is known by its path only."""
        found = self._directories.get(path) or self._elsewhere.get(path)
        if found is None:
            found = self._elsewhere[path] = Directory(path, 0, 0, {}, linked=False)
        return found

    def is_watched(self, directory: Directory) -> bool:
        """Tell whether change notices cover a directory: it is walked, and not by way of a symlink."""
        return not directory.linked and self._directories.get(directory.path) is directory

    def walk(self, directories: Iterable[Directory], *, full: bool = False) -> Findings:
        """List those of the directories that have changed, with what is new below them; `full`
        lists all.
        """
        findings = Findings()
        pending = list(self._missing_roots())
        for directory in directories:
            pending += self._listed_if_changed(directory, findings, full=full)
        links: list[Directory] = []
        while pending or links:
            directory = pending.pop() if pending else links.pop(0)
            (links if directory.linked and pending else pending).extend(
                self._list(directory, findings)
            )
        return findings

    def walked(self, path: str) -> Directory | None:
        """Return the walked directory of that path."""
        return self._directories.get(path)

    def place(self, path: str) -> Place | None:
        """Return the place of a path in a walked directory, with the first source that wants it."""
        directory = self._directories.get(os.path.dirname(path))
        name = os.path.basename(path)
        return None if directory is None else Place(directory, name, self._source(directory, name))

    def note_rotation(self, place: Place, modified_ns: int) -> bool:
        """Remember that a file was rotated away from a name that is followed; False when nobody
        follows that name.
        """
        if self.source_of(place.path) is None:
            return False
        rotated = place.directory.rotated
        rotated[place.name] = min(modified_ns, rotated.get(place.name, modified_ns))
        return True

    def recall_rotation(self, file: File) -> None:
        """Note, after a restart, what name a file was rotated away from."""
        match = _ROTATED.fullmatch(file.name)
        if file.state in ("ended", "missing"):
            self.note_rotation(Place(file.directory, file.name, None), file.modified_ns)
        elif match is not None and not self.is_matched(file):
            self.note_rotation(Place(file.directory, match.group(1), None), file.modified_ns)

    def is_matched(self, file: File) -> bool:
        """Tell whether a glob matches the file's name as it is."""
        return self.source_of(file.path) is not None

    def source_of(self, path: str) -> int | None:
        """Return the first source whose globs match a path."""
        sources = sorted(
            source for (source, _), pattern in self._patterns.items() if pattern.reaches(path)
        )
        return next((source for source in sources if path not in self._exclusions[source]), None)

    def is_rotated_name(self, name: str, original: str) -> bool:
        """Tell whether a name is what rotation makes of another."""
        match = _ROTATED.fullmatch(name)
        return match is not None and match.group(1) == original

    def rotated(self, directory: Directory, name: str) -> Place | None:
        """Return the place of a file that came and went under a followed name unseen: rotated like
        one we know, and written since.
        """
        match = _ROTATED.fullmatch(name) if directory.rotated else None
        since = directory.rotated.get(match.group(1)) if match else None
        if match is None or since is None:
            return None
        try:
            status = os.stat(os.path.join(directory.path, name), follow_symlinks=False)
        except OSError:
            return None
        is_ours = status.st_mtime_ns >= since and stat.S_ISREG(status.st_mode)
        return Place(directory, name, self._source(directory, match.group(1))) if is_ours else None

    def siblings(self, directory: Directory) -> list[Place]:
        """Return every regular file of a directory, also those that no glob matches."""
        try:
            with os.scandir(directory.path) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError:
            return []
        return [Place(directory, name, self._source(directory, name)) for name in names]

    def _missing_roots(self) -> Iterable[Directory]:
        for root in self.roots:
            if root not in self._directories and (
                directory := self._enter(root, {}, linked=os.path.islink(root))
            ):
                yield directory

    def _listed_if_changed(
        self, directory: Directory, findings: Findings, *, full: bool
    ) -> list[Directory]:
        try:
            status = os.stat(directory.path)
        except OSError:
            self._leave(directory, findings)
            return []
        if (status.st_dev, status.st_ino) != (directory.device, directory.inode):
            self._leave(directory, findings)
            return []
        if status.st_mtime_ns == directory.changed_ns and not full:
            return []
        return self._list(directory, findings)

    def _enter(self, path: str, inherited: Claims, *, linked: bool) -> Directory | None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISDIR(status.st_mode) or path in self._hidden:
            return None
        claims = inherited | {
            key: pattern.start() for key, pattern in self._patterns.items() if pattern.root == path
        }
        carried = self._claimed.setdefault((status.st_dev, status.st_ino), {})
        others = [other for where, other in carried.items() if where != path]
        claims = {
            key: positions
            for key, positions in claims.items()
            if all(other.get(key) != positions for other in others)
        }
        if not claims:
            return None
        carried[path] = claims
        directory = Directory(path, status.st_dev, status.st_ino, claims, linked=linked)
        if former := self._elsewhere.pop(path, None):
            for file in list(former.files):
                self._files.move(file, directory, file.name)
            directory.rotated = former.rotated
        self._directories[path] = directory
        return directory

    def _leave(self, directory: Directory, findings: Findings) -> None:
        for child in list(directory.children.values()):
            self._leave(child, findings)
        self._directories.pop(directory.path, None)
        self._claimed.get((directory.device, directory.inode), {}).pop(directory.path, None)
        parent = self._directories.get(os.path.dirname(directory.path))
        if parent is not None:
            parent.children.pop(os.path.basename(directory.path), None)
            parent.changed_ns = -1
        findings.nameless += directory.files
        for file in list(directory.files):
            self._files.move(file, self.directory(directory.path), file.name)

    def _list(self, directory: Directory, findings: Findings) -> list[Directory]:
        """List a directory; return the sub-directories that are new."""
        try:
            changed_ns = os.stat(directory.path).st_mtime_ns
            with os.scandir(directory.path) as scanned:
                entries = list(scanned)
        except OSError:
            directory.changed_ns = -1
            findings.unreadable.append(directory.path)
            return []
        fresh: list[Directory] = []
        seen: set[int] = set()
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                fresh += self._child(directory, entry.name, linked=directory.linked)
            elif entry.is_symlink():
                fresh += self._symlink(directory, entry, findings)
            elif entry.is_file(follow_symlinks=False):
                seen.add(self._file(directory, entry, findings))
            elif self._source(directory, entry.name) is not None:
                findings.odd.append(entry.path)
        findings.nameless += [file for file in directory.files if id(file) not in seen]
        directory.changed_ns = -1 if time.time_ns() - changed_ns < _FRESH_NS else changed_ns
        return fresh

    def _child(self, directory: Directory, name: str, *, linked: bool) -> list[Directory]:
        """Enter a sub-directory; return it when it is new, or newly wanted by a further pattern."""
        if name in directory.children:
            return []
        claims: dict[tuple[int, int], Positions] = {}
        path = os.path.join(directory.path, name)
        for key, positions in directory.claims.items():
            below = self._patterns[key].descend(positions, name)
            if below and not self._exclusions[key[0]].cover(path):
                claims[key] = below
        known = self._directories.get(path)
        child = known or self._enter(path, claims, linked=linked)
        if child is None:
            return []
        directory.children[name] = child
        if known is not None and claims.items() <= known.claims.items():
            return []
        child.claims |= claims
        return [child]

    def _symlink(
        self, directory: Directory, entry: os.DirEntry[str], findings: Findings
    ) -> list[Directory]:
        try:
            status = os.stat(entry.path)
        except OSError:
            return []  # dangling, or a loop of links
        if stat.S_ISDIR(status.st_mode):
            return self._child(directory, entry.name, linked=True)
        source = self._source(directory, entry.name)
        if source is None or self._files.find(status.st_dev, status.st_ino) is not None:
            return []
        if not stat.S_ISREG(status.st_mode):
            findings.odd.append(entry.path)
            return []
        real = os.path.realpath(entry.path)
        findings.unknown.append(
            Place(self.directory(os.path.dirname(real)), os.path.basename(real), source)
        )
        return []

    def _file(self, directory: Directory, entry: os.DirEntry[str], findings: Findings) -> int:
        """Sort a regular file in; return the id() of the known file that this is the name of."""
        for file in self._files.with_inode(entry.inode()):
            if file.device == directory.device or file.directory is directory:
                if file.directory is not directory or file.name != entry.name:
                    findings.renamed.append((file, Place(directory, entry.name, None)))
                    return 0
                return id(file)
        source = self._source(directory, entry.name)
        place = (
            self.rotated(directory, entry.name)
            if source is None
            else Place(directory, entry.name, source)
        )
        if place is not None:
            findings.unknown.append(place)
        return 0

    def _source(self, directory: Directory, name: str) -> int | None:
        """Return the first source that wants a file of that name there."""
        wanted = sorted(
            key[0]
            for key, positions in directory.claims.items()
            if self._patterns[key].accepts(positions, name)
        )
        path = os.path.join(directory.path, name) if wanted else ""
        return next((source for source in wanted if path not in self._exclusions[source]), None)
