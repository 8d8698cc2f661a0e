"""Whether SQLite has opened the journal that was looked at, and files of this user alone.

SQLite opens its files by path. Whoever may rename the state directory can put another in its place
in between.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from tracesidecar.directories import UNTOUCHED, LinkRule, open_path
from tracesidecar.errors import StateError

_OPEN_FILES = "/proc/self/fd"
_PRIVATE = 0o600
_Inode = tuple[int, int]


def narrow_mode(path: str) -> _Inode:
    """Take the rights of others away from a file, and return which file that is.

    Raise StateError if it is another user's. Raise OSError if it cannot be changed, or if a link of
    another user leads to it.
    """
    descriptor = open_path(path, UNTOUCHED, LinkRule.TRUSTED)
    try:
        status = os.fstat(descriptor)
        _require_own(path, status)
        if stat.S_IMODE(status.st_mode) != _PRIVATE:
            os.chmod(f"{_OPEN_FILES}/{descriptor}", _PRIVATE)
        return status.st_dev, status.st_ino
    finally:
        os.close(descriptor)


class FilesOpenedSince:
    """The regular files that this process has opened since this was made.

    Other threads must not open files of other users in the meantime.
    """

    def __init__(self) -> None:
        self._known = _list_open_files()

    def require(self, path: str, wanted: _Inode) -> None:
        """Raise StateError unless `wanted` is open, and all opened since are this user's.

        Otherwise `path` has led elsewhere, if only for a moment.
        """
        is_open = not os.path.isdir(_OPEN_FILES)  # without /proc nobody knows
        for number in _list_open_files():  # SQLite may use one again that it has not closed yet
            with suppress(FileNotFoundError, NotADirectoryError):  # closed by now
                status = os.stat(f"{_OPEN_FILES}/{number}")
                is_open |= (status.st_dev, status.st_ino) == wanted
                if stat.S_ISREG(status.st_mode) and number not in self._known:
                    _require_own(path, status)
        if not is_open:
            raise StateError(
                f"the journal {path} was replaced by another file while it was opened: set "
                "state_directory to a place where only this user may write"
            )


def _require_own(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise StateError(
            f"the journal {path} belongs to user {status.st_uid}, and this is user "
            f"{os.geteuid()}: run this as its owner, remove it if nobody needs it, or set "
            "state_directory to a place where only this user may write"
        )


def _list_open_files() -> frozenset[str]:
    with suppress(FileNotFoundError):
        return frozenset(os.listdir(_OPEN_FILES))
    return frozenset()
