"""The sink and offset tables: what each sink has delivered, and how far it is in each segment."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tracesidecar.journal.database import JournalDatabase, list_in_parts
from tracesidecar.model import Checkpoint


class SinkRow(NamedTuple):
    """What the journal knows of a sink; `committed_at` is in seconds since the epoch."""

    name: str
    destination: str
    lines: int
    bytes: int
    batches: int
    retries: int
    committed_at: float | None
    state: str


class SinkTable:
    """The sinks that ever ran with this state directory, with their offsets."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def load(self) -> list[SinkRow]:
        """Return every sink that ever ran with this state directory."""
        query = (
            "SELECT name, destination, lines, bytes, batches, retries, committed_at, state "
            "FROM sink ORDER BY name"
        )
        rows = self._database.read(SinkRow, query)
        if not all(math.isfinite(row.committed_at or 0.0) for row in rows):
            raise self._database.explain_damage("a sink's last commit has no time")
        if any(min(row.lines, row.bytes, row.batches, row.retries) < 0 for row in rows):
            raise self._database.explain_damage("what a sink has delivered is out of its range")
        return rows

    def find_destination(self, name: str) -> str | None:
        """Return the destination that a name last stood for, None for a new name."""
        query = "SELECT destination FROM sink WHERE name = ?"
        rows = self._database.read(tuple[str], query, name)
        return rows[0][0] if rows else None

    def has_begun(self, name: str) -> bool:
        """Return whether a sink is anywhere in some segment."""
        query = "SELECT 1 FROM offset WHERE sink = ? LIMIT 1"
        return bool(self._database.read(tuple[int], query, name))

    def load_positions(self, name: str, segments: Iterable[int]) -> dict[int, int]:
        """Return how far a sink is in each of these segments that it has begun."""
        reached: dict[int, int] = {}
        for some in list_in_parts(segments):
            query = f"SELECT segment, offset FROM offset WHERE sink = ? AND segment IN ({some})"  # noqa: S608 - a list of our own numbers
            reached |= dict(self._database.read(tuple[int, int], query, name))
        if any(offset < 0 for offset in reached.values()):
            raise self._database.explain_damage("an offset is negative")
        return reached

    def load_offsets(
        self, name: str, segments: Iterable[int] | None = None
    ) -> dict[int, Checkpoint]:
        """Return where a sink is in each segment that it has begun; only in these, if given."""
        if segments is None:
            return self._load_offsets("", name)
        reached: dict[int, Checkpoint] = {}
        for some in list_in_parts(segments):
            reached |= self._load_offsets(f"AND segment IN ({some})", name)
        return reached

    def _load_offsets(self, condition: str, name: str) -> dict[int, Checkpoint]:
        query = f"SELECT segment, offset, digest, state FROM offset WHERE sink = ? {condition}"  # noqa: S608 - a list of our own numbers
        rows = self._database.read(tuple[int, int, bytes, bytes], query, name)
        if any(offset < 0 for _, offset, _, _ in rows):
            raise self._database.explain_damage("an offset is negative")
        return {
            segment: Checkpoint(offset, digest, state) for segment, offset, digest, state in rows
        }

    def begin(self, name: str, destination: str, reached: Mapping[int, Checkpoint]) -> None:
        """Begin a sink at these checkpoints, whatever its name stood for before."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM offset WHERE sink = ?", (name,))
            db.execute("DELETE FROM plan WHERE sink = ?", (name,))
            db.execute("DELETE FROM sink_source WHERE sink = ?", (name,))
            db.execute(
                "INSERT INTO sink (name, destination) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET destination = excluded.destination",
                (name, destination),
            )
            self.advance(db, name, reached)

    def settle(self, name: str, segment: int, at: Checkpoint) -> None:
        """Record where a sink begins in a segment that could not be read when the sink began.

        Until then its offset is the size that the file had, without a digest.
        """
        with self._database.transaction() as db:
            db.execute(
                "UPDATE offset SET offset = ?, digest = ?, state = ? "
                "WHERE sink = ? AND segment = ? AND digest = x''",
                (at.offset, at.digest, at.state, name, segment),
            )

    def move(self, name: str, reached: Mapping[int, Checkpoint]) -> None:
        """Move a sink's offsets forward, never back, in a transaction of its own."""
        with self._database.transaction() as db:
            self.advance(db, name, reached)

    def note_sources(self, name: str, takes: Mapping[str, bool]) -> None:
        """Note for each configured source whether a sink takes it.

        A sink that no longer takes a source keeps an offset for each of its segments, at 0 for
        those that it has not begun: what it lacks of them is lost to it once they are forgotten.
        """
        query = "SELECT source FROM sink_source WHERE sink = ?"
        before = {source for (source,) in self._database.read(tuple[str], query, name)}
        begun = [(name, source) for source, is_taken in takes.items() if is_taken]
        left = [(name, source) for source in before if not takes.get(source, True)]
        if not left and before.issuperset(source for _, source in begun):
            return
        with self._database.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO offset (sink, segment, offset, digest) "
                "SELECT ?, segment, 0, x'' FROM segment_key WHERE source = ?",
                left,
            )
            db.executemany("DELETE FROM sink_source WHERE sink = ? AND source = ?", left)
            db.executemany("INSERT OR IGNORE INTO sink_source VALUES (?, ?)", begun)

    def rename_destination(self, name: str, destination: str) -> None:
        """Write the destination of a sink in another way: it is the same place."""
        with self._database.transaction() as db:
            db.execute("UPDATE sink SET destination = ? WHERE name = ?", (destination, name))

    def record_state(self, name: str, *, retries: int = 0, state: str | None = None) -> None:
        """Add retries to a sink's count, and record its state."""
        with self._database.transaction() as db:
            db.execute(
                "UPDATE sink SET retries = retries + ?, state = coalesce(?, state) WHERE name = ?",
                (retries, state, name),
            )

    @staticmethod
    def advance(db: sqlite3.Connection, name: str, reached: Mapping[int, Checkpoint]) -> None:
        """Move a sink's offsets forward, never back, within the caller's transaction."""
        rows = [
            (name, segment, checkpoint.offset, checkpoint.digest, checkpoint.state)
            for segment, checkpoint in reached.items()
        ]
        db.executemany(
            "INSERT INTO offset VALUES (?, ?, ?, ?, ?) ON CONFLICT (sink, segment) DO UPDATE SET "
            "offset = excluded.offset, digest = excluded.digest, state = excluded.state "
            "WHERE excluded.offset >= offset.offset",
            rows,
        )

    @staticmethod
    def count_batch(
        db: sqlite3.Connection, name: str, *, lines: int, size_bytes: int, now: float
    ) -> None:
        """Add a committed batch to a sink's counts, within the caller's transaction."""
        db.execute(
            "UPDATE sink SET lines = lines + ?, bytes = bytes + ?, batches = batches + ?, "
            "committed_at = ? WHERE name = ?",
            (lines, size_bytes, lines > 0, now, name),
        )
