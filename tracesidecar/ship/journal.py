"""The journal: segments, offsets, plans and quarantine in one SQLite file (WAL, synchronous=FULL).

One writer: the process that holds the state directory's lock. Every write is one durable transaction. Any thread may call; calls take turns.
"""

from __future__ import annotations

import importlib.resources
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tracesidecar.collect.records import SegmentRecord
from tracesidecar.errors import StateError
from tracesidecar.model import Checkpoint
from tracesidecar.ship.plan import Plan, decode_plan, encode_plan
from tracesidecar.ship.quarantine import LostBytes, QuarantinedLine, QuarantineEntry
from tracesidecar.ship.segments import decode_record, encode_record

SCHEMA_VERSION = b"1"
FILE_NAME = "journal.sqlite"


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
    """What a delivered batch changes. `reached` is the furthest checkpoint per segment."""

    sink: str
    plan_id: str | None
    reached: dict[int, Checkpoint]
    quarantined: tuple[QuarantinedLine, ...]
    segments: tuple[SegmentRecord, ...] = ()
    lines: int = 0
    bytes: int = 0


class Journal:
    """The open journal of one state directory."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._db = connection
        self._path = path
        self._turn = threading.Lock()

    @classmethod
    def open(cls, state_directory: str) -> Journal:
        """Open for writing, creating the journal where there is none. Raises StateError where it cannot be used."""
        path = os.path.join(state_directory, FILE_NAME)
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
                db.execute(f"PRAGMA {pragma}")
            journal = cls(db, path)
            journal._create_or_check()
        except sqlite3.DatabaseError as error:
            raise StateError(_unusable(path, error)) from error
        os.chmod(path, 0o600)
        return journal

    @classmethod
    def open_to_read(cls, state_directory: str) -> Journal:
        """Open for reading beside a running daemon. Raises StateError where there is none."""
        path = os.path.join(state_directory, FILE_NAME)
        if not os.path.exists(path):
            raise StateError(f"there is no journal at {path}: nothing has run with this state directory yet")
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA query_only=ON")
            db.execute("PRAGMA busy_timeout=5000")
            journal = cls(db, path)
            journal._check(journal._meta("schema"))
        except sqlite3.DatabaseError as error:
            raise StateError(_unusable(path, error)) from error
        return journal

    def close(self) -> None:
        """Close the file; nothing is lost by not calling it."""
        with self._turn:
            self._db.close()

    # ---------------------------------------------------------------- set-up

    def _create_or_check(self) -> None:
        if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check failed")
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            self._check(self._meta("schema"))
            return
        with self._transaction() as db:
            for statement in importlib.resources.files("tracesidecar.ship").joinpath("schema.sql").read_text("utf-8").split(";\n"):
                db.execute(statement)
            values = [("schema", SCHEMA_VERSION), ("key", secrets.token_bytes(32)), ("installation", secrets.token_hex(8).encode())]
            db.executemany("INSERT INTO meta VALUES (?, ?)", values)

    def _check(self, version: bytes) -> None:
        if version != SCHEMA_VERSION:
            raise StateError(
                f"the journal {self._path} has schema {version.decode(errors='replace')}, this program knows {SCHEMA_VERSION.decode()}: "
                "run the version of tracesidecar that wrote it, or give this one a state directory of its own"
            )

    def _meta(self, key: str) -> bytes:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"meta has no {key}")
        return bytes(row[0])

    @property
    def key(self) -> bytes:
        """The key of this installation, for digests that never leave the state directory."""
        return self._meta("key")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._turn:
            return self._db.execute(query, values).fetchall()

    # ---------------------------------------------------------------- what collect asks of its SegmentStore

    def load_segments(self) -> list[SegmentRecord]:
        """Every segment known."""
        return [decode_record(_blob(body)) for (body,) in self._rows("SELECT record FROM segment")]

    def save_segments(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace."""
        rows = [(record.id, encode_record(record)) for record in records]
        if rows:
            with self._transaction() as db:
                db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?)", rows)

    def forget_segments(self, ids: Iterable[int]) -> None:
        """Drop segments and their offsets; their quarantine rows stay."""
        rows = [(id_,) for id_ in ids]
        if rows:
            with self._transaction() as db:
                db.executemany("DELETE FROM segment WHERE id = ?", rows)
                db.executemany("DELETE FROM offset WHERE segment = ?", rows)

    def frontier(self) -> dict[int, Checkpoint]:
        """The furthest committed checkpoint of each segment, whichever sink reached it."""
        query = "SELECT segment, max(offset), digest FROM offset GROUP BY segment"  # SQLite: bare columns come from the row of the max
        return {_int(segment): Checkpoint(_int(offset), _blob(digest)) for segment, offset, digest in self._rows(query)}

    # ---------------------------------------------------------------- sinks and offsets

    def destination(self, sink: str) -> str | None:
        """What the name stood for when it was last begun; None for a new name."""
        rows = self._rows("SELECT destination FROM sink WHERE name = ?", sink)
        return str(rows[0][0]) if rows else None

    def begin_sink(self, name: str, destination: str, reached: dict[int, Checkpoint]) -> None:
        """Let the name stand for a destination that begins at these checkpoints, whatever it was before."""
        with self._transaction() as db:
            db.execute("DELETE FROM offset WHERE sink = ?", (name,))
            db.execute("DELETE FROM plan WHERE sink = ?", (name,))
            upsert = "INSERT INTO sink (name, destination) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET destination = excluded.destination"
            db.execute(upsert, (name, destination))
            _move(db, name, reached)

    def offsets(self, sink: str) -> dict[int, Checkpoint]:
        """Where the sink is in each segment that it has begun."""
        rows = self._rows("SELECT segment, offset, digest FROM offset WHERE sink = ?", sink)
        return {_int(segment): Checkpoint(_int(offset), _blob(digest)) for segment, offset, digest in rows}

    def sinks(self) -> list[SinkRow]:
        """Every sink that ever ran with this state directory."""
        query = "SELECT name, destination, lines, bytes, batches, retries, committed_at, state FROM sink ORDER BY name"
        return [SinkRow(*row) for row in self._rows(query)]  # type: ignore[arg-type]

    def note_sink(self, name: str, *, retries: int = 0, state: str | None = None) -> None:
        """Count retries and say how the sink is."""
        with self._transaction() as db:
            db.execute("UPDATE sink SET retries = retries + ?, state = coalesce(?, state) WHERE name = ?", (retries, state, name))

    # ---------------------------------------------------------------- plan, commit

    def plan(self, plan: Plan) -> None:
        """Write the plan down, before anything of it is sent; replaces an older form of the same plan."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO plan VALUES (?, ?, ?)", (plan.id, plan.sink, encode_plan(plan)))

    def plans(self, sink: str) -> list[Plan]:
        """What was planned and not committed, oldest first."""
        plans = [decode_plan(_blob(body)) for (body,) in self._rows("SELECT body FROM plan WHERE sink = ?", sink)]
        return sorted(plans, key=lambda plan: (plan.time, plan.id))

    def commit(self, commit: Commit, at: Callable[[str], None]) -> int:
        """Move the sink's offsets and note what was refused, in one transaction; return how many refused lines are new."""
        now = time.time()
        with self._transaction() as db:
            _move(db, commit.sink, commit.reached)
            at("committing")
            db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?)", [(r.id, encode_record(r)) for r in commit.segments])
            before = db.total_changes
            db.executemany(
                "INSERT OR IGNORE INTO quarantine (segment, sink, start, end, source, path, generation, reason, digest, at) VALUES (?,?,?,?,?,?,?,?,?,?)",
                [
                    (q.segment, q.sink, q.start, q.end, q.source, os.fsencode(q.path), q.generation, q.reason, q.digest, now)
                    for q in commit.quarantined
                ],
            )
            refused = db.total_changes - before
            if commit.plan_id is not None:
                db.execute("DELETE FROM plan WHERE id = ?", (commit.plan_id,))
            db.execute(
                "UPDATE sink SET lines = lines + ?, bytes = bytes + ?, batches = batches + ?, committed_at = ? WHERE name = ?",
                (commit.lines, commit.bytes, commit.lines > 0, now, commit.sink),
            )
        return refused

    # ---------------------------------------------------------------- quarantine and losses

    def quarantine(self, entry_id: int | None = None) -> list[QuarantineEntry]:
        """The refused lines, oldest first; or the one of that id."""
        query = "SELECT id, segment, sink, start, end, source, path, generation, reason, digest, at FROM quarantine"
        rows = self._rows(query + " ORDER BY id") if entry_id is None else self._rows(query + " WHERE id = ?", entry_id)
        return [_entry(row) for row in rows]

    def quarantine_total(self) -> int:
        """How many lines were ever refused."""
        return _int(self._rows("SELECT count(*) FROM quarantine")[0][0])

    def quarantine_counts(self) -> dict[tuple[str, str, str], int]:
        """(source, sink, reason) → lines."""
        rows = self._rows("SELECT source, sink, reason, count(*) FROM quarantine GROUP BY source, sink, reason")
        return {(str(source), str(sink), str(reason)): _int(count) for source, sink, reason, count in rows}

    def record_losses(self, losses: Iterable[LostBytes]) -> None:
        """Note what was gone before it could be read."""
        now = time.time()
        rows = [(x.segment, x.source, os.fsencode(x.path), x.start, x.bytes, x.reason, now) for x in losses]
        with self._transaction() as db:
            db.executemany("INSERT INTO loss (segment, source, path, start, bytes, reason, at) VALUES (?,?,?,?,?,?,?)", rows)

    def losses(self) -> list[LostBytes]:
        """What was lost, oldest first."""
        rows = self._rows("SELECT segment, source, path, start, bytes, reason, at FROM loss ORDER BY id")
        return [
            LostBytes(_int(segment), str(source), os.fsdecode(_blob(path)), _int(start), _int(count), str(reason), float(at))  # type: ignore[arg-type]
            for segment, source, path, start, count, reason, at in rows
        ]


def _move(db: sqlite3.Connection, sink: str, reached: dict[int, Checkpoint]) -> None:
    rows = [(sink, segment, checkpoint.offset, checkpoint.digest) for segment, checkpoint in reached.items()]
    db.executemany(
        "INSERT INTO offset VALUES (?, ?, ?, ?) ON CONFLICT (sink, segment) DO UPDATE SET offset = excluded.offset, digest = excluded.digest "
        "WHERE excluded.offset >= offset.offset",
        rows,
    )


def _entry(row: tuple[object, ...]) -> QuarantineEntry:
    id_, segment, sink, start, end, source, path, generation, reason, digest, at = row
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
    )
    return QuarantineEntry(_int(id_), line, float(at))  # type: ignore[arg-type]


def _unusable(path: str, error: sqlite3.DatabaseError) -> str:
    return (
        f"the journal {path} cannot be used ({error}): restore it from a backup, or move it away and start with an empty state directory "
        "(everything that is still on disk is then delivered again)"
    )


def _int(value: object) -> int:
    if isinstance(value, int):
        return value
    raise sqlite3.DatabaseError("a number was expected")


def _blob(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    raise sqlite3.DatabaseError("bytes were expected")
