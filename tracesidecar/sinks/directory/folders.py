"""The folders of a lake, opened name by name from its own.

The lake may belong to somebody else, who could put a link in the place of a folder: what is written
through it would be anywhere. Below the lake's own folder no link is ever followed, and on the way
to it only those of root and of this user.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from tracesidecar.directories import LISTED, LinkRule, find_in_folder, open_path


class LakeFolders:
    """Opens the folders of one lake, each once, until they are closed together.

    Names are relative to the lake; its own folder is "". Each is opened in the one above it, which
    was opened before: nothing that somebody puts in its place later is entered. Raise OSError for
    what cannot be opened: NotADirectoryError where a link or a file has the name of a folder, and
    FileNotFoundError for a name that leads out of the lake.
    """

    def __init__(self, path: str, mode: int = 0o750) -> None:
        """Open the lake's own folder. Folders that are made get this mode."""
        self._mode = mode
        self._open = {"": open_path(path, LISTED, LinkRule.TRUSTED)}
        self._unsynced = {""}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def find(self, folder: str) -> int:
        """Return the descriptor of a folder."""
        _require_below(folder)
        missing = []
        while folder not in self._open:
            missing.append(folder)
            folder = os.path.dirname(folder)
        descriptor = self._open[folder]
        for below in reversed(missing):
            # LISTED has O_NOFOLLOW and O_DIRECTORY: a link is ENOTDIR
            descriptor = os.open(os.path.basename(below), LISTED, dir_fd=descriptor)
            self._open[below] = descriptor
        return descriptor

    def make(self, folder: str) -> int:
        """Return the descriptor of a folder, which is made durably if it is missing.

        An inherited set-group-id bit stays set.
        """
        _require_below(folder)
        self._unsynced.add(folder)
        if not folder:
            return self._open[folder]
        above, name = os.path.split(folder)
        parent = self.make(above)
        try:
            return self.find(folder)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was first
                os.mkdir(name, self._mode, dir_fd=parent)
                inherited = os.fstat(self.find(folder)).st_mode & stat.S_ISGID
                os.fchmod(self.find(folder), self._mode | inherited)
                os.fsync(parent)
            return self.find(folder)

    def open_file(self, name: str) -> int:
        """Open a regular file for reading; a link is none."""
        _require_below(name)
        folder, base = os.path.split(name)
        with find_in_folder(self.find(folder), base) as found:
            if not found.is_regular:
                raise OSError(errno.EINVAL, f"{name} is not a regular file")
            return found.open()

    def stat(self, name: str) -> os.stat_result:
        """Return the stat of a file; of a link that has its name, not of what that leads to."""
        _require_below(name)
        folder, base = os.path.split(name)
        return os.stat(base, dir_fd=self.find(folder), follow_symlinks=False)

    def walk(self, folder: str = "") -> Iterator[tuple[str, list[str]]]:
        """Yield each folder with the names of the regular files in it, in order.

        Raise OSError if the first cannot be listed; one below it may go meanwhile.
        """
        pending = [folder]
        while pending:
            each = pending.pop()
            self._close_all_but_above(each)
            try:
                files, folders = self._list(each)
            except (FileNotFoundError, NotADirectoryError):  # removed, or replaced, meanwhile
                if each == folder:
                    raise
                continue
            pending += [os.path.join(each, name) for name in sorted(folders, reverse=True)]
            yield each, sorted(files)

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        files, folders = [], []
        with os.scandir(self.find(folder)) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
        return files, folders

    def _close_all_but_above(self, folder: str) -> None:
        for each in list(self._open):
            if each and not folder.startswith(f"{each}/"):
                os.close(self._open.pop(each))

    def sync(self) -> None:
        """Make durable what is in the folders of `make` since the last call, the deepest first.

        Those above them are synced, too: the maker of a folder that was there may have crashed.
        """
        for folder in sorted(self._unsynced, key=len, reverse=True):
            os.fsync(self._open[folder])
        self._unsynced.clear()


def _require_below(folder: str) -> None:
    """Raise FileNotFoundError for a name that leads elsewhere: nothing in the lake has it."""
    if folder and not {"", ".", ".."}.isdisjoint(folder.split("/")):
        raise FileNotFoundError(errno.ENOENT, "no folder of a lake has such a name", folder)
