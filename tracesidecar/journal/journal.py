"""The journal: segments, offsets, plans and quarantine in one SQLite file (WAL, synchronous=FULL).

One writer: the process that holds the state directory's lock; the command line may write beside it
what a person wants of refused lines. Every write is one durable transaction. Any thread may call;
calls take turns.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tracesidecar.journal import redrive_requests as redrive
from tracesidecar.journal.database import Database
from tracesidecar.journal.plan import Plan, decode_plan, encode_plan
from tracesidecar.journal.quarantine import LostBytes, QuarantinedLine, QuarantineEntry
from tracesidecar.journal.segments import decode_row, encode_row
from tracesidecar.model import Checkpoint
from tracesidecar.tail import SegmentRecord


@dataclass(frozen=True, slots=True)
class SinkRow:
    """What the journal knows of a sink; `committed_at` is seconds since the epoch."""

    name: str
    destination: str
    lines: int
    bytes: int
    batches: int
    retries: int
    committed_at: float | None
    state: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a delivered batch changes.

    `reached` is the furthest checkpoint per segment; `redriven` are the quarantine entries it was
    made of, if any.
    """

    sink: str
    plan_id: str | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]
    lines: int = 0
    bytes: int = 0
    redriven: tuple[int, ...] = ()


class Journal:
    """The open journal of one state directory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.rows
        self._transaction = database.transaction
        self.newly_refused = 0

    @classmethod
    def open(cls, state_directory: str) -> Journal:
        """Open for writing, creating the journal where there is none.

        Raises StateError where it cannot be used.
        """
        return cls(Database.open(state_directory))

    @classmethod
    def open_to_read(cls, state_directory: str) -> Journal:
        """Open for reading beside a running daemon. Raises StateError where there is none."""
        return cls(Database.open_beside(state_directory, "query_only=ON"))

    @classmethod
    def open_to_ask(cls, state_directory: str) -> Journal:
        """Open beside a running daemon to say what is wanted of refused lines.

        Raises StateError where there is none.
        """
        return cls(Database.open_beside(state_directory, "synchronous=FULL", "foreign_keys=ON"))

    def close(self) -> None:
        """Close the file; nothing is lost by not calling it."""
        self._database.close()

    @property
    def key(self) -> bytes:
        """The key of this installation, for digests that never leave the state directory."""
        return self._database.meta("key")

    def has_news(self) -> bool:
        """Tell whether another process has written since the last time this was asked."""
        return self._database.has_news()

    # ---------------------------------------------------------------- what collect asks of its
    # SegmentStore

    def load_segments(self) -> list[SegmentRecord]:
        """Every segment known."""
        rows = self._rows("SELECT record, protection, can_link FROM segment")
        return [
            decode_row(_blob(body), str(protection), can_link)
            for body, protection, can_link in rows
        ]

    def save_segments(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace."""
        rows = [encode_row(record) for record in records]
        if rows:
            with self._transaction() as db:
                db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?)", rows)

    def forget_segments(self, ids: Iterable[int]) -> None:
        """Drop segments and their offsets; their quarantine rows stay."""
        rows = [(id_,) for id_ in ids]
        if rows:
            with self._transaction() as db:
                db.executemany("DELETE FROM segment WHERE id = ?", rows)
                db.executemany("DELETE FROM offset WHERE segment = ?", rows)

    def frontier(self) -> dict[int, Checkpoint]:
        """The furthest committed checkpoint of each segment, whichever sink reached it."""
        # SQLite: bare columns come from the row of the max
        query = "SELECT segment, max(offset), digest FROM offset GROUP BY segment"
        return {
            _int(segment): Checkpoint(_int(offset), _blob(digest))
            for segment, offset, digest in self._rows(query)
        }

    # ---------------------------------------------------------------- sinks and offsets

    def destination(self, sink: str) -> str | None:
        """What the name stood for when it was last begun; None for a new name."""
        rows = self._rows("SELECT destination FROM sink WHERE name = ?", sink)
        return str(rows[0][0]) if rows else None

    def begin_sink(self, name: str, destination: str, reached: dict[int, Checkpoint]) -> None:
        """Let the name stand for a destination that begins at these checkpoints, whatever it was
        before.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM offset WHERE sink = ?", (name,))
            db.execute("DELETE FROM plan WHERE sink = ?", (name,))
            upsert = "INSERT INTO sink (name, destination) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET destination = excluded.destination"
            db.execute(upsert, (name, destination))
            _move(db, name, reached)

    def offsets(self, sink: str) -> dict[int, Checkpoint]:
        """Where the sink is in each segment that it has begun."""
        rows = self._rows("SELECT segment, offset, digest, state FROM offset WHERE sink = ?", sink)
        return {
            _int(segment): Checkpoint(_int(offset), _blob(digest), _blob(state))
            for segment, offset, digest, state in rows
        }

    def sinks(self) -> list[SinkRow]:
        """Every sink that ever ran with this state directory."""
        query = "SELECT name, destination, lines, bytes, batches, retries, committed_at, state FROM sink ORDER BY name"
        return [SinkRow(*row) for row in self._rows(query)]  # type: ignore[arg-type]

    def note_sink(self, name: str, *, retries: int = 0, state: str | None = None) -> None:
        """Count retries and say how the sink is."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sink SET retries = retries + ?, state = coalesce(?, state) WHERE name = ?",
                (retries, state, name),
            )

    # ---------------------------------------------------------------- plan, commit

    def plan(self, plan: Plan) -> None:
        """Write the plan down, before anything of it is sent; replaces an older form of the same
        plan.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO plan VALUES (?, ?, ?)",
                (plan.id, plan.sink, encode_plan(plan)),
            )

    def plans(self, sink: str) -> list[Plan]:
        """What was planned and not committed, oldest first."""
        plans = [
            decode_plan(_blob(body))
            for (body,) in self._rows("SELECT body FROM plan WHERE sink = ?", sink)
        ]
        return sorted(plans, key=lambda plan: (plan.time, plan.id))

    def commit(self, commit: Commit, at: Callable[[str], None]) -> int:
        """Move the sink's offsets and note what was refused, in one transaction; return how many
        refused lines are new.
        """
        now = time.time()
        with self._transaction() as db:
            redrive.pass_by(db, commit.sink, commit.reached, commit.quarantined)
            _move(db, commit.sink, commit.reached)
            at("committing")
            if commit.redriven:
                refused = redrive.settle(db, commit.sink, commit.redriven, commit.quarantined, now)
            else:
                refused = redrive.insert(db, commit.quarantined, now)
            if commit.plan_id is not None:
                db.execute("DELETE FROM plan WHERE id = ?", (commit.plan_id,))
            db.execute(
                "UPDATE sink SET lines = lines + ?, bytes = bytes + ?, batches = batches + ?, committed_at = ? WHERE name = ?",
                (commit.lines, commit.bytes, commit.lines > 0, now, commit.sink),
            )
        self.newly_refused += refused
        return refused

    # ---------------------------------------------------------------- quarantine

    def quarantine(self, entry_id: int | None = None) -> list[QuarantineEntry]:
        """The refused lines, oldest first; or the one of that id."""
        query = _ENTRIES
        rows = (
            self._rows(query + " ORDER BY id")
            if entry_id is None
            else self._rows(query + " WHERE id = ?", entry_id)
        )
        return [_entry(row) for row in rows]

    def drop_quarantine(self, entries: Iterable[int]) -> None:
        """Forget refused lines, and what was asked of them."""
        with self._transaction() as db:
            db.executemany("DELETE FROM quarantine WHERE id = ?", [(entry,) for entry in entries])

    def quarantined_segments(self) -> frozenset[int]:
        """The segments that alone have the bytes of some refused line."""
        return frozenset(
            _int(segment)
            for (segment,) in self._rows(
                "SELECT DISTINCT segment FROM quarantine WHERE sealed = '' AND NOT gone"
            )
        )

    def sealed_files(self) -> frozenset[str]:
        """The files that have refused lines encrypted."""
        return frozenset(
            str(name)
            for (name,) in self._rows("SELECT DISTINCT sealed FROM quarantine WHERE sealed <> ''")
        )

    def quarantine_counts(self) -> dict[tuple[str, str, str], int]:
        """(source, sink, reason) → lines."""
        rows = self._rows(
            "SELECT source, sink, reason, count(*) FROM quarantine GROUP BY source, sink, reason"
        )
        return {
            (str(source), str(sink), str(reason)): _int(count)
            for source, sink, reason, count in rows
        }

    # ---------------------------------------------------------------- redrive

    def ask_redrive(self, wishes: Mapping[int, Iterable[str]]) -> None:
        """Ask for refused lines (by entry) to be delivered to sinks after all."""
        with self._transaction() as db:
            for entry, sinks in wishes.items():
                redrive.ask(db, entry, sinks)

    def asked(self, sink: str) -> list[QuarantineEntry]:
        """The refused lines that the sink is to be given after all, oldest first."""
        query = (
            _ENTRIES
            + " JOIN redrive r ON r.entry = q.id WHERE r.sink = ? AND r.state = 'asked' ORDER BY q.id"
        )
        return [_entry(row) for row in self._rows(query, sink)]

    def redrives(self) -> dict[int, tuple[str, ...]]:
        """Entry → the sinks that have still to take it up."""
        found: dict[int, tuple[str, ...]] = {}
        for entry, sink in self._rows(
            "SELECT entry, sink FROM redrive WHERE state = 'asked' ORDER BY entry, sink"
        ):
            found[_int(entry)] = (*found.get(_int(entry), ()), str(sink))
        return found

    def refuse_redrive(
        self, sink: str, reasons: Iterable[tuple[int, str]], gone: Iterable[int]
    ) -> None:
        """What was asked for does not pass today either (entry, reason), or its bytes are gone."""
        with self._transaction() as db:
            redrive.refuse(db, sink, reasons, gone)

    def forget_redrives(self, known: Iterable[str]) -> None:
        """Drop what was asked of sinks other than the known ones."""
        with self._transaction() as db:
            redrive.forget_sinks(db, known)

    # ---------------------------------------------------------------- losses

    def record_losses(self, losses: Iterable[LostBytes]) -> None:
        """Note what was gone before it could be read, in place of what was noted of the same
        segment: it is told again after a crash.
        """
        now = time.time()
        rows = [
            (x.segment, x.source, os.fsencode(x.path), x.start, x.bytes, x.reason, now)
            for x in losses
        ]
        with self._transaction() as db:
            db.executemany("DELETE FROM loss WHERE segment = ?", [row[:1] for row in rows])
            db.executemany(
                "INSERT INTO loss (segment, source, path, start, bytes, reason, at) VALUES (?,?,?,?,?,?,?)",
                rows,
            )

    def losses(self) -> list[LostBytes]:
        """What was lost, oldest first."""
        rows = self._rows(
            "SELECT segment, source, path, start, bytes, reason, at FROM loss ORDER BY id"
        )
        return [
            LostBytes(
                _int(segment),
                str(source),
                os.fsdecode(_blob(path)),
                _int(start),
                _int(count),
                str(reason),
                float(at),  # type: ignore[arg-type]
            )
            for segment, source, path, start, count, reason, at in rows
        ]


def _move(db: sqlite3.Connection, sink: str, reached: dict[int, Checkpoint]) -> None:
    rows = [
        (sink, segment, checkpoint.offset, checkpoint.digest, checkpoint.state)
        for segment, checkpoint in reached.items()
    ]
    db.executemany(
        "INSERT INTO offset VALUES (?, ?, ?, ?, ?) ON CONFLICT (sink, segment) DO UPDATE SET "
        "offset = excluded.offset, digest = excluded.digest, state = excluded.state WHERE excluded.offset >= offset.offset",
        rows,
    )


_ENTRIES = "SELECT q.id, q.segment, q.sink, q.start, q.end, q.source, q.path, q.generation, q.reason, q.digest, q.sealed, q.sealed_at, q.at, q.gone FROM quarantine q"


def _entry(row: tuple[object, ...]) -> QuarantineEntry:
    (
        id_,
        segment,
        sink,
        start,
        end,
        source,
        path,
        generation,
        reason,
        digest,
        sealed,
        sealed_at,
        at,
        gone,
    ) = row
    line = QuarantinedLine(
        _int(segment),
        str(sink),
        _int(start),
        _int(end),
        str(source),
        os.fsdecode(_blob(path)),
        _int(generation),
        str(reason),
        None if digest is None else _blob(digest),
        str(sealed),
        _int(sealed_at),
    )
    return QuarantineEntry(_int(id_), line, float(at), bool(gone))  # type: ignore[arg-type]


def _int(value: object) -> int:
    if isinstance(value, int):
        return value
    raise sqlite3.DatabaseError("a number was expected")


def _blob(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise sqlite3.DatabaseError("bytes were expected")
