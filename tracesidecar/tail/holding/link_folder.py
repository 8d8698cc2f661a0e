"""A folder of hard links: ours alone, and never entered through somebody else's link.

Who can write in it could have us read any file, or remove the last copies of what was deleted. A
`hold_directory` has to be on the same mount as the traces, often inside of them, so its name may be
in the hands of who writes there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tracesidecar.directories import (
    Handle,
    find_in_folder,
    open_own_directory,
)
from tracesidecar.tail.holding.link_names import LinkName

UNKNOWN = "unknown"
"""The folder, inside a folder of links, of those that nobody knows what to do with."""

_NAME = "tracesidecar-"
_PRIVATE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ForeignFolder(OSError):
    """A folder of hard links belongs to somebody else."""


def private_folder(given: str) -> str:
    """Return where this user's links are if `given` is configured as `hold_directory`.

    That is a directory of our own in it, if it is there and not ours alone: the volume of a Pod,
    or a directory that the agent has made.
    """
    try:
        status = os.lstat(given)
    except OSError:
        return given
    if not stat.S_ISDIR(status.st_mode) or _is_private(status):
        return given
    return os.path.join(given, f"{_NAME}{os.geteuid()}")


def list_own_folders(hold_directories: Iterable[str]) -> list[str]:
    """Return where this user's links are if these are configured as `hold_directory`.

    What else is below such a directory may be anything, such as the traces.
    """
    private = [private_folder(given) for given in hold_directories]
    return [*private, *(os.path.join(folder, UNKNOWN) for folder in private)]


def find_private_folders(given: str) -> list[str]:
    """Return the directories of all users in a `hold_directory` that is not theirs alone."""
    try:
        with os.scandir(given) as entries:
            return [
                entry.path
                for entry in entries
                if entry.name.startswith(_NAME)
                and entry.is_dir(follow_symlinks=False)
                and entry.name == f"{_NAME}{entry.stat(follow_symlinks=False).st_uid}"
            ]
    except OSError:
        return []


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE


class LinkFolder:
    """Makes, lists, opens and removes the links in one folder, through its descriptor.

    It is opened for each call, because an open directory keeps its file system from being
    unmounted. Each raises OSError: UntrustedLink or ForeignFolder if it is not ours. For any
    thread.
    """

    def __init__(self, path: str) -> None:
        """Nothing is made before the first link."""
        self.path = path
        self._verified: tuple[int, int] | None = None

    @property
    def unknown(self) -> LinkFolder:
        """Return the folder in it for links that nobody knows what to do with."""
        return LinkFolder(os.path.join(self.path, UNKNOWN))

    @property
    def exists(self) -> bool:
        """Return whether the folder is there and ours."""
        with suppress(OSError), self._open_folder():
            return True
        return False

    def make(self) -> bool:
        """Make the folder if it is missing, and return whether it was."""
        if self.exists:
            return False
        with self._open_folder(makes_missing=True):
            return True

    def list_names(self) -> list[str]:
        """Return the names in the folder."""
        with self._open_folder() as folder:
            os.stat(".", dir_fd=folder)  # whether the names lead to anything
            return _list_names(folder)

    def stat(self, name: str) -> os.stat_result:
        """Return the stat of a link."""
        with self._open_folder() as folder:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def open(self, name: str) -> int:
        """Open a linked file for reading."""
        with self.find(name) as found:
            return found.open()

    def find(self, name: str) -> Handle:
        """Open a linked file without touching it."""
        folder = self._open(makes_missing=False)
        return find_in_folder(folder, name, partial(os.close, folder))

    def link(self, found: Handle, name: str) -> None:
        """Give a file a link here."""
        folder = self._open(makes_missing=False)
        try:
            found.link(folder, name)
        finally:
            os.close(folder)

    def link_unopened(self, directory: int, source: str, name: str) -> None:
        """Give what has a name in an open directory a link here, whatever it is."""
        with self._open_folder() as folder:
            os.link(source, name, src_dir_fd=directory, dst_dir_fd=folder, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove a link."""
        with self._open_folder() as folder:
            os.unlink(name, dir_fd=folder)

    def move(self, name: str, other: LinkFolder, new: str) -> None:
        """Move a link to another folder, or to another name here, unless that is taken."""
        with self._open_folder() as source, other._open_folder() as target:
            with suppress(FileNotFoundError):
                os.stat(new, dir_fd=target, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)

    def take_over(self, given: str) -> None:
        """Move the links here that earlier versions made in a directory of somebody else.

        Its owner may have put others among them, at any moment. Files with other names are left
        there, and so is a second link of a segment that has one here: this one is ours.
        """
        self.make()
        source = open_own_directory(given)
        try:
            owner = os.fstat(source).st_uid
            with self._open_folder() as target:
                taken = {_number(name) for name in _list_names(target)}
                for name in _list_names(source):
                    number = _number(name)
                    if number is not None and number not in taken:
                        taken.add(number)
                        with suppress(OSError):  # gone by now, or no link is possible any more
                            _move_plausible(source, name, target, owner)
        finally:
            os.close(source)

    def sync(self) -> None:
        """Make durable what was made, moved or removed here."""
        with self._open_folder() as folder:
            listed = _open_listed(folder)
            try:
                os.fsync(listed)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a file system without it for directories
                    raise
            finally:
                os.close(listed)

    @contextmanager
    def _open_folder(self, *, makes_missing: bool = False) -> Iterator[int]:
        descriptor = self._open(makes_missing=makes_missing)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, *, makes_missing: bool) -> int:
        # what was found to be ours is so by whatever way it is reached
        with suppress(OSError):
            descriptor = os.open(
                self.path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == self._verified and _is_private(status):
                return descriptor
            os.close(descriptor)
        descriptor = open_own_directory(self.path, _PRIVATE if makes_missing else None)
        try:
            self._verified = _make_private(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _make_private(folder: int) -> tuple[int, int]:
    """Return what identifies an open directory; take the rights of others away if it is ours.

    kubelet gives the group of a Pod every right on a persistent volume each time that it mounts it.
    """
    status = os.fstat(folder)
    if status.st_uid != os.geteuid():
        raise ForeignFolder(errno.EACCES, f"it belongs to user {status.st_uid}")
    if not _is_private(status):
        os.chmod(f"/proc/self/fd/{folder}", _PRIVATE)
    return status.st_dev, status.st_ino


def _number(name: str) -> int | None:
    """Return the number of a link, if any: an arrival can become the segment of that number."""
    link = LinkName.parse(name.replace("arrival-", "segment-", 1))
    return None if link is None else link.segment or None


def _move_plausible(source: int, name: str, target: int, owner: int) -> None:
    """Move a regular file that the owner of its directory could read anyway."""
    with find_in_folder(source, name) as found:
        if found.is_regular and (found.status.st_nlink == 1 or found.status.st_uid == owner):
            found.link(target, name)
            os.unlink(name, dir_fd=source)


def _list_names(folder: int) -> list[str]:
    listed = _open_listed(folder)
    try:
        return os.listdir(listed)
    finally:
        os.close(listed)


def _open_listed(folder: int) -> int:
    return os.open(f"/proc/self/fd/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
