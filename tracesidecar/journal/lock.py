"""One process for each state directory."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tracesidecar.directories import open_trusted_directory
from tracesidecar.errors import StateError, StateLocked
from tracesidecar.journal.trouble import explain_os

LOCK_NAME = "lock"
"""The lock of the state directory as a whole; others are for one kind of work in it."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_REMEDY = "make it a file that this user may write to, or remove it"
_OWN_CONTENT = re.compile(rb"[0-9]{0,10}\n?")
_NOT_POSSIBLE = {errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES}
"""NFS locks only what is open for writing, which a directory never is."""


@contextmanager
def hold_lock(state_directory: str, name: str = LOCK_NAME) -> Iterator[None]:
    """Hold the state directory, or with another name one kind of work in it, during the block.

    The directory itself is locked as well as the file, which somebody may remove; where its file
    system cannot lock directories (NFS), the file alone. Raise StateLocked, which names the holder,
    if another process holds it, StateUnavailable if the lock cannot be taken now, and StateError if
    it never can. The kernel releases the lock with the process, however it ends.
    """
    with ExitStack() as stack:
        if name == LOCK_NAME:
            _lock_directory(state_directory, stack)
        descriptor = _lock_file(state_directory, name, stack)
        _write_holder(descriptor)
        yield


def is_locked(state_directory: str, name: str = LOCK_NAME) -> bool | None:
    """Return whether a process holds the lock; None where that cannot be known.

    The answer comes from the kernel's list of locks (Linux): to try the lock could stop a process
    that is about to take it.
    """
    names = (name, ".") if name == LOCK_NAME else (name,)
    try:
        inodes = [inode for each in names if (inode := _find_inode(state_directory, each))]
        return bool(inodes) and any(_list_holders(inode) for inode in inodes)
    except OSError:
        return None


def _lock_directory(state_directory: str, stack: ExitStack) -> None:
    try:
        descriptor = os.open(state_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # it may be used without the right to list it
    except OSError as error:
        raise explain_os("open", state_directory, error, "make it a directory") from error
    stack.callback(os.close, descriptor)
    try:
        _lock(descriptor, state_directory, state_directory)
    except OSError as error:
        if error.errno not in _NOT_POSSIBLE:
            raise explain_os("lock", state_directory, error, _REMEDY) from error


def _lock_file(state_directory: str, name: str, stack: ExitStack) -> int:
    """Lock the file that has the name, and return it open."""
    path = os.path.join(state_directory, name)
    while True:
        descriptor = _open(state_directory, path)
        try:
            _lock(descriptor, path, state_directory)
            if _find_inode(state_directory, name) == os.fstat(descriptor).st_ino:
                stack.callback(os.close, descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise explain_os("take the lock", path, error, _REMEDY) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed or replaced meanwhile: another process may hold the new one


def _open(state_directory: str, path: str) -> int:
    try:
        # through no link of another user, who may have put one there since it was looked at
        folder = open_trusted_directory(state_directory)
        try:
            descriptor = os.open(os.path.basename(path), _OPEN, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        if os.path.islink(path):
            raise StateError(
                f"the lock {path} is a symbolic link to {os.readlink(path)!r}, which is not "
                "followed: remove it"
            ) from error
        raise explain_os("open the lock", path, error, _REMEDY) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateError(f"the lock {path} is not a regular file: remove it")
    return descriptor


def _lock(descriptor: int, path: str, state_directory: str) -> None:
    """Take a lock; raise StateLocked if another process has it, and OSError for other trouble."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _find_holder(descriptor, os.path.join(state_directory, LOCK_NAME), path)
        raise StateLocked(
            f"the state directory {state_directory} is in use by process {holder}: "
            "stop it first, or use another state_directory"
        ) from error


def _find_holder(descriptor: int, *notes: str) -> str:
    """Return the process that holds the lock, as the kernel or else a lock's file says."""
    with suppress(OSError):
        for process in _list_holders(os.fstat(descriptor).st_ino):
            if process > 0:  # 0: it is in another namespace
                return str(process)
    for path in notes:
        with suppress(OSError):
            note = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                content = os.read(note, 64)
            finally:
                os.close(note)
            if content.strip() and _OWN_CONTENT.fullmatch(content):
                return content.decode("ascii").strip()
    return "unknown"


def _write_holder(descriptor: int) -> None:
    """Write our process number into the lock, to tell others who holds it.

    A file that has other content, or a second name, is left alone: it is somebody else's.
    """
    with suppress(OSError):  # on a full disk
        if os.fstat(descriptor).st_nlink != 1 or not _OWN_CONTENT.fullmatch(
            os.pread(descriptor, 64, 0)
        ):
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _find_inode(state_directory: str, name: str) -> int | None:
    try:
        return os.lstat(os.path.join(state_directory, name)).st_ino
    except FileNotFoundError:
        return None


def _list_holders(inode: int) -> list[int]:
    """Return the processes with a lock on an inode; the kernel's list has no other name for it."""
    with open("/proc/locks", encoding="ascii") as file:
        return [
            int(fields[4])
            for fields in map(str.split, file)
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")
        ]
