"""The counter table: what the metrics have counted, so that they go on after a restart."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.metrics import CounterKey


class CounterTable:
    """The values of the Prometheus counters, by name and label values."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def load(self) -> dict[CounterKey, float]:
        """Return every value."""
        rows = self._database.read(
            tuple[str, str, float], "SELECT name, labels, value FROM counter"
        )
        try:
            found = {
                (name, msgspec.json.decode(labels, type=tuple[str, ...])): value
                for name, labels, value in rows
            }
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("a counter has no labels") from error
        if not all(math.isfinite(value) and value >= 0 for value in found.values()):
            raise self._database.explain_damage("a counter is out of its range")
        return found

    def save(self, totals: Mapping[CounterKey, float]) -> None:
        """Save totals in a transaction of their own, as `raise_to`."""
        with self._database.transaction() as db:
            self.raise_to(db, totals)

    def move(self, moved: Mapping[CounterKey, CounterKey]) -> None:
        """Add values to those of other keys, and drop them where they were."""
        found = self.load()
        sums: defaultdict[CounterKey, float] = defaultdict(float)
        for former, key in moved.items():
            sums[key] += found.get(former, 0.0)
        with self._database.transaction() as db:
            self.add(db, sums)
            db.executemany(
                "DELETE FROM counter WHERE name = ? AND labels = ?",
                [(name, json.dumps(labels)) for name, labels in moved],
            )

    @staticmethod
    def add(db: sqlite3.Connection, counts: Mapping[CounterKey, float]) -> None:
        """Add to values, within the caller's transaction."""
        db.executemany(
            "INSERT INTO counter VALUES (?, ?, ?) "
            "ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value",
            _rows(counts),
        )

    @staticmethod
    def raise_to(db: sqlite3.Connection, totals: Mapping[CounterKey, float]) -> None:
        """Raise values to totals, never back, within the caller's transaction."""
        db.executemany(
            "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT (name, labels) DO UPDATE SET "
            "value = excluded.value WHERE excluded.value > value",
            _rows(totals),
        )


def _rows(values: Mapping[CounterKey, float]) -> list[tuple[str, str, float]]:
    return [(name, json.dumps(labels), value) for (name, labels), value in values.items() if value]
