"""The way into a watched tree: by directory descriptors, and through no link that is not allowed.

Who writes in the tree may put a link in the place of any name, at any moment. So no path below a
root is ever given to the kernel as a whole: each name is opened in the directory that was opened
before it, and what is opened is looked at before anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, Self

from tracesidecar.tail.glob import GlobPattern
from tracesidecar.tail.options import SourceOptions, Symlinks

_PATH = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK)
"""Opens what has a name without touching it: a FIFO has no reader, a device is not started."""

_NO_LINK = _PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = _NO_LINK | os.O_DIRECTORY
_LISTED = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MOST_LINKS = 40
"""As the kernel's own limit for one path, path_resolution(7)."""

_LONGEST = 4096
"""PATH_MAX: a tree that is deeper cannot be reached by the paths that we show to people."""

_PARENT_MODE = 0o755
"""That of directories on the way: others may enter them, a lake for a group may be in them, too."""

_ROOT = -1
"""Stands for the root directory, in place of a descriptor."""


class LinkNotFollowed(NotADirectoryError):
    """A symbolic link is there, and `symlinks` says that it is not followed."""


class UntrustedLink(OSError):
    """A symbolic link in the path of a root belongs to neither root nor this user."""


class _Rule(Enum):
    """Which links are followed."""

    NEVER = "never"
    SAME_OWNER = "same_owner"
    """Those that belong to the owner of what they lead to."""
    FOLLOW = "follow"
    ON_THE_WAY = "on_the_way"
    """Those of `SAME_OWNER`, and those of `TRUSTED`."""
    TRUSTED = "trusted"
    """Those of root and of this user: who else could change them?"""


@dataclass(frozen=True, slots=True)
class Handle:
    """Something that has a name, opened without being touched, and its directory.

    Valid as long as the context that made it.
    """

    descriptor: int
    status: os.stat_result
    folder: int

    @property
    def folder_owner(self) -> int:
        """Return the user to whom the directory belongs."""
        return os.fstat(self.folder).st_uid

    @property
    def is_regular(self) -> bool:
        """Return whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def inode(self) -> tuple[int, int]:
        """Return the device and the inode number."""
        return self.status.st_dev, self.status.st_ino

    def open(self) -> int:
        """Open this very file for reading; raise OSError if it is no regular file."""
        if not self.is_regular:
            raise OSError(errno.EINVAL, "not a regular file")
        return os.open(_entry(self.descriptor), _READ)

    def link(self, folder: int, name: str) -> None:
        """Give this very file a hard link: a name in an open directory."""
        # as linkat(2) describes it; without `dst_dir_fd` Python calls link(2), which would link
        # the entry in /proc
        os.link(_entry(self.descriptor), name, dst_dir_fd=folder)


class Entry(NamedTuple):
    """A name in a directory, as its listing has it."""

    name: str
    inode: int
    is_directory: bool
    is_link: bool
    is_file: bool


class Tree:
    """Opens what is at a path, and below a root only through links that its sources allow.

    The part of an include before its first wildcard is a root. In it, and outside of all roots,
    links are followed that root or this user owns. Below it, `symlinks` decides; where the roots of
    several sources lie in each other, that of the deepest root, and of equal ones the most liberal.

    A link that is not followed is a NotADirectoryError below a root, and elsewhere an
    UntrustedLink. For one thread; between `begin_scan` and `end_scan` directories stay open, so one
    that is moved away in that time is still found under its old path.
    """

    def __init__(self, sources: Iterable[SourceOptions], *, most_kept: int = 0) -> None:
        """During a scan, so many directories are kept open."""
        self._most_kept = most_kept
        self._rules: dict[str, _Rule] = {}
        for source in sources:
            for glob in source.include:
                root = GlobPattern.parse(glob).root
                rule = _Rule(source.symlinks)
                self._rules[root] = max(rule, self._rules.get(root, rule), key=list(_Rule).index)
        self._roots = sorted(self._rules, key=len, reverse=True)
        self._kept: dict[str, int] | None = None
        self._in_use = 0

    @classmethod
    def below(cls, roots: Iterable[str]) -> Self:
        """Return a tree that follows no link below these roots."""
        tree = cls(())
        tree._rules = dict.fromkeys(roots, _Rule.NEVER)
        tree._roots = sorted(tree._rules, key=len, reverse=True)
        return tree

    # ---- during a scan

    def begin_scan(self) -> None:
        """Keep directories open from now on."""
        self.end_scan()
        self._kept = {}

    def end_scan(self) -> None:
        """Close all directories: an open one keeps its file system from being unmounted."""
        kept, self._kept = self._kept, None
        for descriptor in (kept or {}).values():
            os.close(descriptor)

    # ---- what is at a path

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """Open a directory, which need not be readable, as `dir_fd` for others."""
        descriptor, is_kept = self._directory(path)
        self._in_use += 1
        try:
            yield descriptor
        finally:
            self._in_use -= 1
            if not is_kept:
                os.close(descriptor)

    def stat(self, path: str) -> os.stat_result:
        """Return the stat of what has a name; of a link that has it, never of its target."""
        folder, _, name = path.rpartition("/")
        descriptor, is_kept = self._directory(folder or "/")
        try:
            return os.stat(name or ".", dir_fd=descriptor, follow_symlinks=False)
        finally:
            if not is_kept:
                os.close(descriptor)

    def stat_directory(self, path: str) -> os.stat_result:
        """Return the stat of a directory."""
        with self.directory(path) as descriptor:
            return os.fstat(descriptor)

    @contextmanager
    def find(self, path: str) -> Iterator[Handle]:
        """Open what has a name, without touching it."""
        folder, _, name = path.rpartition("/")
        directory, is_kept = self._directory(folder or "/")
        self._in_use += 1
        try:
            descriptor = os.open(name or ".", _NO_LINK, dir_fd=directory)
            try:
                yield Handle(descriptor, os.fstat(descriptor), directory)
            finally:
                os.close(descriptor)
        finally:
            self._in_use -= 1
            if not is_kept:
                os.close(directory)

    def open_file(self, path: str) -> int:
        """Open a regular file for reading; raise OSError for anything else, which is not opened."""
        folder, _, name = path.rpartition("/")
        directory, is_kept = self._directory(folder or "/")
        try:
            descriptor = os.open(name or ".", _NO_LINK, dir_fd=directory)
            try:
                return Handle(descriptor, os.fstat(descriptor), directory).open()
            finally:
                os.close(descriptor)
        finally:
            if not is_kept:
                os.close(directory)

    def list_entries(self, path: str) -> tuple[os.stat_result, list[Entry]]:
        """Return the stat of a directory, taken before it was listed, and what is in it.

        One that may be listed but not entered (mode 0444) is listed, too.
        """
        descriptor = self._open(path, _LISTED)
        try:
            status = os.fstat(descriptor)
            with os.scandir(descriptor) as entries:
                return status, [_entry_of(each) for each in entries]
        finally:
            os.close(descriptor)

    def is_empty(self, path: str) -> bool:
        """Return whether nothing is in a directory; raise OSError if it cannot be listed."""
        descriptor = self._open(path, _LISTED)
        try:
            with os.scandir(descriptor) as entries:
                return next(entries, None) is None
        finally:
            os.close(descriptor)

    def walk(self, path: str) -> Iterator[tuple[str, list[Entry]]]:
        """Yield a directory and those below it, each with its entries; no link is followed.

        What cannot be listed is passed over.
        """
        pending = [path]
        while pending:
            folder = pending.pop()
            with suppress(OSError):
                _, entries = self.list_entries(folder)
                pending += [
                    os.path.join(folder, each.name) for each in entries if each.is_directory
                ]
                yield folder, entries

    @contextmanager
    def follow(self, path: str, symlinks: Symlinks | None) -> Iterator[tuple[str, Handle]]:
        """Open what a link leads to, without touching it; yield its real path, too.

        None for `symlinks`: the link is part of a root. Raise OSError if it must not be followed.
        """
        rule = _Rule.TRUSTED if symlinks is None else _Rule(symlinks)
        folder, name = os.path.split(path)
        with self.directory(folder) as directory:
            descriptor = _step(directory, name, _NO_LINK, _Way(rule))
        try:
            real = os.readlink(_entry(descriptor))
            with self.directory(os.path.dirname(real)) as directory:
                yield real, Handle(descriptor, os.fstat(descriptor), directory)
        finally:
            os.close(descriptor)

    # ---- step by step

    def _directory(self, path: str) -> tuple[int, bool]:
        """Return the descriptor of a directory, and whether it stays open."""
        if self._kept is not None and path in self._kept:
            return self._kept[path], True
        descriptor = self._open(path, _DIRECTORY)
        return descriptor, self._keep(path, descriptor)

    def _keep(self, path: str, descriptor: int) -> bool:
        """Keep a directory open, in place of the oldest; return whether that is possible."""
        kept = self._kept
        if kept is None or not self._most_kept:
            return False
        if len(kept) >= self._most_kept:
            if self._in_use:
                return False
            os.close(kept.pop(next(iter(kept))))
        kept[path] = descriptor
        return True

    def _open(self, path: str, flags: int) -> int:
        if len(path) >= _LONGEST:  # as the kernel says of a path that is given as a whole
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        root = self._root_of(path)
        if root is None or path == root:
            return _descend(_ROOT, path, flags, _Way(_Rule.TRUSTED))
        folder, _, below = path.rpartition("/")
        names = [below]
        kept = self._kept or {}
        while (folder or "/") != root and folder not in kept:
            folder, _, below = folder.rpartition("/")
            names.append(below)
        folder = folder or "/"
        descriptor, is_kept = self._directory(folder)
        while names:
            name = names.pop()
            try:
                found = _step(
                    descriptor, name, _DIRECTORY if names else flags, _Way(self._rules[root])
                )
            finally:
                if not is_kept:
                    os.close(descriptor)
            descriptor, folder = found, os.path.join(folder, name)
            is_kept = bool(names) and self._keep(folder, descriptor)
        return descriptor

    def _root_of(self, path: str) -> str | None:
        """Return the deepest root that a path is, or is below."""
        for root in self._roots:
            if path.startswith(root) and (path == root or path[len(root.rstrip("/"))] == "/"):
                return root
        return None


@dataclass(slots=True)
class _Links:
    """How many more links one path may have."""

    left: int = _MOST_LINKS

    def follow(self) -> None:
        """Count a link; raise OSError if there are too many."""
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


@dataclass(frozen=True, slots=True)
class _Way:
    """How a path is gone: which links are followed, and the mode of directories that it makes."""

    rule: _Rule
    mode: int | None = None
    links: _Links = field(default_factory=_Links)


def open_regular(path: str) -> int:
    """Open a regular file for reading; raise OSError for anything else, which is not opened.

    Links are followed: for paths that a person has given.
    """
    descriptor = os.open(path, _PATH | os.O_CLOEXEC)
    try:
        return Handle(descriptor, os.fstat(descriptor), -1).open()
    finally:
        os.close(descriptor)


@contextmanager
def find_in_folder(folder: int, name: str) -> Iterator[Handle]:
    """Open what has a name in an open directory, without touching it."""
    descriptor = os.open(name or ".", _NO_LINK, dir_fd=folder)
    try:
        yield Handle(descriptor, os.fstat(descriptor), folder)
    finally:
        os.close(descriptor)


def open_trusted_directory(path: str, *, makes_missing: bool = False) -> int:
    """Open a directory as `dir_fd`, by way of no link but those of root and of this user.

    Directories that are missing can be made; others may enter them.
    """
    mode = _PARENT_MODE if makes_missing else None
    return _descend(_ROOT, path, _DIRECTORY, _Way(_Rule.TRUSTED, mode))


def open_below(
    folder: int,
    name: str,
    *,
    mode: int | None = None,
    follows_trusted: bool = False,
    reads: bool = False,
) -> int:
    """Open a directory in an open one: as `dir_fd`, or to be listed, too, with `reads`.

    With a mode, it is made if it is missing. With `follows_trusted` it may be a link of root or of
    this user.
    """
    rule = _Rule.TRUSTED if follows_trusted else _Rule.NEVER
    return _step(folder, name or ".", _LISTED if reads else _DIRECTORY, _Way(rule, mode))


def open_own_directory(path: str, mode: int | None = None) -> int:
    """Open a directory as `dir_fd`: one that is no link, by way of none of somebody else's.

    With a mode, it is made if it is missing.
    """
    parent, name = os.path.split(path)
    folder = open_trusted_directory(parent, makes_missing=mode is not None)
    try:
        return open_below(folder, name, mode=mode)
    finally:
        os.close(folder)


def _descend(start: int, path: str, flags: int, way: _Way) -> int:
    """Open what a path leads to, name by name, from an open directory."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    start = _ROOT if path.startswith("/") else start
    folder = os.open("/" if start == _ROOT else ".", _DIRECTORY, dir_fd=_none_if_root(start))
    for position, name in enumerate(names):
        is_last = position == len(names) - 1
        try:
            below = _step(folder, name, flags if is_last else _DIRECTORY, way)
        finally:
            os.close(folder)
        folder = below
    return folder


def _step(folder: int, name: str, flags: int, way: _Way) -> int:
    """Open a name in an open directory, or what it leads to if it is a link that is followed."""
    if flags & os.O_DIRECTORY:
        try:
            return _open_directory(folder, name, flags, way)
        except NotADirectoryError:
            if way.rule is _Rule.NEVER:
                raise
    descriptor = os.open(name, _NO_LINK, dir_fd=folder)
    status = os.fstat(descriptor)
    if not stat.S_ISLNK(status.st_mode) and not flags & os.O_DIRECTORY:
        return descriptor
    try:
        target = os.readlink("", dir_fd=descriptor) if stat.S_ISLNK(status.st_mode) else None
    finally:
        os.close(descriptor)
    if target is None or way.rule is _Rule.NEVER:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return _follow(folder, target, status.st_uid, flags, way)


def _open_directory(folder: int, name: str, flags: int, way: _Way) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        if way.mode is None:
            raise
    try:
        os.mkdir(name, way.mode, dir_fd=folder)
    except FileExistsError:
        return os.open(name, flags, dir_fd=folder)
    made = os.open(name, flags, dir_fd=folder)
    os.chmod(_entry(made), way.mode | os.fstat(made).st_mode & stat.S_ISGID)  # whatever the umask
    return made


def _follow(folder: int, target: str, owner: int, flags: int, way: _Way) -> int:
    """Open what a link of an owner leads to, if that is allowed."""
    is_trusted = owner in {0, os.geteuid()}
    if way.rule is _Rule.TRUSTED and not is_trusted:
        raise UntrustedLink(errno.ELOOP, "a symbolic link in its path belongs to another user")
    way.links.follow()
    # on the way that a link names there may be links of the system's, such as /var/run
    rule = _Rule.ON_THE_WAY if way.rule is _Rule.SAME_OWNER else way.rule
    untouched = _DIRECTORY if flags & os.O_DIRECTORY else _NO_LINK
    found = _descend(folder, target, untouched, replace(way, rule=rule))
    is_allowed = (
        way.rule in {_Rule.FOLLOW, _Rule.TRUSTED}
        or (way.rule is _Rule.ON_THE_WAY and is_trusted)
        or os.fstat(found).st_uid == owner
    )
    if not is_allowed:
        os.close(found)
        raise LinkNotFollowed(errno.ENOTDIR, "it leads to something of another owner")
    if flags == untouched:
        return found
    try:
        return os.open(_entry(found), flags & ~os.O_NOFOLLOW)
    finally:
        os.close(found)


def _none_if_root(start: int) -> int | None:
    return None if start == _ROOT else start


def _entry(descriptor: int) -> str:
    """Return the path by which the kernel gives access to an open file, whatever its names."""
    return f"/proc/self/fd/{descriptor}"


def _entry_of(found: os.DirEntry[str]) -> Entry:
    return Entry(
        found.name,
        found.inode(),
        found.is_dir(follow_symlinks=False),
        found.is_symlink(),
        found.is_file(follow_symlinks=False),
    )
