"""The loss table: bytes that were gone before they could be read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tracesidecar.journal.database import JournalDatabase


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes of a segment that were gone before they could be read; `at` is since the epoch."""

    segment: int
    source: str
    path: str
    start: int
    bytes: int
    reason: str
    at: float = 0.0


class LossTable:
    """The losses, one for each segment."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def record(self, losses: Iterable[LostBytes]) -> None:
        """Record losses, each in place of an earlier one of the same segment.

        After a crash the same loss is reported again.
        """
        now = time.time()
        rows = [
            (x.segment, x.source, os.fsencode(x.path), x.start, x.bytes, x.reason, now)
            for x in losses
        ]
        with self._database.transaction() as db:
            db.executemany("DELETE FROM loss WHERE segment = ?", [row[:1] for row in rows])
            db.executemany(
                "INSERT INTO loss (segment, source, path, start, bytes, reason, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def load(self) -> list[LostBytes]:
        """Return all losses, oldest first."""
        rows = self._database.read(
            tuple[int, str, bytes, int, int, str, float],
            "SELECT segment, source, path, start, bytes, reason, at FROM loss ORDER BY id",
        )
        if any(start < 0 or count < 0 or b"\0" in path for _, _, path, start, count, _, _ in rows):
            raise self._database.explain_damage("a loss is out of its range")
        return [
            LostBytes(segment, source, os.fsdecode(path), start, count, reason, at)
            for segment, source, path, start, count, reason, at in rows
        ]
