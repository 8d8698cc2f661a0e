"""How a file gets its final name: durably, whole, and never over another file."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from tracesidecar.sinks.directory.folders import LakeFolders

LEFTOVER_SUFFIX = ".tracesidecar.tmp"

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def make_folder(path: str, mode: int) -> None:
    """Create a lake's own folder and what is missing above it, so that it survives a power loss."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        above, name = os.path.split(each)
        with LakeFolders(above, mode) as folders:
            folders.make(name)


@contextmanager
def begin_file(folder: int, mode: int) -> Iterator[tuple[BinaryIO, str]]:
    """Make a file under a new hidden name, by which leftovers of a crash are known.

    What has that name at the end is removed.
    """
    temporary = f".{uuid.uuid4().hex}{LEFTOVER_SUFFIX}"
    try:
        with open(os.open(temporary, _NEW, 0o600, dir_fd=folder), "wb") as file:
            mark_in_use(file.fileno())
            os.fchmod(file.fileno(), mode)
            yield file, temporary
    finally:
        with suppress(FileNotFoundError):  # never created, or renamed by now
            os.unlink(temporary, dir_fd=folder)


def write_new(folder: int, name: str, content: bytes, mode: int) -> None:
    """Write a file that has its name only once its content is durable.

    The name is durable once the folder is synced. Raise FileExistsError when it is taken.
    """
    with begin_file(folder, mode) as (file, temporary):
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        give_name(folder, temporary, name)


def give_name(folder: int, temporary: str, name: str) -> None:
    """Give the file its final name. Raise FileExistsError when the name is taken.

    Hard links never replace a file; where the file system has none, a rename is used that does not
    either. `temporary` may still exist afterwards.
    """
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        rename_to_free_name(temporary, name, folder)


def rename_to_free_name(source: str, target: str, folder: int = _AT_FDCWD) -> None:
    """Rename with renameat2(2) and RENAME_NOREPLACE, for file systems without hard links."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.renameat2(folder, os.fsencode(source), folder, os.fsencode(target), _RENAME_NOREPLACE)
        != 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


def mark_in_use(descriptor: int) -> bool:
    """Lock an unfinished file for as long as it is open.

    Return False when the file system has no locks or another process holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_leftovers(folders: LakeFolders) -> int:
    """Remove the unfinished files of crashed processes; return how many.

    Files that a running process has locked stay.
    """
    removed = 0
    for folder, names in folders.walk():
        for name in names:
            if name.endswith(LEFTOVER_SUFFIX):
                removed += _remove_if_abandoned(folders, os.path.join(folder, name))
    return removed


def _remove_if_abandoned(folders: LakeFolders, name: str) -> bool:
    try:
        descriptor = folders.open_file(name)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINVAL}:
            return False  # its writer has just finished, or somebody has put a link there
        raise
    try:
        if not mark_in_use(descriptor):
            return False
        folder, base = os.path.split(name)
        os.unlink(base, dir_fd=folders.find(folder))
    finally:
        os.close(descriptor)
    return True
