"""The quarantine: the location of each rejected line and the reason, never its content."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.model import Rejection, Segment

LAST_SECOND = 253402300800
"""The year 10000, which no date can show."""


ROW_BYTES = 256
"""What a rejected line takes of the journal, however short it is."""


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """One rejected line: [start, end) of a segment, in bytes.

    `sink` is empty if validation rejected the line, else the sink whose destination did. `digest`
    is keyed. `sealed` names the file that has its bytes encrypted, among others' from `sealed_at`
    on; it is empty if they are only in the source.
    """

    segment: int
    sink: str
    start: int
    end: int
    source: str
    path: str
    generation: int
    reason: str
    digest: bytes | None
    sealed: str = ""
    sealed_at: int = 0

    @property
    def kept_bytes(self) -> int:
        """What the line takes of the disk: its bytes, or its row here if that is more."""
        return max(self.end - self.start, ROW_BYTES)


def make_quarantined_line(
    segment: Segment, rejection: Rejection, sink: str = ""
) -> QuarantinedLine:
    """Return the row of a rejected line."""
    return QuarantinedLine(
        segment.id,
        sink,
        rejection.start,
        rejection.end,
        segment.source,
        segment.path,
        segment.generation,
        rejection.reason,
        rejection.digest,
        rejection.sealed,
        rejection.sealed_at,
    )


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A rejected line as the journal lists it; `at` is in seconds since the epoch.

    `is_gone`: its bytes were looked for in the source and not found.
    """

    id: int
    line: QuarantinedLine
    at: float
    is_gone: bool = False


class _EntryRow(NamedTuple):
    id: int
    segment: int
    sink: str
    start: int
    end: int
    source: str
    path: bytes
    generation: int
    reason: str
    digest: bytes | None
    sealed: str
    sealed_at: int
    at: float
    gone: int


_ENTRIES = (
    "SELECT q.id, q.segment, q.sink, q.start, q.end, q.source, q.path, q.generation, q.reason, "
    "q.digest, q.sealed, q.sealed_at, q.at, q.gone FROM quarantine q"
)


class QuarantineTable:
    """The rejected lines."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def load(self, entry_id: int | None = None) -> list[QuarantineEntry]:
        """Return the rejected lines, oldest first; or only the one with that id."""
        if entry_id is None:
            return self._load("ORDER BY q.id")
        return self._load("WHERE q.id = ?", entry_id)

    def load_of_segment(self, segment: int) -> list[QuarantineEntry]:
        """Return the rejected lines of a segment, oldest first."""
        return self._load("WHERE q.segment = ? ORDER BY q.id", segment)

    def load_requested(self, sink: str) -> list[QuarantineEntry]:
        """Return the lines that are to be redriven to a sink, oldest first."""
        return self._load(
            "JOIN redrive r ON r.entry = q.id WHERE r.sink = ? AND r.state = 'asked' ORDER BY q.id",
            sink,
        )

    def drop(self, entries: Iterable[int]) -> None:
        """Remove entries, and the requests to redrive them."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM quarantine WHERE id = ?", [(entry,) for entry in entries])

    def list_segments(self) -> frozenset[int]:
        """Return the segments whose files alone have the bytes of some rejected line."""
        return list_segments_with_rejected(self._database)

    def measure(self) -> dict[tuple[str, int], int]:
        """Return what the rejected lines of each (source, segment) take, in bytes, if they exist.

        A line takes `ROW_BYTES` at least. One that both a sink and the redaction have rejected
        counts twice. This reads the whole table.
        """
        rows = self._database.read(
            tuple[str, int, int],
            "SELECT source, segment, sum(max(end - start, ?)) FROM quarantine WHERE NOT gone "
            "GROUP BY source, segment",
            ROW_BYTES,
        )
        return {(source, segment): size for source, segment, size in rows}

    def list_sealed_files(self) -> frozenset[str]:
        """Return the files that have rejected lines encrypted."""
        query = "SELECT DISTINCT sealed FROM quarantine WHERE sealed <> ''"
        return frozenset(name for (name,) in self._database.read(tuple[str], query))

    def count(self) -> dict[tuple[str, str, str], int]:
        """Return how many lines there are for each (source, sink, reason)."""
        rows = self._database.read(
            tuple[str, str, str, int],
            "SELECT source, sink, reason, count(*) FROM quarantine GROUP BY source, sink, reason",
        )
        return {(source, sink, reason): lines for source, sink, reason, lines in rows}

    @staticmethod
    def insert(db: sqlite3.Connection, lines: Iterable[QuarantinedLine], now: float) -> int:
        """Add lines that have no row yet, within the caller's transaction; return how many."""
        before = db.total_changes
        db.executemany(
            "INSERT OR IGNORE INTO quarantine (segment, sink, start, end, source, path, "
            "generation, reason, digest, at, sealed, sealed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_values(line, now) for line in lines],
        )
        return db.total_changes - before

    def _load(self, condition: str, *values: object) -> list[QuarantineEntry]:
        rows = self._database.read(_EntryRow, f"{_ENTRIES} {condition}", *values)
        if not all(map(_is_plausible, rows)):
            raise self._database.explain_damage("a rejected line is out of its range")
        return [_entry(row) for row in rows]


def list_segments_with_rejected(database: JournalDatabase) -> frozenset[int]:
    """Return the segments whose files alone have the bytes of some rejected line."""
    query = "SELECT DISTINCT segment FROM quarantine WHERE sealed = '' AND NOT gone"
    return frozenset(segment for (segment,) in database.read(tuple[int], query))


def _is_plausible(row: _EntryRow) -> bool:
    """Return whether a row may have been written by this program."""
    return (
        0 <= row.start <= row.end
        and 0 <= row.at < LAST_SECOND
        and row.sealed_at >= 0
        and b"\0" not in row.path
        and not {"/", "\0"} & set(row.sealed)  # it is the name of a file that may be removed
    )


def _entry(row: _EntryRow) -> QuarantineEntry:
    line = QuarantinedLine(
        row.segment,
        row.sink,
        row.start,
        row.end,
        row.source,
        os.fsdecode(row.path),
        row.generation,
        row.reason,
        row.digest,
        row.sealed,
        row.sealed_at,
    )
    return QuarantineEntry(row.id, line, row.at, bool(row.gone))


def _values(line: QuarantinedLine, now: float) -> tuple[object, ...]:
    return (
        line.segment,
        line.sink,
        line.start,
        line.end,
        line.source,
        os.fsencode(line.path),
        line.generation,
        line.reason,
        line.digest,
        now,
        line.sealed,
        line.sealed_at,
    )
