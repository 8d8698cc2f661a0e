"""How a file gets its final name: durably, whole, and never over another file."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterable
from contextlib import suppress

LEFTOVER_SUFFIX = ".tracesidecar.tmp"

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def temporary_path(folder: str) -> str:
    """Return a new hidden name in a folder, by which leftovers of a crash are known."""
    return os.path.join(folder, f".{uuid.uuid4().hex}{LEFTOVER_SUFFIX}")


def make_folders(folder: str, mode: int) -> None:
    """Create `folder` and what is missing above it, so that it survives a power loss.

    An inherited set-group-id bit stays set.
    """
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            if os.path.isdir(path):
                continue
            raise
        os.chmod(path, mode | (os.stat(path).st_mode & stat.S_ISGID))
        sync_folder(os.path.dirname(path))


def folders_between(top: str, folder: str) -> tuple[str, ...]:
    """Return `folder` and every folder above it up to and including `top`, deepest first."""
    names = [folder]
    while folder != top:
        folder = os.path.dirname(folder)
        names.append(folder)
    return tuple(names)


def sync_folder(folder: str) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(folders: Iterable[str]) -> None:
    """Make the names in each folder durable, the deepest folders first."""
    for folder in sorted(folders, key=len, reverse=True):
        sync_folder(folder)


def write_new(target: str, content: bytes, mode: int, directory_mode: int) -> None:
    """Write a file that has its name only once its content is durable, and its missing folders.

    The name is durable after `sync_folders`. Raises FileExistsError when it is taken.
    """
    folder = os.path.dirname(target)
    make_folders(folder, directory_mode)
    temporary = temporary_path(folder)
    try:
        with open(temporary, "xb") as file:
            mark_in_use(file.fileno())
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            give_name(temporary, target)
    finally:
        with suppress(FileNotFoundError):  # never created, or renamed by now
            os.unlink(temporary)


def give_name(temporary: str, target: str) -> None:
    """Give the file its final name. Raises FileExistsError when the name is taken.

    Hard links never replace a file; where the file system has none, a rename is used that does not
    either. `temporary` may still exist afterwards.
    """
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        rename_to_free_name(temporary, target)


def rename_to_free_name(source: str, target: str) -> None:
    """Rename with renameat2(2) and RENAME_NOREPLACE, for file systems without hard links."""
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.renameat2(
            _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
        )
        != 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


def mark_in_use(descriptor: int) -> bool:
    """Lock an unfinished file for as long as it is open.

    Returns False when the file system has no locks or another process holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_leftovers(folder: str) -> int:
    """Remove the unfinished files of crashed processes; return how many.

    Files that a running process has locked stay.
    """
    removed = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            if name.endswith(LEFTOVER_SUFFIX):
                removed += _remove_if_abandoned(os.path.join(parent, name))
    return removed


def _remove_if_abandoned(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False  # its writer has just finished
    try:
        if not mark_in_use(descriptor):
            return False
        os.unlink(path)
    finally:
        os.close(descriptor)
    return True
