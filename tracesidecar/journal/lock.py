"""One process for each state directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tracesidecar.errors import StateLocked


@contextmanager
def hold_lock(state_directory: str, name: str = "lock") -> Iterator[None]:
    """Hold the state directory, or with another name one kind of work in it, during the block.

    Raise StateLocked, which names the holder, if another process holds it. The kernel releases the
    lock with the process, however it ends.
    """
    descriptor = os.open(
        os.path.join(state_directory, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateLocked(
                f"the state directory {state_directory} is in use by process {holder}: "
                "stop it first, or use another state_directory"
            ) from error
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
