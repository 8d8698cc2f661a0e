"""What had arrived and was delivered again all the same, because it follows a gap."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Annotated

import msgspec

from tracesidecar.journal.database import JournalDatabase

_MOST = 1000
_KEY = "repeats"
_Size = Annotated[int, msgspec.Meta(ge=0)]


class RepeatedBytes(msgspec.Struct, frozen=True):
    """Bytes [start, end) of a segment that a sink had, and was sent once more."""

    sink: str
    segment: int
    path: str
    start: _Size
    end: _Size


class _Repeats(msgspec.Struct, frozen=True):
    totals: dict[str, _Size] = {}
    last: list[RepeatedBytes] = []


class RepeatTable:
    """How many bytes each sink got again, and which these were last."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def insert(self, db: sqlite3.Connection, repeats: Sequence[RepeatedBytes]) -> None:
        """Add repeats, in the transaction of the caller."""
        if not repeats:
            return
        known = self._load()
        totals = dict(known.totals)
        for repeat in repeats:
            totals[repeat.sink] = totals.get(repeat.sink, 0) + repeat.end - repeat.start
        kept = _Repeats(totals, [*known.last, *repeats][-_MOST:])
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, msgspec.json.encode(kept)))

    def add(self, repeats: Sequence[RepeatedBytes]) -> None:
        """Add repeats in a durable transaction."""
        with self._database.transaction() as db:
            self.insert(db, repeats)

    def load_totals(self) -> dict[str, int]:
        """Return how many bytes each sink got again, of those that did."""
        return dict(self._load().totals)

    def load_of_segment(self, segment: int, sink: str) -> list[RepeatedBytes]:
        """Return what a sink got again of a segment, as far as it is remembered."""
        return [each for each in self._load().last if (each.segment, each.sink) == (segment, sink)]

    def _load(self) -> _Repeats:
        content = self._database.find_meta(_KEY)
        try:
            return _Repeats() if content is None else msgspec.json.decode(content, type=_Repeats)
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("what arrived twice cannot be read") from error
