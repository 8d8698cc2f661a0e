"""The segment table: the tailer's records, and beside each what protects its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from tracesidecar.errors import StateError
from tracesidecar.journal.database import JournalDatabase, list_in_parts
from tracesidecar.journal.former_files import FormerFileTable
from tracesidecar.journal.identities import IdentityTable
from tracesidecar.journal.losses import LossTable, LostBytes
from tracesidecar.journal.plan import Plan, decode_plan
from tracesidecar.journal.quarantine import list_segments_with_rejected
from tracesidecar.journal.records import (
    PAGE_QUERY,
    PAGE_ROWS,
    decode_record,
    write_landmarks,
    write_records,
)
from tracesidecar.journal.resting import RestingTable
from tracesidecar.journal.segment_keys import remove_keys, write_keys
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.tail import BEFORE_ALL_SEGMENTS, FormerFile, Rest, SegmentRecord, SegmentState

MOST_MISSED = 10_000
"""For how many files it is kept what a sink missed while it was not configured."""


class SegmentTable:
    """What is known of each segment: the tailer's `SegmentStore`."""

    def __init__(
        self, database: JournalDatabase, losses: LossTable, identities: IdentityTable
    ) -> None:
        self._database = database
        self._identities = identities
        self._losses = losses
        self._served: Callable[[], Mapping[str, Callable[[str], bool]]] = dict
        self._report: Callable[[Sequence[LostBytes]], None] | None = None
        self._takers: Mapping[str, Sequence[str]] = {}
        self._others: Collection[str] = ()
        self.resting = RestingTable(database)
        self._formers = FormerFileTable(database)

    def let_rest(self, takers: Mapping[str, Sequence[str]], others: Collection[str] = ()) -> None:
        """Let a source's segments rest once all of its sinks (`takers`) have them.

        `others` are the sources that are no longer configured: all of theirs rest.
        """
        self._takers, self._others = takers, others

    def expect_sinks(
        self,
        served: Callable[[], Mapping[str, Callable[[str], bool]]],
        report: Callable[[Sequence[LostBytes]], None],
    ) -> None:
        """Record what is forgotten and some sink lacks, and call `report` with it afterwards.

        `served` returns which sinks run, and which sources each takes.
        """
        self._served, self._report = served, report

    def load(self, rest: Rest | None = None) -> list[SegmentRecord]:
        """Return every known segment, except those that rest.

        A live file rests if `rest` allows it, every taker has it, and nothing else needs it; and
        so does what is of a source that is no longer configured, unless it has a link.
        """
        if rest is None or not self._takers:
            return self._read("")
        return self.recall(self._find_others(rest))

    def read_some(self, rest: Rest) -> Iterator[list[SegmentRecord]]:
        """Read what `load` would return, some at a time: there may be very many."""
        if self._takers:
            for some in list_in_parts(self._find_others(rest)):
                yield self._read(f"WHERE id IN ({some})")
            return
        row, last = tuple[int, bytes, str, int | None], BEFORE_ALL_SEGMENTS
        while rows := self._database.read(row, PAGE_QUERY, last, PAGE_ROWS):
            last = rows[-1][0]
            yield self._decode((body, kind, can_link) for _, body, kind, can_link in rows)

    def _find_others(self, rest: Rest) -> list[int]:
        """Return the segments that do not rest."""
        self.resting.require_keys()
        needed = self._find_needed() | rest.linked
        return self.resting.find_others(rest, self._takers, self._others, needed)

    def load_files(self, paths: Collection[str], inodes: Collection[int]) -> list[SegmentRecord]:
        """Return the segments that have one of these paths or inodes."""
        found = self.recall(self.resting.find_files(paths, inodes))
        return [each for each in found if each.path in paths or each.inode in inodes]

    def load_of_sources(self, names: Collection[str]) -> list[SegmentRecord]:
        """Return the segments of these sources."""
        return self.recall(self.resting.find_of_sources(names))

    def read_of_sources(self, names: Collection[str]) -> Iterator[SegmentRecord]:
        """Read the segments of these sources, some at a time."""
        for some in list_in_parts(self.resting.find_of_sources(names)):
            yield from self._read(f"WHERE id IN ({some})")

    def recall(self, ids: Collection[int]) -> list[SegmentRecord]:
        """Return these segments."""
        return [
            record for some in list_in_parts(ids) for record in self._read(f"WHERE id IN ({some})")
        ]

    def _read(self, condition: str) -> list[SegmentRecord]:
        query = f"SELECT record, protection, can_link FROM segment {condition}"  # noqa: S608 - a list of our own numbers
        return self._decode(self._database.read(tuple[bytes, str, int | None], query))

    def _decode(self, rows: Iterable[tuple[bytes, str, int | None]]) -> list[SegmentRecord]:
        try:
            return [decode_record(*row) for row in rows]
        except (msgspec.DecodeError, UnicodeError, ValueError) as error:
            raise self._explain_unreadable() from error

    def load_frontier(self, ids: Collection[int] | None = None) -> dict[int, Checkpoint]:
        """Return the furthest checkpoint of each segment that any sink has committed or planned.

        `ids`: of these segments only. An offset without a digest was never read
        (`SinkTable.settle`).
        """
        reached: dict[int, Checkpoint] = {}
        read = "WHERE (digest <> x'' OR offset = 0)"
        conditions = (
            [read]
            if ids is None
            else [f"{read} AND segment IN ({some})" for some in list_in_parts(ids)]
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
        planned = {each.segment for plan in self._load_plans() for each in plan.ranges}
        return list_segments_with_rejected(self._database) | planned

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
            "SELECT coalesce((SELECT max(offset) FROM offset WHERE segment = ?1), 0) "
            "FROM segment WHERE id = ?1"
        )
        rows = self._database.read(tuple[int], query, segment)
        return rows[0][0] if rows else None

    def save(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace records in one transaction."""
        records = list(records)
        if records:
            with self._database.transaction() as db:
                write_records(db, records)
                write_keys(db, records)

    def rename_sources(self, names: Mapping[int, str]) -> None:
        """Give segments to other sources, with their rejected lines and losses."""
        former = self.recall(list(names))
        former_names = {(names[record.id], record.source) for record in former}
        records = [replace(record, source=names[record.id]) for record in former]
        renamed = [(record.source, record.id) for record in records]
        with self._database.transaction() as db:
            write_records(db, records)
            db.executemany("UPDATE segment_key SET source = ? WHERE segment = ?", renamed)
            db.executemany(
                "INSERT OR IGNORE INTO sink_source "
                "SELECT sink, ? FROM sink_source WHERE source = ?",
                former_names,
            )
            db.executemany("UPDATE quarantine SET source = ? WHERE segment = ?", renamed)
            db.executemany("UPDATE loss SET source = ? WHERE segment = ?", renamed)

    def forget(self, ids: Iterable[int]) -> None:
        """Remove segments and their offsets; their quarantined lines stay.

        The offsets of what is lost to some sink stay, too: they say what the others have.
        """
        rows = [(id_,) for id_ in ids]
        if not rows:
            return
        with self._database.transaction() as db:
            missed = self._record_missed(db, [id_ for (id_,) in rows])
            self._formers.note(db, rows)
            remove_keys(db, rows)
            db.executemany("DELETE FROM segment WHERE id = ?", rows)
            db.executemany(
                "DELETE FROM offset WHERE segment = ?1 "
                "AND NOT EXISTS (SELECT 1 FROM loss WHERE segment = ?1)",
                rows,
            )
            db.executemany("DELETE FROM landmark WHERE segment = ?", rows)
            self._identities.forget(db, [id_ for (id_,) in rows])
        if missed and self._report is not None:
            self._report(missed)

    def _record_missed(self, db: sqlite3.Connection, ids: Iterable[int]) -> list[LostBytes]:
        """Record what sinks lack for which no file is kept.

        Those are the sinks that are not required, those that were removed from the configuration
        while they were behind, and those that no longer take the source since then: if such a sink
        is added again, or takes the source again, this is its loss.
        """
        if self._report is None:
            return []
        served = self._served()
        known = [name for (name,) in db.execute("SELECT name FROM sink")]
        lost: list[LostBytes] = []
        for id_ in ids:
            row = db.execute("SELECT record FROM segment WHERE id = ?", (id_,)).fetchone()
            record = decode_record(row[0], "", None) if row else None
            if record is None or record.state in (SegmentState.SPENT, SegmentState.NEW):
                continue  # nothing was to be delivered of it
            reached = dict(
                db.execute("SELECT sink, offset FROM offset WHERE segment = ?", (id_,)).fetchall()
            )
            for name in known:
                takes = served.get(name)
                is_serving = takes is not None and takes(record.source)
                if is_serving and record.state is SegmentState.LOST:
                    continue  # recorded when it is reported
                if takes is not None and not is_serving and name not in reached:
                    continue  # it never took the source
                if (missing := _find_missing(db, record, name, int(reached.get(name, 0)))) > 0:
                    reason = "released" if is_serving else "deleted"
                    at = int(reached.get(name, 0))
                    lost.append(
                        LostBytes(id_, record.source, record.path, at, missing, reason, sink=name)
                    )
        self._losses.record_released(db, lost)
        for name in {each.sink for each in lost} - served.keys():
            _drop_oldest(db, name)
        return lost

    def save_landmarks(self, landmarks: Mapping[int, bytes]) -> None:
        """Insert or replace the landmarks of segments in one transaction."""
        with self._database.transaction() as db:
            write_landmarks(db, landmarks)

    def load_landmarks(self, segment: int) -> bytes | None:
        """Return the landmarks of a segment, None if it has none."""
        query = "SELECT body FROM landmark WHERE segment = ?"
        rows = self._database.read(tuple[bytes], query, segment)
        return rows[0][0] if rows else None

    def find_former(self, path: str) -> FormerFile | None:
        """Return the last file of a path that was delivered and forgotten."""
        return self._formers.find(path)

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


def _drop_oldest(db: sqlite3.Connection, sink: str) -> None:
    """Keep only the youngest losses of a sink, and no offsets of what nothing else is known of."""
    query = "SELECT id, segment FROM loss WHERE sink = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
    old = db.execute(query, (sink, MOST_MISSED)).fetchall()
    db.executemany("DELETE FROM loss WHERE id = ?", [(id_,) for id_, _ in old])
    db.executemany(
        "DELETE FROM offset WHERE segment = ?1 AND NOT EXISTS (SELECT 1 FROM loss WHERE segment "
        "= ?1) AND NOT EXISTS (SELECT 1 FROM segment WHERE id = ?1)",
        [(segment,) for _, segment in old],
    )


def _find_missing(db: sqlite3.Connection, record: SegmentRecord, sink: str, at: int) -> int:
    """Return how many bytes a sink that is at an offset lacks, before what is recorded as lost."""
    (end,) = db.execute(
        "SELECT min(start) FROM loss WHERE segment = ? AND sink IN ('', ?)", (record.id, sink)
    ).fetchone()
    length = record.size if record.compression == "none" else record.length
    return (length if end is None else min(length, int(end))) - at
