"""The segment table: the tailer's records, and beside each what protects its file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace

import msgspec

from tracesidecar.errors import StateError
from tracesidecar.journal.database import JournalDatabase, list_in_parts
from tracesidecar.journal.losses import LossTable, LostBytes
from tracesidecar.journal.plan import Plan, decode_plan
from tracesidecar.model import BEGINNING, TAIL_BYTES, Checkpoint
from tracesidecar.tail import FinishedSegment, Protection, SegmentRecord, SegmentState

_COLUMNS = frozenset({"protection", "can_link"})
"""Fields with a column of their own; all others are in the record."""

_RECORDED = [field.name for field in fields(SegmentRecord) if field.name not in _COLUMNS]

_decode_finished = msgspec.msgpack.Decoder(FinishedSegment).decode

_BEFORE_ALL = -(1 << 63)
_LOADED_AT_ONCE = 1000

MOST_MISSED = 10_000
"""For how many files it is kept what a sink missed while it was not configured."""


class SegmentTable:
    """What is known of each segment: the tailer's `SegmentStore`."""

    def __init__(self, database: JournalDatabase, losses: LossTable) -> None:
        self._database = database
        self._losses = losses
        self._served: Callable[[], Mapping[str, Callable[[str], bool]]] = dict
        self._report: Callable[[Sequence[LostBytes]], None] | None = None
        self._takers: Mapping[str, Sequence[str]] = {}

    def let_rest(self, takers: Mapping[str, Sequence[str]]) -> None:
        """Let the segments of these sources rest that all of its sinks, `takers`, have."""
        self._takers = takers

    def expect_sinks(
        self,
        served: Callable[[], Mapping[str, Callable[[str], bool]]],
        report: Callable[[Sequence[LostBytes]], None],
    ) -> None:
        """Record what is forgotten and some sink lacks, and call `report` with it afterwards.

        `served` returns which sinks run, and which sources each takes.
        """
        self._served, self._report = served, report

    def load(self, rests: Callable[[FinishedSegment], bool] | None = None) -> list[SegmentRecord]:
        """Return every known segment, except those that rest.

        `rests` is asked about live files that every taker has and nothing else needs.
        """
        if rests is None or not self._takers:
            return self._read("")
        records: list[SegmentRecord] = []
        needed = self._find_needed()
        for rows in self._read_in_parts():
            finished = self._find_finished(rows)
            resting = {each.id for each in finished if each.id not in needed and rests(each)}
            if len(resting) < len(rows):
                records += self.recall([id_ for id_, _ in rows if id_ not in resting])
        return records

    def load_of_sources(self, names: Collection[str]) -> list[SegmentRecord]:
        """Return the segments of these sources."""
        records: list[SegmentRecord] = []
        for rows in self._read_in_parts():
            try:
                found = [id_ for id_, body in rows if _decode_finished(body).source in names]
            except msgspec.DecodeError as error:
                raise self._explain_unreadable() from error
            records += self.recall(found)
        return records

    def _read_in_parts(self) -> Iterator[list[tuple[int, bytes]]]:
        query = "SELECT id, record FROM segment WHERE id > ? ORDER BY id LIMIT ?"
        last = _BEFORE_ALL
        while rows := self._database.read(tuple[int, bytes], query, last, _LOADED_AT_ONCE):
            last = rows[-1][0]
            yield rows

    def recall(self, ids: Collection[int]) -> list[SegmentRecord]:
        """Return these segments."""
        return [
            record for some in list_in_parts(ids) for record in self._read(f"WHERE id IN ({some})")
        ]

    def _find_finished(self, rows: list[tuple[int, bytes]]) -> list[FinishedSegment]:
        """Return which of these rows are of live files that every taker has completely.

        Odd paths and what this program cannot have written are left to those who decode it all.
        """
        try:
            decoded = [(id_, _decode_finished(body)) for id_, body in rows]
        except msgspec.DecodeError as error:
            raise self._explain_unreadable() from error
        finished = [
            segment
            for id_, segment in decoded
            if segment.state is SegmentState.LIVE
            and segment.compression == "none"
            and segment.source in self._takers
            and segment.id == id_
            and segment.size >= 0
            and segment.path.isascii()
            and segment.path.isprintable()
        ]
        bounds = rows[0][0], rows[-1][0]
        for sink in {sink for takers in self._takers.values() for sink in takers}:
            others = {source for source, takers in self._takers.items() if sink not in takers}
            query = "SELECT segment, offset FROM offset WHERE sink = ? AND segment BETWEEN ? AND ?"
            reached = dict(self._database.read(tuple[int, int], query, sink, *bounds))
            finished = [
                segment
                for segment in finished
                if reached.get(segment.id, -1) >= segment.size or segment.source in others
            ]
        return finished

    def _read(self, condition: str) -> list[SegmentRecord]:
        query = f"SELECT record, protection, can_link FROM segment {condition}"  # noqa: S608 - a list of our own numbers
        rows = self._database.read(tuple[bytes, str, int | None], query)
        try:
            return [_decode(*row) for row in rows]
        except (msgspec.DecodeError, UnicodeError, ValueError) as error:
            raise self._explain_unreadable() from error

    def load_frontier(self, ids: Collection[int] | None = None) -> dict[int, Checkpoint]:
        """Return the furthest checkpoint of each segment that any sink has committed or planned.

        `ids`: of these segments only.
        """
        reached: dict[int, Checkpoint] = {}
        conditions = (
            [""] if ids is None else [f"WHERE segment IN ({some})" for some in list_in_parts(ids)]
        )
        for condition in conditions:
            # SQLite takes the other columns from the row that has the maximum.
            query = f"SELECT segment, max(offset), digest FROM offset {condition} GROUP BY segment"  # noqa: S608 - a list of our own numbers
            for segment, offset, digest in self._database.read(tuple[int, int, bytes], query):
                reached[segment] = Checkpoint(offset, digest)
        for plan in self._load_plans():
            for planned in () if plan.redriven else plan.ranges:
                if planned.end > reached.get(planned.segment, BEGINNING).offset:
                    reached[planned.segment] = Checkpoint(planned.end, planned.tail)
        return reached

    def _find_needed(self) -> frozenset[int]:
        """Return the segments in plans, and those that alone have the bytes of rejected lines."""
        query = "SELECT DISTINCT segment FROM quarantine WHERE sealed = '' AND NOT gone"
        rejected = [segment for (segment,) in self._database.read(tuple[int], query)]
        planned = [each.segment for plan in self._load_plans() for each in plan.ranges]
        return frozenset(rejected + planned)

    def _load_plans(self) -> Iterator[Plan]:
        for (body,) in self._database.read(tuple[bytes], "SELECT body FROM plan"):
            try:
                yield decode_plan(body)
            except msgspec.DecodeError as error:
                raise self._database.explain_damage("a plan cannot be read") from error

    def _explain_unreadable(self) -> StateError:
        return self._database.explain_damage("the record of a segment cannot be read")

    def find_progress(self, segment: int) -> int | None:
        """Return how far any sink has committed a segment; None if nothing is known of it."""
        query = (
            "SELECT max(reached) FROM (SELECT 0 AS reached FROM segment WHERE id = ?1 "
            "UNION ALL SELECT offset FROM offset WHERE segment = ?1)"
        )
        [(reached,)] = self._database.read(tuple[int | None], query, segment)
        return reached

    def save(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace records in one transaction."""
        rows = [_encode(record) for record in records]
        if rows:
            with self._database.transaction() as db:
                db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?)", rows)

    def rename_sources(self, names: Mapping[int, str]) -> None:
        """Give segments to other sources, with their rejected lines and losses."""
        records = [replace(record, source=names[record.id]) for record in self.recall(list(names))]
        rows = [_encode(record) for record in records]
        renamed = [(record.source, record.id) for record in records]
        with self._database.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?)", rows)
            db.executemany("UPDATE quarantine SET source = ? WHERE segment = ?", renamed)
            db.executemany("UPDATE loss SET source = ? WHERE segment = ?", renamed)

    def forget(self, ids: Iterable[int]) -> None:
        """Remove segments and their offsets; their quarantined lines stay."""
        rows = [(id_,) for id_ in ids]
        if not rows:
            return
        with self._database.transaction() as db:
            missed = self._record_missed(db, [id_ for (id_,) in rows])
            db.executemany("DELETE FROM segment WHERE id = ?", rows)
            db.executemany("DELETE FROM offset WHERE segment = ?", rows)
            db.executemany("DELETE FROM landmark WHERE segment = ?", rows)
        if missed and self._report is not None:
            self._report(missed)

    def _record_missed(self, db: sqlite3.Connection, ids: Iterable[int]) -> list[LostBytes]:
        """Record what sinks lack for which no file is kept.

        Those are the sinks that are not required, and those that were removed from the
        configuration while they were behind: if such a sink is added again, this is its loss.
        """
        if self._report is None:
            return []
        served = self._served()
        known = [name for (name,) in db.execute("SELECT name FROM sink")]
        lost: list[LostBytes] = []
        for id_ in ids:
            row = db.execute("SELECT record FROM segment WHERE id = ?", (id_,)).fetchone()
            record = _decode(row[0], "", None) if row else None
            if record is None or record.state in (SegmentState.SPENT, SegmentState.NEW):
                continue  # nothing was to be delivered of it
            reached = dict(
                db.execute("SELECT sink, offset FROM offset WHERE segment = ?", (id_,)).fetchall()
            )
            for name in known:
                takes = served.get(name)
                if takes is not None and (
                    record.state is SegmentState.LOST or not takes(record.source)
                ):
                    continue  # a loss of the sinks that run is recorded when it is reported
                if (missing := _find_missing(db, record, name, int(reached.get(name, 0)))) > 0:
                    reason = "deleted" if takes is None else "released"
                    at = int(reached.get(name, 0))
                    lost.append(
                        LostBytes(id_, record.source, record.path, at, missing, reason, sink=name)
                    )
        self._losses.record_released(db, lost)
        for name in {each.sink for each in lost} - served.keys():
            db.execute(
                "DELETE FROM loss WHERE sink = ? AND id NOT IN "
                "(SELECT id FROM loss WHERE sink = ? ORDER BY id DESC LIMIT ?)",
                (name, name, MOST_MISSED),
            )
        return lost

    def save_landmarks(self, landmarks: Mapping[int, bytes]) -> None:
        """Insert or replace the landmarks of segments in one transaction."""
        with self._database.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO landmark VALUES (?, ?)", landmarks.items())

    def load_landmarks(self, segment: int) -> bytes | None:
        """Return the landmarks of a segment, None if it has none."""
        query = "SELECT body FROM landmark WHERE segment = ?"
        rows = self._database.read(tuple[bytes], query, segment)
        return rows[0][0] if rows else None

    def copy_offsets(self, former: int, segment: int, limit: Checkpoint) -> None:
        """Let every sink that has begun one segment go on in another, at `limit` at most."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO offset SELECT sink, :segment, min(offset, :limit), "
                "CASE WHEN offset > :limit THEN :digest ELSE digest END, "
                "CASE WHEN offset > :limit THEN x'' ELSE state END "
                "FROM offset WHERE segment = :former",
                {
                    "segment": segment,
                    "former": former,
                    "limit": limit.offset,
                    "digest": limit.digest,
                },
            )


def _find_missing(db: sqlite3.Connection, record: SegmentRecord, sink: str, at: int) -> int:
    """Return how many bytes a sink that is at an offset lacks, before what is recorded as lost."""
    (end,) = db.execute(
        "SELECT min(start) FROM loss WHERE segment = ? AND sink IN ('', ?)", (record.id, sink)
    ).fetchone()
    length = record.size if record.compression == "none" else record.length
    return (length if end is None else min(length, int(end))) - at


def _encode(record: SegmentRecord) -> tuple[int, bytes, str, bool | None]:
    packed = replace(record, path=_pack_path(record.path), origin=_pack_path(record.origin))
    body = msgspec.msgpack.encode({name: getattr(packed, name) for name in _RECORDED})
    return record.id, body, record.protection or "", record.can_link


def _decode(body: bytes, protection: str, can_link: int | None) -> SegmentRecord:
    record = msgspec.msgpack.decode(body, type=SegmentRecord)
    numbers = (record.inode, record.generation, record.size, record.prefix_length, record.length)
    if min(numbers) < 0 or record.prefix_length > TAIL_BYTES or "\0" in record.path + record.origin:
        raise ValueError("a value is out of its range")
    return replace(
        record,
        path=_unpack_path(record.path),
        origin=_unpack_path(record.origin),
        protection=msgspec.convert(protection, Protection) if protection else None,
        can_link=None if can_link is None else bool(can_link),
    )


def _pack_path(path: str) -> str:
    """Return a path as Latin-1: MessagePack text cannot hold a name that is not UTF-8."""
    return os.fsencode(path).decode("latin-1")


def _unpack_path(path: str) -> str:
    return os.fsdecode(path.encode("latin-1"))
