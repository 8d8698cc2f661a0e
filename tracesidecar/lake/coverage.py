"""Do the ranges of all batches cover each segment from its beginning, without gap or overlap?"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.batch import Manifest
from tracesidecar.lake.scratch import needing_room, open_scratch, pack, unpack

MOST_FORMER_HOSTS = 16
"""So many names of its host may a segment have had; of more, nobody knows which it had."""

_SCHEMA = """
CREATE TABLE name (id INTEGER PRIMARY KEY, value BLOB UNIQUE);
CREATE TABLE batch (id INTEGER PRIMARY KEY, value BLOB);
CREATE TABLE segment (
    id INTEGER PRIMARY KEY, host INT, sink INT, number INT, generation INT, source BLOB, path BLOB,
    begin INT, lines INT, rejected INT, start INT, end INT, redriven INT
);
CREATE UNIQUE INDEX segment_by_number ON segment (sink, number, generation, host);
CREATE TABLE part (segment INT, is_redriven INT, start INT, end INT, batch INT);
"""
_INDEX = "CREATE INDEX IF NOT EXISTS part_by_place ON part (segment, is_redriven, start, end)"
_ADD_SEGMENT = """
INSERT INTO segment (host, sink, number, generation, source, path, begin, lines, rejected, start,
                     end, redriven)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sink, number, generation, host) DO UPDATE SET
    path = excluded.path, begin = excluded.begin, lines = lines + excluded.lines,
    rejected = rejected + excluded.rejected, end = max(end, excluded.end),
    start = coalesce(min(start, excluded.start), start, excluded.start),
    redriven = redriven + excluded.redriven
RETURNING id
"""
_LIST_SEGMENTS = """
SELECT segment.id, segment.host, segment.sink, host.value, sink.value, source, number, generation,
       path, begin, lines, rejected, start, end, redriven
FROM segment JOIN name AS host ON host.id = host JOIN name AS sink ON sink.id = sink
ORDER BY host.value, sink.value, source, number, generation
"""
_FIND_FORMER = """
SELECT id FROM segment
WHERE sink = ? AND number = ? AND generation = ? AND start < ? AND id <> ? LIMIT ?
"""
_SUM_SOURCES = """
SELECT host.value, source, count(*), total(end), sum(lines), sum(rejected)
FROM segment JOIN name AS host ON host.id = host GROUP BY host.value, source LIMIT ?
"""


class SegmentKey(NamedTuple):
    """One generation of a segment, as the store knows it: its number is unique per installation."""

    host: str
    sink: str
    source: str
    segment: int
    generation: int


class SourceSum(NamedTuple):
    """What has arrived of the segments of one source of a host; `bytes` are about so many."""

    host: str
    source: str
    segments: int
    bytes: float
    lines: int
    rejected: int


class _Segment(NamedTuple):
    """A row of the table; `host` and `sink` are numbers of names."""

    id: int
    host: int
    sink: int
    host_name: bytes
    sink_name: bytes
    source: bytes
    number: int
    generation: int
    path: bytes
    begin: int
    lines: int
    rejected: int
    start: int | None
    end: int
    redriven: int

    @property
    def key(self) -> SegmentKey:
        """How the store knows the segment."""
        host, sink, source = map(unpack, (self.host_name, self.sink_name, self.source))
        return SegmentKey(host, sink, source, self.number, self.generation)


class _Part(NamedTuple):
    """A range, in bytes, and the number of the batch that has it."""

    start: int
    end: int
    batch: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What has arrived of one segment, together with what came before under former names.

    `path` is the last one that a manifest has. The bytes before `begin` are another segment's.
    `rejected` counts lines in quarantine, and `end` is the end of the last range.
    """

    key: SegmentKey
    path: str
    begin: int
    lines: int
    rejected: int
    end: int
    _has_redriven: bool
    _rows: tuple[int, ...]
    _scratch: sqlite3.Connection

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield start and end of the bytes that no batch has."""
        at = self.begin
        for start, end, _ in self._read(is_redriven=False):
            if start > at:
                yield at, start
            at = max(at, end)

    def overlaps(self) -> Iterator[tuple[int, int, str, str]]:
        """Yield start and end of the bytes that two batches have, and both batches."""
        for is_redriven in (False, True)[: 1 + self._has_redriven]:
            before: _Part | None = None
            for part in self._read(is_redriven=is_redriven):
                if before is not None and part.start < before.end:
                    one, other = self._name(before.batch), self._name(part.batch)
                    yield part.start, min(part.end, before.end), one, other
                if before is None or part.end > before.end:
                    before = part

    def find_unexpected_redrives(self) -> Iterator[tuple[int, int, str]]:
        """Yield redriven ranges (start, end, batch) that no batch has skipped before."""
        if not self._has_redriven:
            return
        covered = self._join_ranges()
        last, following = (0, -1), next(covered, None)
        for start, end, batch in self._read(is_redriven=True):
            while following is not None and following[0] <= start:
                last, following = following, next(covered, None)
            if not last[0] <= start <= end <= last[1]:
                yield start, end, self._name(batch)

    def _join_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield ranges that do not touch, joined of those that do."""
        joined: tuple[int, int] | None = None
        for start, end, _ in self._read(is_redriven=False):
            if joined is not None and start <= joined[1]:
                joined = joined[0], max(joined[1], end)
                continue
            if joined is not None:
                yield joined
            joined = start, end
        if joined is not None:
            yield joined

    def _read(self, *, is_redriven: bool) -> Iterator[_Part]:
        marks = ", ".join("?" * len(self._rows))
        query = (
            f"SELECT start, end, batch FROM part WHERE segment IN ({marks}) AND is_redriven = ? "  # noqa: S608 - question marks
            "ORDER BY start, end"
        )
        with needing_room():
            yield from map(_Part._make, self._scratch.execute(query, (*self._rows, is_redriven)))

    def _name(self, batch: int) -> str:
        ((name,),) = self._scratch.execute("SELECT value FROM batch WHERE id = ?", (batch,))
        return unpack(name)


class Coverages:
    """The coverage of every segment. Add each manifest once.

    It is kept on disk: whoever may write to the store may plant millions.
    """

    def __init__(self) -> None:
        self._scratch = open_scratch(_SCHEMA)
        self._sinks: set[str] = set()
        self.lines = 0
        self.rejected = 0

    def add(self, manifest: Manifest) -> None:
        """Add the ranges of a batch."""
        with needing_room():
            self._add(manifest)

    def __iter__(self) -> Iterator[Coverage]:
        with needing_room():
            self._scratch.execute(_INDEX)
            for row in map(_Segment._make, self._scratch.execute(_LIST_SEGMENTS)):
                former = self._find_former(row)
                yield Coverage(
                    row.key,
                    unpack(row.path),
                    row.begin,
                    row.lines,
                    row.rejected,
                    row.end,
                    row.redriven > 0 or former != (),
                    (row.id, *former),
                    self._scratch,
                )

    def has_sink(self, name: str) -> bool:
        """Return whether some range is of this sink."""
        return name in self._sinks

    def sum_sources(self, limit: int) -> list[SourceSum]:
        """Return what has arrived of the first sources, by host and name."""
        with needing_room():
            return [
                SourceSum(unpack(host), unpack(source), *sums)
                for host, source, *sums in self._scratch.execute(_SUM_SOURCES, (limit,))
            ]

    def _add(self, manifest: Manifest) -> None:
        scratch = self._scratch
        host, sink = map(self._intern, (manifest.host, manifest.sink))
        cursor = scratch.execute("INSERT INTO batch (value) VALUES (?)", (pack(manifest.batch),))
        batch = cursor.lastrowid
        for each in manifest.ranges:
            # A segment's number is unique on its host: it goes on when its source is renamed.
            number = host, sink, each.segment, each.generation
            names = pack(each.source), pack(each.path)
            rejected = -each.lines if manifest.redriven else each.refused
            place = (None, 0, 1) if manifest.redriven else (each.start, each.end, 0)
            values = (*number, *names, each.begin, each.lines, rejected, *place)
            ((row,),) = scratch.execute(_ADD_SEGMENT, values).fetchall()
            part = row, manifest.redriven, each.start, each.end, batch
            scratch.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?)", part)
            self.lines += each.lines
            self.rejected += rejected
        if manifest.ranges:
            self._sinks.add(manifest.sink)

    def _intern(self, name: str) -> int:
        """Return the number of a name: many segments have the same."""
        value = pack(name)
        self._scratch.execute("INSERT OR IGNORE INTO name (value) VALUES (?)", (value,))
        ((number,),) = self._scratch.execute("SELECT id FROM name WHERE value = ?", (value,))
        return int(number)

    def _find_former(self, segment: _Segment) -> tuple[int, ...]:
        """Return the rows of what came before a segment under other names of its host.

        A segment whose first range begins in the middle went on there, if there is one with its
        number; otherwise a number is that of one host.
        """
        start = math.inf if segment.start is None else segment.start
        if start <= segment.begin:
            return ()
        number = segment.sink, segment.number, segment.generation
        found = self._scratch.execute(
            _FIND_FORMER, (*number, start, segment.id, MOST_FORMER_HOSTS + 1)
        ).fetchall()
        return tuple(row for (row,) in found) if len(found) <= MOST_FORMER_HOSTS else ()
