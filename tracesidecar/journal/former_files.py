"""What is known of files that are forgotten: whether one that comes back has been delivered."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.records import decode_record
from tracesidecar.journal.segment_keys import number_name
from tracesidecar.tail import FormerFile

MOST_FORMER_FILES = 10_000
"""How many files are remembered after they are forgotten: the youngest."""


class FormerFileTable:
    """The last forgotten file of each path, if anything of it was delivered."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database
        self._names: set[int] | None = None

    def note(self, db: sqlite3.Connection, ids: Collection[tuple[int]]) -> None:
        """Remember segments that are about to be removed, within the caller's transaction."""
        now, before = time.time(), db.total_changes
        for (id_,) in ids:
            db.execute(
                "INSERT OR REPLACE INTO former_file "
                "SELECT name, ?1, record, reach, (SELECT body FROM landmark WHERE segment = ?2) "
                "FROM segment JOIN segment_key ON segment = id, (SELECT coalesce(max(offset), 0) "
                "AS reach FROM offset WHERE segment = ?2) WHERE id = ?2 AND reach > 0",
                (now, id_),
            )
        if db.total_changes == before:
            return
        self._names = None
        (count,) = db.execute("SELECT count(*) FROM former_file").fetchone()
        if count > MOST_FORMER_FILES:
            db.execute(
                "DELETE FROM former_file WHERE name IN "
                "(SELECT name FROM former_file ORDER BY at LIMIT ?)",
                (count - MOST_FORMER_FILES,),
            )

    def find(self, path: str) -> FormerFile | None:
        """Return the file that had a path. Most paths have none: that costs no query."""
        if self._names is None:
            query = "SELECT name FROM former_file"
            self._names = {name for (name,) in self._database.read(tuple[int], query)}
        number = number_name(path)
        if number not in self._names:
            return None
        query = "SELECT record, reach, landmarks FROM former_file WHERE name = ?"
        rows = self._database.read(tuple[bytes, int, bytes | None], query, number)
        try:
            found = [(decode_record(body, "", None), reach, marks) for body, reach, marks in rows]
        except (msgspec.DecodeError, UnicodeError, ValueError) as error:
            problem = "the record of a former file cannot be read"
            raise self._database.explain_damage(problem) from error
        if any(reach < 0 for _, reach, _ in found):
            raise self._database.explain_damage("an offset is negative")
        return next(
            (
                FormerFile(record, reach, marks)
                for record, reach, marks in found
                if record.path == path
            ),
            None,
        )
