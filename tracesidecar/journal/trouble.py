"""What an error of the state directory means: something temporary, or damage.

What passes (a full disk, a lock, no descriptor left) is waited for; only a person can repair the
rest.
"""

from __future__ import annotations

import errno
import os
import sqlite3

from tracesidecar.errors import StateError, StateUnavailable

_REMEDIES = {
    sqlite3.SQLITE_FULL: "make room on its file system",
    sqlite3.SQLITE_BUSY: "end the process that holds a lock on it (a backup, an SQLite shell)",
    sqlite3.SQLITE_LOCKED: "end the process that holds a lock on it (a backup, an SQLite shell)",
    sqlite3.SQLITE_PROTOCOL: "end the process that holds a lock on it (a backup, an SQLite shell)",
    sqlite3.SQLITE_IOERR: "look at the disk (dmesg)",
    sqlite3.SQLITE_CANTOPEN: "look at the limits of open files and memory, and at the disk",
    sqlite3.SQLITE_NOMEM: "look at the memory that this process may use",
    sqlite3.SQLITE_INTERRUPT: "nothing is needed",
}
"""What a person can do about SQLite's errors that pass, by primary code (sqlite.org/rescode)."""

_PASSING = {
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "raise the quota, or make room",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the limit of open files",
    errno.ENOMEM: "look at the memory that this process may use",
    errno.EIO: "look at the disk (dmesg)",
    errno.EAGAIN: "nothing is needed",
    errno.EINTR: "nothing is needed",
    errno.EBUSY: "look at what uses its file system",
    errno.ENOLCK: "look at the lock service of its file system",
    **dict.fromkeys(
        (
            errno.ESTALE,
            errno.ETIMEDOUT,
            errno.ENOTCONN,
            errno.EREMOTEIO,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
            errno.ENETUNREACH,
            errno.ECONNREFUSED,
            errno.ECONNRESET,
        ),
        "look at the server of its file system",
    ),
}
"""What a person can do about the operating system's errors that pass."""

_AND_THEN = "it is tried again until then, and nothing is lost"


def explain_sqlite(path: str, error: sqlite3.Error, *, is_open: bool) -> StateError:
    """Return the error to raise for one of SQLite about the journal at `path`.

    `is_open`: the journal was usable before; then a file system that has become read-only passes.
    """
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else sqlite3.SQLITE_CORRUPT
    if primary in _REMEDIES:
        return StateUnavailable(
            f"the journal {path} cannot be used now ({error}): {_REMEDIES[primary]}; {_AND_THEN}"
        )
    if primary == sqlite3.SQLITE_READONLY:
        sentence = f"the journal {path} can only be read ({error}): make it writable for this user"
        return StateUnavailable(f"{sentence}; {_AND_THEN}") if is_open else StateError(sentence)
    return explain_damage(path, str(error))


def passes(error: OSError) -> bool:
    """Return whether an error of the operating system is temporary."""
    return error.errno in _PASSING


def explain_os(what: str, path: str, error: OSError, remedy: str) -> StateError:
    """Return the error to raise for one of the operating system: `what` was tried on `path`.

    `remedy` is what a person can do if it does not pass.
    """
    found = error.strerror or type(error).__name__
    if error.errno is not None and passes(error):
        return StateUnavailable(
            f"cannot {what} {path} now ({found}): {_PASSING[error.errno]}; {_AND_THEN}"
        )
    return StateError(f"cannot {what} {path} ({found}): {remedy}")


def explain_damage(path: str, problem: str) -> StateError:
    """Return the error to raise for a journal at `path` that only a person can replace."""
    return StateError(
        f"the journal {path} is damaged and cannot be used ({problem}): restore it from a backup, "
        f"or move it away, with {os.path.basename(path)}-wal and -shm, and set "
        'start = "beginning" for each sink, or start with an empty state directory '
        "(everything that is still on the disk is then delivered again, "
        "but for what `tracesidecar recover SINK` finds in a store before the start)"
    )
