"""What an error of the file system means for the batch, and what a person can do about it."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from tracesidecar.errors import RetryAdvice, RetryLater

_RIGHTS = "give the user that tracesidecar runs as the right to write there"
_NOT_A_FOLDER = (
    "a file is where a folder should be: correct path (a symbolic link below it is not followed)"
)

_GONE = (
    "it was removed, or its file system is not mounted: mount it, or make the folder "
    "(a start of tracesidecar does that, too)"
)

_ADVICE: Mapping[int, RetryAdvice] = {
    errno.ENOSPC: ("no_space", "make room on its file system"),
    errno.EDQUOT: ("no_space", "raise the quota or make room"),
    errno.EACCES: ("denied", _RIGHTS),
    errno.EPERM: ("denied", _RIGHTS),
    errno.EROFS: ("read_only", "mount its file system for writing"),
    errno.EIO: ("io", "check the disk"),
    errno.EMFILE: ("io", "raise the limit of open files"),
    errno.ENFILE: ("io", "raise the system's limit of open files"),
    errno.ENOENT: ("not_found", _GONE),
    errno.ENOTDIR: ("not_found", _NOT_A_FOLDER),
    errno.EEXIST: ("not_found", _NOT_A_FOLDER),
    errno.ELOOP: ("not_found", "correct path"),
    errno.EINVAL: ("not_found", "find out who put it there, then move it away"),
}


def retry_later(error: OSError, attempt: str) -> RetryLater:
    """Make the error that says what was tried, what the system answered, and what to do.

    `attempt` goes on after "could not", such as "write below /var/lake".
    """
    reason, advice = _ADVICE.get(error.errno or 0, ("io", "see the system's log"))
    return RetryLater(reason, f"could not {attempt}: {error.strerror}; {advice}")
