"""The plan of a batch, written down before anything of it is sent.

So a replay after a crash sends the same bytes, or is known not to.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.records import write_landmarks
from tracesidecar.model import Range

ID_BYTES = 16
"""An event id is 32 hexadecimal digits."""


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
class PlannedRejection:
    """A line of a planned range that goes to quarantine with the batch.

    `range` is an index in the plan; `sink` is empty if validation rejected the line, else its
    record is over the limit of this sink. The rest is as in `QuarantinedLine`.
    """

    range: int
    sink: str
    start: int
    end: int
    reason: str
    digest: bytes | None
    sealed: str = ""
    sealed_at: int = 0


@dataclass(frozen=True, slots=True)
class PlannedRecords:
    """The records of a plan, in order, so that a destination can be asked for them.

    `ids` has 16 bytes for each event id, `offsets` 8 bytes (big-endian) for where its line begins
    in the segment.
    """

    ids: bytes = b""
    offsets: bytes = b""

    @classmethod
    def of(cls, records: Sequence[tuple[str, int]]) -> PlannedRecords:
        """Pack (event id, offset of the line); empty if an id is none of ours."""
        ids = "".join(event_id for event_id, _ in records)
        if len(ids) != 2 * ID_BYTES * len(records):
            return cls()
        offsets = [max(0, offset) for _, offset in records]
        return cls(bytes.fromhex(ids), struct.pack(f">{len(offsets)}Q", *offsets))

    def __len__(self) -> int:
        return len(self.ids) // ID_BYTES

    def list_ids(self) -> list[str]:
        """Return the event ids."""
        digits, width = self.ids.hex(), 2 * ID_BYTES
        return [digits[at : at + width] for at in range(0, len(digits), width)]

    def list_offsets(self) -> tuple[int, ...]:
        """Return where the lines begin."""
        return struct.unpack(f">{len(self)}Q", self.offsets)

    def select(self, spans: Iterable[tuple[int, int]]) -> PlannedRecords:
        """Return those of some spans, each [first, last)."""
        chosen = list(spans)
        return PlannedRecords(
            b"".join(self.ids[ID_BYTES * first : ID_BYTES * last] for first, last in chosen),
            b"".join(self.offsets[8 * first : 8 * last] for first, last in chosen),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch of one sink, before it is sent.

    `time` is in whole seconds since the epoch, `lines` counts the batch's records, `ranges` are in
    the order of the lines. `redriven` are the quarantine entries that the batch redrives, one for
    each range; such a batch moves no offset. `manifest` is that of a store, as it will be written:
    if the batch cannot be made again, it still shows what has arrived. `parts` say which lines are
    in which object, if there are several objects; `records` has the batch's records, if the
    destination can be asked for them. `rejected` are the lines that go to quarantine with it.
    `schema` is the version of the events' schema that it was made with: its events have the ids of
    that version whenever it is made again.
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
    records: PlannedRecords = PlannedRecords()
    rejected: tuple[PlannedRejection, ...] = ()
    schema: int = 1


class PlanTable:
    """The plans that are not committed yet."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def save(self, plan: Plan, landmarks: Mapping[int, bytes] = MappingProxyType({})) -> None:
        """Write a plan down, in place of an earlier form of the same plan.

        `landmarks` are of its segments: they say how far a file is unchanged if it is rewritten
        before it is known what arrived.
        """
        with self._database.transaction() as db:
            write_landmarks(db, landmarks)
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
