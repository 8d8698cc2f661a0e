"""The loss table: bytes that were gone before they could be read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.model import Checkpoint


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes of a segment that were gone before they could be read; `at` is since the epoch.

    `sink` is one that lacks them; it is empty if every sink does that takes the source. If not
    `is_counted`, nobody knows how many bytes there were: the file was seen, and gone before it
    could be read. Then `bytes` is what is known, mostly 0.
    """

    segment: int
    source: str
    path: str
    start: int
    bytes: int
    reason: str
    at: float = 0.0
    sink: str = ""
    is_counted: bool = True


class LossTable:
    """The losses. Each is recorded once, even if it is reported again after a crash.

    Bytes that all sinks lack have one row; what a single sink lacks beyond that has another, and no
    two rows of a sink overlap. If a file may have had more than is known, a row without bytes says
    so: it stays, whatever is lost of the bytes before it.
    """

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database
        self._released: set[tuple[str, int]] | None = None

    def record(self, losses: Collection[LostBytes]) -> None:
        """Record losses, each in place of what is recorded of the same bytes and those after."""
        first: dict[int, int] = {}
        for lost in losses:
            first[lost.segment] = min(lost.start, first.get(lost.segment, lost.start))
        with self._database.transaction() as db:
            db.executemany(
                "DELETE FROM loss WHERE segment = ? AND sink = '' AND start >= ? AND counted",
                first.items(),
            )
            self.insert(db, losses, time.time())

    def record_released(self, db: sqlite3.Connection, losses: Collection[LostBytes]) -> None:
        """Record, within the caller's transaction, what single sinks lack of released files."""
        if losses:
            self.insert(db, losses, time.time())
            self._list_released(db).update((each.sink, each.segment) for each in losses)

    def retract(self, db: sqlite3.Connection, sink: str, reached: Mapping[int, Checkpoint]) -> None:
        """Drop what a sink was said to lack, and has now, within the caller's transaction.

        It was in a batch that was on its way while the file was released.
        """
        if not reached:
            return
        released = self._list_released(db)
        for segment, at in reached.items():
            if (sink, segment) in released:
                db.execute(
                    "UPDATE loss SET bytes = max(0, start + bytes - ?1), start = ?1 "
                    "WHERE segment = ?2 AND sink = ?3 AND start < ?1",
                    (at.offset, segment, sink),
                )
                db.execute(
                    "DELETE FROM loss WHERE segment = ? AND sink = ? AND bytes = 0 AND counted",
                    (segment, sink),
                )

    def withdraw(self, segments: Collection[int]) -> None:
        """Drop the losses of segments that were found nowhere then, and have been found since.

        So are those of archives that were cut off then, and have grown since.
        """
        with self._database.transaction() as db:
            db.executemany(
                "DELETE FROM loss WHERE segment = ? AND reason IN ('deleted', 'gone', 'moved', "
                "'unreadable', 'corrupt')",
                [(segment,) for segment in segments],
            )

    def _list_released(self, db: sqlite3.Connection) -> set[tuple[str, int]]:
        if self._released is None:
            query = "SELECT sink, segment FROM loss WHERE sink != '' AND reason = 'released'"
            self._released = set(db.execute(query).fetchall())
        return self._released

    @staticmethod
    def insert(db: sqlite3.Connection, losses: Iterable[LostBytes], now: float) -> None:
        """Record losses within the caller's transaction."""
        rows = [
            (
                x.segment,
                x.source,
                os.fsencode(x.path),
                x.start,
                x.bytes,
                x.reason,
                now,
                x.sink,
                x.is_counted,
            )
            for x in losses
        ]
        db.executemany(
            "DELETE FROM loss WHERE segment = ?1 AND sink = ?2 AND ("
            "start = ?3 OR (counted AND start + bytes > ?3) "
            "OR (NOT counted AND (NOT ?5 OR start BETWEEN ?3 AND ?4 - 1)))",
            [(row[0], row[7], row[3], row[3] + row[4], row[8]) for row in rows],
        )
        db.executemany(
            "INSERT INTO loss (segment, source, path, start, bytes, reason, at, sink, counted) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def load(self) -> list[LostBytes]:
        """Return all losses, oldest first."""
        rows = self._database.read(
            tuple[int, str, bytes, int, int, str, float, str, int],
            "SELECT segment, source, path, start, bytes, reason, at, sink, counted "
            "FROM loss ORDER BY id",
        )
        if any(start < 0 or count < 0 or b"\0" in path for _, _, path, start, count, *_ in rows):
            raise self._database.explain_damage("a loss is out of its range")
        return [
            LostBytes(
                segment, source, os.fsdecode(path), start, count, reason, at, sink, bool(counted)
            )
            for segment, source, path, start, count, reason, at, sink, counted in rows
        ]
