"""Which of the files that begin alike each segment is: an event's id has its number.

An agent may write the same lines again under the same name, after a rotation or in place. The files
are counted by name and first line, and the count outlives them. What is counted is written with the
next transaction, so that no plan and no checkpoint rests on a number that a crash could undo.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable

from tracesidecar.dialects import FileIdentity
from tracesidecar.journal.database import JournalDatabase

MOST_NAMES = 1_000_000
"""How many names are remembered, each with its first line: those that came last."""

_MOST_KEPT = 4096
_DAY_SECONDS = 86_400


class IdentityTable:
    """The identity of each segment that was interpreted. One thread may call.

    The database's transactions may come from any thread.
    """

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database
        self._changing = threading.Lock()
        self._fresh: dict[int, FileIdentity] = {}
        self._counts: dict[bytes, int] = {}
        self._kept: dict[int, FileIdentity] = {}
        database.accompany(self._write)

    def recall(self, segment: int) -> FileIdentity | None:
        """Return the identity of a segment if it is in memory."""
        return self._kept.get(segment) or self._fresh.get(segment)

    def find(self, segment: int) -> FileIdentity | None:
        """Return the identity of a segment, None if it has none yet."""
        if (fresh := self._fresh.get(segment)) is not None:
            return fresh
        query = "SELECT folder, first, generation FROM file_identity WHERE segment = ?"
        rows = self._database.read(tuple[str, bytes, int], query, segment)
        return FileIdentity(*rows[0]) if rows else None

    def assign(self, segment: int, name: bytes, *, folder: str, first: bytes) -> FileIdentity:
        """Return the identity of a segment; one that has none gets the next number of its name.

        `name` is a digest of the name and the first line.
        """
        if (known := self.recall(segment)) is not None:
            return known
        # before the query: only this thread adds, and what is not here was written
        count = self._counts.get(name)
        query = (
            "SELECT folder, first, generation, 1 FROM file_identity WHERE segment = ?1 UNION ALL "
            "SELECT '', x'', generations, 0 FROM file_name WHERE digest = ?2"
        )
        stored: FileIdentity | None = None
        rows = self._database.read(tuple[str, bytes, int, int], query, segment, name)
        for its_folder, its_first, number, is_segment in rows:
            if is_segment:
                stored = FileIdentity(its_folder, its_first, number)
            elif count is None:
                count = number
        if stored is None:
            stored = FileIdentity(folder, first, count or 0)
            with self._changing:
                self._fresh[segment] = stored
                self._counts[name] = stored.generation + 1
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[segment] = stored
        return stored

    def restore(self, identities: Iterable[tuple[int, bytes, FileIdentity]]) -> None:
        """Write identities down that are known from elsewhere: segment, name, identity."""
        with self._database.transaction() as db:
            for segment, name, identity in identities:
                _insert(db, segment, identity)
                _count(db, name, identity.generation + 1)

    def forget(self, db: sqlite3.Connection, segments: Iterable[int]) -> None:
        """Remove segments, within the caller's transaction; their names stay counted."""
        ids = list(segments)
        with self._changing:
            for segment in ids:
                self._fresh.pop(segment, None)
                self._kept.pop(segment, None)
        db.executemany("DELETE FROM file_identity WHERE segment = ?", [(each,) for each in ids])

    def forget_old_names(self, most: int = MOST_NAMES) -> None:
        """Forget the names that were not met for longest, if there are very many."""
        [(count,)] = self._database.read(tuple[int], "SELECT count(*) FROM file_name")
        if count <= most:
            return
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM file_name WHERE digest IN "
                "(SELECT digest FROM file_name ORDER BY day LIMIT ?)",
                (count - most,),
            )

    def _write(self, db: sqlite3.Connection) -> Callable[[], None] | None:
        """Write what is new in a transaction; return what is to be called once it is durable."""
        with self._changing:
            fresh, counts = dict(self._fresh), dict(self._counts)
        if not fresh and not counts:
            return None
        for segment, identity in fresh.items():
            _insert(db, segment, identity)
        for name, count in counts.items():
            _count(db, name, count)

        def note_written() -> None:
            with self._changing:
                for segment in fresh:
                    self._fresh.pop(segment, None)
                for name, count in counts.items():
                    if self._counts.get(name) == count:
                        del self._counts[name]

        return note_written


def _insert(db: sqlite3.Connection, segment: int, identity: FileIdentity) -> None:
    db.execute(
        "INSERT OR REPLACE INTO file_identity VALUES (?, ?, ?, ?)",
        (segment, identity.generation, identity.folder, identity.first),
    )


def _count(db: sqlite3.Connection, name: bytes, count: int) -> None:
    db.execute(
        "INSERT INTO file_name VALUES (?1, ?2, ?3) ON CONFLICT (digest) DO UPDATE SET "
        "generations = max(generations, ?2), day = ?3",
        (name, count, int(time.time()) // _DAY_SECONDS),
    )
