"""The plan of a batch, written down before anything of it is sent.

So a replay after a crash sends the same bytes, or is known not to.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.model import Range


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """An object's name below the sink's prefix.

    It may already be in the store with any of these SHA-256 digests.
    """

    name: str
    sha256: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """The part [start, end) of a planned range whose lines went into one object of the batch.

    `object` and `range` are indexes in the plan. `lines` were accepted and became `records`,
    `rejected` were not. A line whose records went into several objects is in the part of the first;
    the parts of a range do not overlap.
    """

    object: int
    range: int
    start: int
    end: int
    lines: int
    rejected: int
    records: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch of one sink, before it is sent.

    `time` is in whole seconds since the epoch, `lines` counts the batch's records, `ranges` are in
    the order of the lines. `redriven` are the quarantine entries that the batch redrives, one for
    each range; such a batch moves no offset. `manifest` is that of a store, as it will be written:
    if the batch cannot be made again, it still shows what has arrived. `parts` say which lines are
    in which object, if there are several objects.
    """

    id: str
    sink: str
    time: int
    host: str
    fingerprint: str
    lines: int
    ranges: tuple[Range, ...]
    objects: tuple[PlannedObject, ...]
    redriven: tuple[int, ...] = ()
    manifest: bytes = field(default=b"", repr=False)
    parts: tuple[ObjectPart, ...] = ()


class PlanTable:
    """The plans that are not committed yet."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def save(self, plan: Plan) -> None:
        """Write a plan down, in place of an earlier form of the same plan."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO plan VALUES (?, ?, ?)",
                (plan.id, plan.sink, msgspec.msgpack.encode(plan)),
            )

    def load(self, sink: str) -> list[Plan]:
        """Return the plans of a sink that are not committed, oldest first."""
        query = "SELECT body FROM plan WHERE sink = ?"
        rows = self._database.read(tuple[bytes], query, sink)
        try:
            plans = [decode_plan(body) for (body,) in rows]
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("a plan cannot be read") from error
        if not all(0 <= each.start <= each.end for plan in plans for each in plan.ranges):
            raise self._database.explain_damage("the range of a plan is out of bounds")
        return sorted(plans, key=lambda plan: (plan.time, plan.id))

    @staticmethod
    def remove(db: sqlite3.Connection, plan_id: str) -> None:
        """Remove a plan that is committed, within the caller's transaction."""
        db.execute("DELETE FROM plan WHERE id = ?", (plan_id,))


def decode_plan(body: bytes) -> Plan:
    """Return the plan that was encoded as MessagePack, also by an earlier version."""
    return msgspec.msgpack.decode(body, type=Plan)
