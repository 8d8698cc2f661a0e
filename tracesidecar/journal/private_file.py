"""Files of the state directory that are written beside the one which they replace."""

from __future__ import annotations

import os
from contextlib import suppress


def make_private_file(path: str, *, dir_fd: int | None = None) -> int:
    """Make a file that only this user may use, and return it open for writing.

    What has the name is removed, not written to: it may be a link to somebody's file, or what a
    killed process left. Raise OSError if that is not possible.
    """
    with suppress(FileNotFoundError):
        os.unlink(path, dir_fd=dir_fd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(path, flags, 0o600, dir_fd=dir_fd)
