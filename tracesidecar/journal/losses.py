"""The loss table: bytes that were gone before they could be read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tracesidecar.journal.database import JournalDatabase


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes of a segment that were gone before they could be read; `at` is since the epoch.

    `sink` is the only sink that lacks them, empty if every sink does that is not beyond them. If
    not `is_counted`, nobody knows how many bytes there were: the file was seen, and gone before it
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
    """The losses. Each is recorded once, also if it is reported again after a crash."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def record(self, losses: Iterable[LostBytes]) -> None:
        """Record losses, each in place of what is recorded of the same bytes and those after."""
        with self._database.transaction() as db:
            self.insert(db, losses, time.time())

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
            "DELETE FROM loss WHERE segment = ? AND sink = ? AND start + bytes > ?",
            [(row[0], row[7], row[3]) for row in rows],
        )
        db.executemany(
            "DELETE FROM loss WHERE segment = ? AND sink = ? AND start = ?",
            [(row[0], row[7], row[3]) for row in rows],
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
