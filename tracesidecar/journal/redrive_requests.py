"""Requests to deliver quarantined lines to sinks after all.

A request (entry, sink) is 'asked', then 'settled' when the sink has the line, or 'refused' when it
was rejected once more. A row leaves the quarantine when every sink for which it was requested has
it, or has rejected it under a row of its own. A sink that was given a line is not given it again,
however often the others reject it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.quarantine import QuarantinedLine, QuarantineTable
from tracesidecar.model import Checkpoint


class RedriveRequests:
    """The table of requests. Static methods run within the caller's transaction."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def load(self) -> dict[int, tuple[str, ...]]:
        """Return, for each entry, the sinks that have yet to take it up."""
        query = "SELECT entry, sink FROM redrive WHERE state = 'asked' ORDER BY entry, sink"
        found: dict[int, tuple[str, ...]] = {}
        for entry, sink in self._database.read(tuple[int, str], query):
            found[entry] = (*found.get(entry, ()), sink)
        return found

    def add(self, requests: Mapping[int, Iterable[str]]) -> None:
        """Request that entries be delivered to sinks, except those that have the line already."""
        query = (
            # the daemon may have delivered and dropped the entry meanwhile
            "INSERT INTO redrive (entry, sink, state) SELECT id, ?, 'asked' FROM quarantine "
            "WHERE id = ? "
            "ON CONFLICT (entry, sink) DO UPDATE SET state = 'asked' WHERE state = 'refused'"
        )
        with self._database.transaction() as db:
            for entry, sinks in requests.items():
                db.executemany(query, [(sink, entry) for sink in sinks])

    def reject(self, sink: str, reasons: Iterable[tuple[int, str]], gone: Iterable[int]) -> None:
        """Close requests that could not be met; the rows stay.

        `reasons` are (entry, why it is rejected today), `gone` the entries whose bytes are gone.
        """
        with self._database.transaction() as db:
            _reject(db, sink, reasons)
            for entry in gone:
                db.execute("UPDATE quarantine SET gone = 1 WHERE id = ?", (entry,))
                _set_state(db, entry, sink, "refused")

    def forget_other_sinks(self, known: Iterable[str]) -> None:
        """Drop the requests for sinks that are no longer configured."""
        names = set(known)
        query = "SELECT entry, sink FROM redrive WHERE state <> 'settled'"
        others = [
            (entry, sink)
            for entry, sink in self._database.read(tuple[int, str], query)
            if sink not in names
        ]
        if not others:
            return
        with self._database.transaction() as db:
            for entry, sink in others:
                db.execute("DELETE FROM redrive WHERE entry = ? AND sink = ?", (entry, sink))
                _drop_if_complete(db, entry)

    @staticmethod
    def complete_passed(
        db: sqlite3.Connection,
        sink: str,
        reached: Mapping[int, Checkpoint],
        rejected: Iterable[QuarantinedLine],
    ) -> None:
        """Complete the requests for lines that a sink that was behind now passes in its usual way.

        Call this before its offsets move.
        """
        query = (
            "SELECT r.entry, q.start FROM quarantine q JOIN redrive r ON r.entry = q.id "
            "WHERE q.segment = ? AND r.sink = ? AND r.state = 'asked'"
        )
        withheld = {(line.segment, line.start) for line in rejected}
        for segment, place in reached.items():
            before = db.execute(
                "SELECT offset FROM offset WHERE sink = ? AND segment = ?", (sink, segment)
            ).fetchone()
            first = before[0] if before else 0
            for entry, start in db.execute(query, (segment, sink)).fetchall():
                if first <= start < place.offset and (segment, start) not in withheld:
                    _complete(db, entry, sink)

    @staticmethod
    def complete(
        db: sqlite3.Connection,
        sink: str,
        entries: Iterable[int],
        rejected: Iterable[QuarantinedLine],
        now: float,
    ) -> int:
        """Complete the requests of a batch that is committed, but for those `rejected` once more.

        Return how many lines were rejected under a new row.
        """
        again = {(line.segment, line.start): line for line in rejected}
        new_rows = 0
        for entry in entries:
            row = db.execute(
                "SELECT segment, start, sink FROM quarantine WHERE id = ?", (entry,)
            ).fetchone()
            if row is None:
                continue  # somebody dropped it meanwhile
            line = again.get((row[0], row[1]))
            if line is not None and line.sink in ("", row[2]):
                _reject(db, sink, [(entry, line.reason)])
                continue
            if line is not None:
                new_rows += QuarantineTable.insert(db, [line], now)
            _complete(db, entry, sink)
        return new_rows


def _reject(db: sqlite3.Connection, sink: str, reasons: Iterable[tuple[int, str]]) -> None:
    for entry, reason in reasons:
        db.execute("UPDATE quarantine SET reason = ? WHERE id = ?", (reason, entry))
        _set_state(db, entry, sink, "refused")


def _complete(db: sqlite3.Connection, entry: int, sink: str) -> None:
    _set_state(db, entry, sink, "settled")
    _drop_if_complete(db, entry)


def _set_state(db: sqlite3.Connection, entry: int, sink: str, state: str) -> None:
    db.execute("UPDATE redrive SET state = ? WHERE entry = ? AND sink = ?", (state, entry, sink))


def _drop_if_complete(db: sqlite3.Connection, entry: int) -> None:
    """Remove a row that no sink has to deliver any more."""
    rows = db.execute("SELECT state FROM redrive WHERE entry = ?", (entry,))
    if {state for (state,) in rows} == {"settled"}:
        db.execute("DELETE FROM quarantine WHERE id = ?", (entry,))
