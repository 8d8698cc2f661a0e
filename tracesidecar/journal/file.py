"""Whether the journal's path still leads to the file, in the directory, that is open."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from contextlib import suppress

from msgspec.structs import replace

from tracesidecar.directories import DIRECTORY, real_path
from tracesidecar.errors import JournalRemoved, StateError
from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.deliveries import (
    Deliveries,
    describe_place,
    load_deliveries,
    save_deliveries,
)


class JournalFile:
    """The file behind an open journal.

    SQLite goes on with a file that was removed or replaced, and everything that it writes is lost
    with the process. So the inode is compared before each commit, and every second.
    """

    def __init__(self, database: JournalDatabase) -> None:
        """Take the file that is there now for the one that is open."""
        self._database = database
        self._known = _identify(database.path)
        # the path may end in a link of root's (systemd makes one with DynamicUser=)
        self._directory = os.open(os.path.dirname(database.path), DIRECTORY & ~os.O_NOFOLLOW)
        self._close_directory = weakref.finalize(self, os.close, self._directory)
        self._turn = threading.Lock()
        self._error: StateError | None = None

    def close(self) -> None:
        """Let go of the directory; it is not compared any more."""
        self._close_directory()

    def describe_place(self) -> Deliveries:
        """Return on which machine the journal is, and which file it is, without any sink."""
        return describe_place(self._database.path)

    def require(self) -> None:
        """Raise JournalRemoved if the file was removed, and StateError if it was replaced.

        A removed file is written again first, with all that is known: the next start goes on where
        this run ends. Not if its directory was moved away, with all that is beside the journal: if
        another stands in its place, it is noted there what was delivered. No later transaction
        begins. Any thread may call.
        """
        with self._turn:
            if self._error is None and _identify(self._database.path) != self._known:
                self._error = self._judge(self._database.path)
                self._database.end(self._error)
        if self._error is not None:
            raise self._error

    def _judge(self, path: str) -> StateError:
        if place := self._find_moved_directory():
            return self._leave_directory(os.path.dirname(path), place)
        if _identify(path) is not None:
            return StateError(
                f"the journal {path} was replaced by another file while this process had it open: "
                "what was delivered since then is not in that file; put the former file back, or "
                "start with this one (what it does not know is then delivered again)"
            )
        try:
            self._database.rewrite_file()
            folder = os.path.dirname(path)
            sinks = load_deliveries(folder).sinks
            save_deliveries(folder, replace(self.describe_place(), sinks=sinks))
        except (OSError, sqlite3.Error) as error:
            return StateError(
                f"the journal {path} was removed while this process had it open, and could not be "
                f"written again ({error}): restore the state directory from a backup, or empty it "
                "(everything that is still on the disk is then delivered again)"
            )
        return JournalRemoved(
            f"the journal {path} was removed while this process had it open: it has been written "
            "again from what is open, and the next start goes on with it"
        )

    def _find_moved_directory(self) -> str:
        """Return where the directory is now; empty if it has its path, or is removed."""
        status = os.fstat(self._directory)
        place = real_path(self._directory)
        if _identify(os.path.dirname(self._database.path)) == (status.st_dev, status.st_ino):
            return ""
        return "" if not status.st_nlink or place.endswith(" (deleted)") else place

    def _leave_directory(self, folder: str, place: str) -> StateError:
        if os.path.isdir(folder) and not load_deliveries(folder).sinks:
            with suppress(OSError):  # it is only a warning to who starts there
                save_deliveries(folder, load_deliveries(place))
        what = f"was moved to {place}" if place != folder else "is covered by another (a mount)"
        return StateError(
            f"the state directory {folder} {what} while this process had it open: everything that "
            "is known, and what is held of deleted files, is there; put it back under its path "
            "before the next start"
        )


def _identify(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
