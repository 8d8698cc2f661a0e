"""Refused lines that a person wants delivered after all: asked for per sink, then settled, or
refused once more.

A row leaves the quarantine when every sink for which it was asked has it, or has refused it under a
row of its own. What a sink was given once is not asked of it again, however often the others
refuse.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping

from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.model import Checkpoint


def ask(db: sqlite3.Connection, entry: int, sinks: Iterable[str]) -> None:
    """Note the wish of a person; a sink that has the line already is not asked."""
    query = "INSERT INTO redrive (entry, sink, state) VALUES (?, ?, 'asked') ON CONFLICT (entry, sink) DO UPDATE SET state = 'asked' WHERE state = 'refused'"
    db.executemany(query, [(entry, sink) for sink in sinks])


def forget_sinks(db: sqlite3.Connection, known: Iterable[str]) -> None:
    """Drop what was asked of sinks that are no longer configured."""
    names = set(known)
    for entry, sink in db.execute(
        "SELECT entry, sink FROM redrive WHERE state <> 'settled'"
    ).fetchall():
        if sink not in names:
            db.execute("DELETE FROM redrive WHERE entry = ? AND sink = ?", (entry, sink))
            _close(db, entry)


def refuse(
    db: sqlite3.Connection, sink: str, reasons: Iterable[tuple[int, str]], gone: Iterable[int]
) -> None:
    """What was asked for did not pass today's rules either (entry, reason), or its bytes are gone:
    the rows stay, the requests are over.
    """
    for entry, reason in reasons:
        db.execute("UPDATE quarantine SET reason = ? WHERE id = ?", (reason, entry))
        _set(db, entry, sink, "refused")
    for entry in gone:
        db.execute("UPDATE quarantine SET gone = 1 WHERE id = ?", (entry,))
        _set(db, entry, sink, "refused")


def pass_by(
    db: sqlite3.Connection,
    sink: str,
    reached: Mapping[int, Checkpoint],
    refused: Iterable[QuarantinedLine],
) -> None:
    """A sink that was behind comes to lines that were asked for, in its ordinary way, before its
    offsets move: what passes needs no redrive.
    """
    query = "SELECT r.entry, q.segment, q.start FROM redrive r JOIN quarantine q ON q.id = r.entry WHERE r.sink = ? AND r.state = 'asked'"
    held_back = {(line.segment, line.start) for line in refused}
    for entry, segment, start in db.execute(query, (sink,)).fetchall():
        if segment not in reached or (segment, start) in held_back:
            continue
        before = db.execute(
            "SELECT offset FROM offset WHERE sink = ? AND segment = ?", (sink, segment)
        ).fetchone()
        if (before[0] if before else 0) <= start < reached[segment].offset:
            _set(db, entry, sink, "settled")
            _close(db, entry)


def settle(
    db: sqlite3.Connection,
    sink: str,
    entries: Iterable[int],
    refused: Iterable[QuarantinedLine],
    now: float,
) -> int:
    """A batch of redriven lines is committed; some may be `refused` once more.

    Return how many of these are new rows.
    """
    again = {(line.segment, line.start): line for line in refused}
    fresh = 0
    for entry in entries:
        row = db.execute(
            "SELECT segment, start, sink FROM quarantine WHERE id = ?", (entry,)
        ).fetchone()
        if row is None:
            continue  # dropped while it was under way
        line = again.get((row[0], row[1]))
        if line is not None and line.sink in ("", row[2]):
            refuse(db, sink, [(entry, line.reason)], ())
            continue
        if line is not None:
            fresh += insert(db, [line], now)
        _set(db, entry, sink, "settled")
        _close(db, entry)
    return fresh


def insert(db: sqlite3.Connection, lines: Iterable[QuarantinedLine], now: float) -> int:
    """Add refused lines that have no row yet; return how many."""
    query = (
        "INSERT OR IGNORE INTO quarantine (segment, sink, start, end, source, path, generation, reason, digest, at, sealed, sealed_at) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    )
    before = db.total_changes
    db.executemany(query, [_values(line, now) for line in lines])
    return db.total_changes - before


def _values(q: QuarantinedLine, now: float) -> tuple[object, ...]:
    return (
        q.segment,
        q.sink,
        q.start,
        q.end,
        q.source,
        os.fsencode(q.path),
        q.generation,
        q.reason,
        q.digest,
        now,
        q.sealed,
        q.sealed_at,
    )


def _set(db: sqlite3.Connection, entry: int, sink: str, state: str) -> None:
    db.execute("UPDATE redrive SET state = ? WHERE entry = ? AND sink = ?", (state, entry, sink))


def _close(db: sqlite3.Connection, entry: int) -> None:
    """Drop the row that no sink has to deliver any more."""
    states = {
        state for (state,) in db.execute("SELECT state FROM redrive WHERE entry = ?", (entry,))
    }
    if states == {"settled"}:
        db.execute("DELETE FROM quarantine WHERE id = ?", (entry,))
