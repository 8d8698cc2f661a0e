"""One process for each state directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tracesidecar.errors import StateLocked
from tracesidecar.journal.trouble import explain_os


@contextmanager
def hold_lock(state_directory: str, name: str = "lock") -> Iterator[None]:
    """Hold the state directory, or with another name one kind of work in it, during the block.

    Raise StateLocked, which names the holder, if another process holds it, StateUnavailable if the
    lock cannot be taken now, and StateError if it never can. The kernel releases the lock with the
    process, however it ends.
    """
    path = os.path.join(state_directory, name)
    remedy = "make it a file that this user may write to, or remove it"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain_os("open the lock", path, error, remedy) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateLocked(
                f"the state directory {state_directory} is in use by process {holder}: "
                "stop it first, or use another state_directory"
            ) from error
        except OSError as error:
            raise explain_os("take the lock", path, error, remedy) from error
        with suppress(OSError):  # on a full disk: the number only tells others who holds it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_locked(state_directory: str, name: str = "lock") -> bool | None:
    """Return whether a process holds the lock; None where that cannot be known.

    The answer comes from the kernel's list of locks (Linux): to try the lock could stop a process
    that is about to take it.
    """
    try:
        inode = os.stat(os.path.join(state_directory, name)).st_ino
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        with open("/proc/locks", encoding="ascii") as file:
            return any(
                fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")
                for fields in map(str.split, file)
                if len(fields) > 5
            )
    except OSError:
        return None
