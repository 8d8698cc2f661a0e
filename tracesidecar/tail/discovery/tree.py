"""The way into a watched tree: through no link that its sources do not allow."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple, Self

from tracesidecar.directories import (
    DIRECTORY,
    LISTED,
    UNTOUCHED,
    Handle,
    LinkRule,
    find_in_folder,
    open_name,
    open_path,
    open_untouched,
    real_path,
)
from tracesidecar.openat2 import open_without_links
from tracesidecar.tail.glob import GlobPattern
from tracesidecar.tail.options import SourceOptions, Symlinks

_LONGEST = 4096
"""PATH_MAX: a tree that is deeper cannot be reached by the paths that we show to people."""


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
        """How many directories are kept open during a scan."""
        self._most_kept = most_kept
        self._rules: dict[str, LinkRule] = {}
        for source in sources:
            for glob in source.include:
                root = GlobPattern.parse(glob).root
                rule = LinkRule(source.symlinks)
                self._rules[root] = max(rule, self._rules.get(root, rule), key=list(LinkRule).index)
        self._roots = sorted(self._rules, key=len, reverse=True)
        self._kept: dict[str, int] | None = None
        self._in_use = 0

    @classmethod
    def below(cls, roots: Iterable[str]) -> Self:
        """Return a tree that follows no link below these roots."""
        tree = cls(())
        tree._rules = dict.fromkeys(roots, LinkRule.NEVER)
        tree._roots = sorted(tree._rules, key=len, reverse=True)
        return tree

    # During a scan:

    def begin_scan(self) -> None:
        """Keep directories open from now on."""
        self.end_scan()
        self._kept = {}

    def end_scan(self) -> None:
        """Close all directories: an open one keeps its file system from being unmounted."""
        kept, self._kept = self._kept, None
        for descriptor in (kept or {}).values():
            os.close(descriptor)

    # What is at a path:

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

    def find(self, path: str) -> Handle:
        """Open what has a name, without touching it."""
        folder, _, name = path.rpartition("/")
        directory, is_kept = self._directory(folder or "/")
        if not is_kept:
            return find_in_folder(directory, name, partial(os.close, directory))
        self._in_use += 1
        return find_in_folder(directory, name, self._leave)

    def open_file(self, path: str) -> int:
        """Open a regular file for reading; raise OSError for anything else, which is not opened."""
        descriptor = open_without_links(path, UNTOUCHED)
        if descriptor is None:
            with self.find(path) as found:
                return found.open()
        try:
            return open_untouched(descriptor)
        finally:
            os.close(descriptor)

    def list_entries(self, path: str) -> tuple[os.stat_result, list[Entry]]:
        """Return the stat of a directory, taken before it was listed, and what is in it.

        One that may be listed but not entered (mode 0444) is listed, too.
        """
        status, entries = self.read_entries(path)
        return status, list(entries)

    def read_entries(self, path: str) -> tuple[os.stat_result, Iterator[Entry]]:
        """Return what `list_entries` does, with the entries as they are read one by one.

        Raise OSError, as the iterator may. The directory is open until that is at its end, or gone.
        """
        descriptor = self._open(path, LISTED)
        try:
            return os.fstat(descriptor), _read_entries(descriptor, os.scandir(descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def is_empty(self, path: str) -> bool:
        """Return whether nothing is in a directory; raise OSError if it cannot be listed."""
        descriptor = self._open(path, LISTED)
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
        rule = LinkRule.TRUSTED if symlinks is None else LinkRule(symlinks)
        folder, name = os.path.split(path)
        with self.directory(folder) as directory:
            descriptor = open_name(directory, name, UNTOUCHED, rule)
        try:
            real = real_path(descriptor)
            with self.directory(os.path.dirname(real)) as directory:
                yield real, Handle(descriptor, os.fstat(descriptor), directory)
        finally:
            os.close(descriptor)

    # Step by step:

    def _leave(self) -> None:
        self._in_use -= 1

    def _directory(self, path: str) -> tuple[int, bool]:
        """Return the descriptor of a directory, and whether it stays open."""
        if self._kept is not None and path in self._kept:
            return self._kept[path], True
        descriptor = self._open(path, DIRECTORY)
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
        found = None if self._is_kept(path) else open_without_links(path, flags)
        if found is not None:
            return found
        root = self._root_of(path)
        if root is None or path == root:
            return open_path(path, flags, LinkRule.TRUSTED)
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
                found = open_name(
                    descriptor, name, DIRECTORY if names else flags, self._rules[root]
                )
            finally:
                if not is_kept:
                    os.close(descriptor)
            descriptor, folder = found, os.path.join(folder, name)
            is_kept = bool(names) and self._keep(folder, descriptor)
        return descriptor

    def _is_kept(self, path: str) -> bool:
        """Return whether the directory of a path is open: then it takes one name only."""
        return self._kept is not None and (path.rpartition("/")[0] or "/") in self._kept

    def _root_of(self, path: str) -> str | None:
        """Return the deepest root that a path is, or is below."""
        for root in self._roots:
            if path.startswith(root) and (path == root or path[len(root.rstrip("/"))] == "/"):
                return root
        return None


def _read_entries(descriptor: int, entries: Iterator[os.DirEntry[str]]) -> Iterator[Entry]:
    try:
        for each in entries:
            yield _entry_of(each)
    finally:
        os.close(descriptor)


def _entry_of(found: os.DirEntry[str]) -> Entry:
    return Entry(
        found.name,
        found.inode(),
        found.is_dir(follow_symlinks=False),
        found.is_symlink(),
        found.is_file(follow_symlinks=False),
    )
