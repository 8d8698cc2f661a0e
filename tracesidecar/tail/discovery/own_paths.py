"""What this program itself writes: its output, its state and what it holds.

An agent may show it to us in the watched tree, by a link, a bind mount or a path that is followed
through another one. Read as traces, it would grow by itself without end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from tracesidecar.tail.discovery.mounts import Mounts

_Inode = tuple[int, int]


class OwnPaths:
    """Recognises directories and files of ours by device and inode, whatever their paths.

    What is below such a directory is recognised by where it is in its file system. For any thread,
    but `refresh` is for one.
    """

    def __init__(self, paths: Iterable[str], *, folders: Iterable[str] = ()) -> None:
        """`paths` are directories and files that may not be there yet; `refresh` looks at them.

        `folders` are those of hard links: they are ours, and what is below them need not be.
        """
        self._is_whole = dict.fromkeys(folders, False) | dict.fromkeys(paths, True)
        self._directories: dict[_Inode, str] = {}
        self._files: frozenset[_Inode] = frozenset()
        self._spots: tuple[tuple[int, str], ...] = ()
        self._mounts = Mounts()
        self.refresh()

    def add(self, paths: Iterable[str]) -> None:
        """Recognise more from the next `refresh` on."""
        self._is_whole = self._is_whole | dict.fromkeys(paths, True)

    def refresh(self) -> None:
        """Look at what is there now: a directory may have been made or mounted."""
        self._mounts.forget()
        directories: dict[_Inode, str] = {}
        spots: list[tuple[int, str]] = []
        files: set[_Inode] = set()
        for path, is_whole in self._is_whole.items():
            with suppress(OSError):
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    status = os.fstat(descriptor)
                    if not stat.S_ISDIR(status.st_mode):
                        files.add((status.st_dev, status.st_ino))
                        continue
                    directories[status.st_dev, status.st_ino] = path
                    if is_whole and (spot := self._mounts.locate(descriptor)) is not None:
                        spots.append((status.st_dev, spot.inside))
                finally:
                    os.close(descriptor)
        for descriptor in (1, 2):  # `tracesidecar run > FILE`
            with suppress(OSError):
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode):
                    files.add((status.st_dev, status.st_ino))
        self._directories, self._files = directories, frozenset(files)
        self._spots = tuple(spots)

    def has(self, status: os.stat_result) -> bool:
        """Return whether a directory or file is one of ours itself."""
        inode = status.st_dev, status.st_ino
        return inode in self._directories or inode in self._files

    def is_configured(self, path: str) -> bool:
        """Return whether a path is one by which we know what is ours."""
        return path in self._is_whole

    def contains(self, directory: int) -> bool:
        """Return whether an open directory is one of ours, or is below one."""
        status = os.fstat(directory)
        if self.has(status):
            return True
        if all(device != status.st_dev for device, _ in self._spots):
            return False
        spot = self._mounts.locate(directory)
        return spot is not None and any(
            device == status.st_dev and f"{spot.inside}/".startswith(f"{inside}/")
            for device, inside in self._spots
        )
