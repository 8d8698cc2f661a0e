"""The contents of a batch while it fills: raw lines, encoded events, or single records."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Protocol, Self

from tracesidecar.batch.encoding import BatchSpec, Encoding
from tracesidecar.batch.event_time import BatchClock
from tracesidecar.batch.layout import day
from tracesidecar.batch.partitions import PartitionBudget, PartitionKey
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode import (
    DISPLACED,
    EventLinesEncoder,
    LinesEncoder,
    ParquetEncoder,
    RejectedEvent,
    encode_within,
    encoder_for,
    escape_control_characters,
    lake_root,
    partition_folder,
    reject_event,
    severity_of,
)
from tracesidecar.model import CleanChunk, Record

RECORD_OVERHEAD_BYTES = 500
"""What a single record takes in memory beside its bytes."""


_NOWHERE = PartitionKey("", "")
"""The only partition of a batch that does not go to a lake."""


class ChunkPart(NamedTuple):
    """The part [start, end) of a chunk whose lines went into the body of one partition.

    `chunk` counts the chunks of the batch. `lines` were accepted and became `records`, `rejected`
    were not.
    """

    partition: str
    chunk: int
    start: int
    end: int
    lines: int
    rejected: int
    records: int


class RejectedLine(NamedTuple):
    """A line with an event that becomes no record: where it begins, and why."""

    offset: int
    reason: str
    problem: str


class Contents(Protocol):
    """What a batch holds while it fills.

    Takes clean chunks with their events, in order. `records` counts the records so far,
    `size_bytes` is their size before compression, as lines or single records, `encoded_bytes` that
    in the sink's format, and `held_bytes` the memory taken. `bodies` and
    `single_records` end it: one of them has the records, and nothing can be added afterwards.
    `displaced` counts the records that are not in the partition of their day, by source.
    """

    displaced: Counter[str]
    records: int
    size_bytes: int
    held_bytes: int

    @property
    def encoded_bytes(self) -> int:
        """What is encoded so far, before compression."""
        ...

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[RejectedLine, ...]:
        """Take a chunk.

        Return the lines that have an event which becomes no record; these events are left out.
        """
        ...

    def bodies(self) -> list[tuple[str, bytes, int]]:
        """Encode the rest and return each body: its partition, content and number of records.

        The partition of an object is a folder such as `v1/dt=…/dialect=…`.
        """
        ...

    def single_records(self) -> tuple[Record, ...]:
        """Return the records for a sink that takes them one by one."""
        ...

    def parts(self) -> Sequence[ChunkPart]:
        """Return which lines are in which body, in order; nothing if there is but one body."""
        ...

    def offsets(self) -> Sequence[int]:
        """Return where the line of each single record begins, -1 if that is unknown."""
        ...


def begin_contents(
    encoding: BatchSpec,
    at: int,
    planned: Container[PartitionKey] | None = None,
    *,
    is_careful: bool = False,
) -> Contents:
    """Begin the contents of a batch whose time is `at` (whole seconds since the epoch).

    `planned` are the partitions of a batch that is made again otherwise than it was planned. Only
    with `is_careful` are all events found that become no record: a column holds those of many
    chunks, and an error of one of them may be raised much later.
    """
    if encoding.takes == "records":
        return SingleRecords(encoding, at)
    if not encoding.interprets:
        return RawLines(encoding, at)
    return EncodedEvents(encoding, at, planned, is_careful=is_careful)


class RawLines:
    """Lines as they stand, in one body."""

    def __init__(self, encoding: Encoding, at: int) -> None:
        self._encoder = LinesEncoder(encoding.compression)
        self._partition = partition_folder(lake_root("raw"), day(at))
        self.displaced = Counter[str]()
        self.records = 0
        self.size_bytes = 0
        self.held_bytes = 0

    @property
    def encoded_bytes(self) -> int:
        """The size of the lines."""
        return self.size_bytes

    def add(self, clean: CleanChunk, _events: Sequence[DialectEvent]) -> tuple[RejectedLine, ...]:
        """Take the lines of a chunk as they are."""
        self._encoder.add(clean.data)
        self.records += clean.lines
        self.size_bytes += len(clean.data)
        self.held_bytes = self._encoder.encoded_bytes
        return ()

    def bodies(self) -> list[tuple[str, bytes, int]]:
        """Return the one body, unless it is empty."""
        return [(self._partition, self._encoder.finish(), self.records)] if self.records else []

    def single_records(self) -> tuple[Record, ...]:
        """Return nothing: the lines are one body."""
        return ()

    def parts(self) -> Sequence[ChunkPart]:
        """Return nothing: the lines are one body."""
        return ()

    def offsets(self) -> Sequence[int]:
        """Return nothing: the lines are one body."""
        return ()


class EventBody(Protocol):
    """One body of encoded events while it fills."""

    records: int

    @property
    def size_bytes(self) -> int:
        """The size of the encoded events before compression."""
        ...

    @property
    def held_bytes(self) -> int:
        """The memory that the body takes so far."""
        ...

    def add(self, events: Sequence[Event], dialect: str) -> list[RejectedEvent]:
        """Take events; return those that become no record."""
        ...

    def move_to(self, other: Self) -> None:
        """Add all events to another body, marked as displaced; nothing can be added afterwards."""
        ...

    def finish(self) -> bytes:
        """Return the encoded body; nothing can be added afterwards."""
        ...


@dataclass(slots=True)
class _Partition:
    """The events of one day and dialect, until they go to the day of arrival."""

    key: PartitionKey
    body: EventBody

    def move_to(self, other: _Partition) -> None:
        """Add the events to those of another partition, which stays where it is."""
        self.body.move_to(other.body)
        self.key = other.key


class EncodedEvents:
    """Encoded events: for a store one object per day and dialect, otherwise one body."""

    def __init__(
        self,
        encoding: BatchSpec,
        at: int,
        planned: Container[PartitionKey] | None,
        *,
        is_careful: bool,
    ) -> None:
        """`planned` are the partitions of a batch that is made again."""
        self._is_store = encoding.is_store
        self._clock = BatchClock(at, encoding.narrowing)
        self._root = lake_root(encoding.format)
        self._begin_body = _body_factory(encoding, is_store=self._is_store, is_careful=is_careful)
        self._partitions: dict[PartitionKey, _Partition] = {}
        self._budget = PartitionBudget(day(at), encoding.partitions, planned)
        self._parts: list[_Part] = []
        self._chunks = 0
        self.displaced = Counter[str]()
        self.records = 0
        self.size_bytes = 0
        self.held_bytes = 0

    @property
    def encoded_bytes(self) -> int:
        """The size of all bodies together."""
        return sum(each.body.size_bytes for each in self._partitions.values())

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[RejectedLine, ...]:
        """Take the events of a chunk, each into the body of its partition."""
        runs: list[_Run] = []
        run: list[Event] = []
        key = None
        for dialect, event in self._clock.date(events):
            new_key = PartitionKey((event.event_time or "")[:10] if self._is_store else "", dialect)
            if new_key != key:
                key, run = new_key, []
                runs.append(_Run(key, run))
            run.append(event)
        together = self._join_runs(runs)
        places = self._find_partitions(clean.segment.source, together)
        rejected: list[RejectedEvent] = []
        for key, joined in together:
            body = places[key].body
            records, held_bytes = body.records, body.held_bytes
            rejected += body.add(joined, key.dialect)
            self.records += body.records - records
            self.held_bytes += body.held_bytes - held_bytes
        if self._is_store and runs:
            self._note_parts(clean, runs, places, {id(each.event) for each in rejected})
        self._chunks += 1
        self.size_bytes += len(clean.data)
        return _list_lines(rejected + self._clock.take_rejected())

    def bodies(self) -> list[tuple[str, bytes, int]]:
        """Return the body of each partition."""
        bodies = [
            (folder, self._partitions[key].body) for key, folder in self._name_folders().items()
        ]
        return [
            (folder, body.finish(), body.records)
            for folder, body in sorted(bodies, key=itemgetter(0))
            if body.records
        ]

    def single_records(self) -> tuple[Record, ...]:
        """Return nothing: the events are in bodies."""
        return ()

    def parts(self) -> Sequence[ChunkPart]:
        """Return which lines are in which object."""
        if len(self._partitions) < 2:
            return ()
        folders = self._name_folders()
        return [ChunkPart(folders[part.partition.key], *part[1:]) for part in self._parts]

    def offsets(self) -> Sequence[int]:
        """Return nothing: the events are in bodies."""
        return ()

    def _join_runs(self, runs: Sequence[_Run]) -> list[tuple[PartitionKey, list[Event]]]:
        """Return what each body takes of a chunk: its day and dialect, and the events.

        A body of one day and dialect takes them at once, the one body of all in their order.
        """
        if not self._is_store:
            return [(run.key, run.events) for run in runs]
        joined: dict[PartitionKey, list[Event]] = {}
        for run in runs:
            joined.setdefault(run.key, []).extend(run.events)
        return list(joined.items())

    def _name_folders(self) -> dict[PartitionKey, str]:
        """Return the folder of each partition in the lake."""
        if not self._is_store:
            return dict.fromkeys(self._partitions, "")
        return {key: partition_folder(self._root, *key) for key in self._partitions}

    def _find_partitions(
        self, source: str, together: Sequence[tuple[PartitionKey, list[Event]]]
    ) -> dict[PartitionKey, _Partition]:
        """Return where events go; those that do not go to their day are marked."""
        if not self._is_store:
            self._open([_NOWHERE])
            return {key: self._partitions[_NOWHERE] for key, _ in together}
        places = self._budget.place(source, [key for key, _ in together])
        for key, place in places.items():
            if place != key and key in self._partitions:
                self._move(source, key, place)
        for key, events in together:
            if places[key] != key:
                self.displaced[source] += len(events)
                for event in events:
                    event.event_time_source = DISPLACED
        self._open([places[key] for key, _ in together])
        return {key: self._partitions[places[key]] for key, _ in together}

    def _move(self, source: str, key: PartitionKey, place: PartitionKey) -> None:
        """Add the events of a partition to those of the day of arrival."""
        self._open([place])
        former, arrival = self._partitions.pop(key), self._partitions[place]
        before = former.body.held_bytes + arrival.body.held_bytes
        self.displaced[source] += former.body.records
        former.move_to(arrival)
        self.held_bytes += arrival.body.held_bytes - before

    def _open(self, keys: Iterable[PartitionKey]) -> None:
        """Begin the partitions that there are not yet."""
        for key in keys:
            if key not in self._partitions:
                self._partitions[key] = _Partition(key, self._begin_body())

    def _note_parts(
        self,
        clean: CleanChunk,
        runs: Sequence[_Run],
        places: Mapping[PartitionKey, _Partition],
        left_out: AbstractSet[int],
    ) -> None:
        """Note which lines of a chunk went where; a chunk of rejected lines is in no object.

        `left_out` has the identities of the events that became no record.
        """
        offsets = [line.offset for line in clean.positions] if len(runs) > 1 else []
        rejected = [rejection.start for rejection in clean.rejected]
        start = clean.start
        begins = [line_offset(run.events[0]) for run in runs]
        for run, begin, following in zip(runs, begins, [*begins[1:], None], strict=True):
            end = clean.end if following is None else max(following, start)
            if following is not None and end == begin:  # that line goes on in the next run
                at = bisect_right(offsets, begin)
                end = offsets[at] if at < len(offsets) else clean.end
            end = min(max(end, start), clean.end)
            is_whole = len(runs) == 1
            self._parts.append(
                _Part(
                    places[run.key],
                    self._chunks,
                    start,
                    end,
                    clean.lines if is_whole else _count(offsets, start, end),
                    len(rejected) if is_whole else _count(rejected, start, end),
                    sum(id(event) not in left_out for event in run.events)
                    if left_out
                    else len(run.events),
                )
            )
            start = end


class _Run(NamedTuple):
    """Consecutive events of one day and dialect."""

    key: PartitionKey
    events: list[Event]


class _Part(NamedTuple):
    """A `ChunkPart` while its partition may still move."""

    partition: _Partition
    chunk: int
    start: int
    end: int
    lines: int
    rejected: int
    records: int


def _count(sorted_offsets: list[int], start: int, end: int) -> int:
    """Return how many offsets are in [start, end)."""
    return bisect_left(sorted_offsets, end) - bisect_left(sorted_offsets, start)


def _body_factory(
    encoding: Encoding, *, is_store: bool, is_careful: bool
) -> Callable[[], EventBody]:
    """Return what begins a body of events in the sink's format."""
    if encoding.format == "parquet":
        return partial(ParquetEncoder, is_careful=is_careful)
    encode = encoder_for(encoding.format, partitioned=is_store)
    return partial(
        EventLinesEncoder,
        encode,
        encoding.format,
        encoding.compression,
        encoding.record_limit_bytes,
    )


class SingleRecords:
    """Records one by one.

    With format `raw` a record is the line as it stands, under the id of its first event.
    """

    def __init__(self, encoding: Encoding, at: int) -> None:
        self._limit = encoding.record_limit_bytes
        self._clock = BatchClock(at, encoding.narrowing)
        self._is_text = encoding.is_text
        self._encode = (
            None
            if encoding.format == "raw"
            else encoder_for(encoding.format, as_text=encoding.is_text)
        )
        self._records: list[Record] = []
        self._offsets: list[int] = []
        self.displaced = Counter[str]()
        self.records = 0
        self.size_bytes = 0
        self.held_bytes = 0

    @property
    def encoded_bytes(self) -> int:
        """The size of the records."""
        return self.size_bytes

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[RejectedLine, ...]:
        """Take the events or lines of a chunk, each as a record."""
        rejected: list[RejectedEvent] = []
        for body, dialect, event in self.encode(clean, events):
            if isinstance(body, RejectedEvent):
                rejected.append(body)
                continue
            self.size_bytes += len(body)
            self._offsets.append(line_offset(event))
            self._records.append(
                Record(
                    body,
                    event.event_id or "",
                    dialect,
                    event.conversation_id or "",
                    event.source_file or "",
                    event.event_time or "",
                    event.event_kind,
                    event.trace_id,
                    event.native_id if event.trace_id else None,
                    severity_of(event),
                    event.line_sha256 or "",
                    event.processed_by or "",
                )
            )
        self.records = len(self._records)
        self.held_bytes = self.size_bytes + RECORD_OVERHEAD_BYTES * self.records
        return _list_lines(rejected + self._clock.take_rejected())

    def bodies(self) -> list[tuple[str, bytes, int]]:
        """Return nothing: the records are single."""
        return []

    def single_records(self) -> tuple[Record, ...]:
        """Return the records."""
        return tuple(self._records)

    def parts(self) -> Sequence[ChunkPart]:
        """Return nothing: the records are single."""
        return ()

    def offsets(self) -> Sequence[int]:
        """Return where the line of each record begins."""
        return self._offsets

    def encode(
        self, clean: CleanChunk, events: Sequence[DialectEvent]
    ) -> Iterator[tuple[bytes | RejectedEvent, str, Event]]:
        """Yield each record of a chunk, or why there is none, with its dialect and event."""
        limit, encode = self._limit, self._encode
        if encode is not None:
            for dialect, event in self._clock.date(events):
                try:
                    record = encode_within(event, encode, dialect, limit)
                except Exception as error:  # noqa: BLE001 - a bug in one record stays in it
                    yield reject_event(event, error), dialect, event
                else:
                    yield RejectedEvent(event) if record is None else record, dialect, event
            return
        first: dict[int, DialectEvent] = {}
        for each in events:
            first.setdefault(line_offset(each.event), each)
        lines: Iterable[bytes] = clean.data.split(b"\n")
        if self._is_text:
            lines = map(escape_control_characters, lines)
        for line, (dialect, event) in zip(lines, self._clock.date(first.values()), strict=False):
            yield (RejectedEvent(event) if limit and len(line) > limit else line), dialect, event


def record_offsets(
    encoding: Encoding, at: int, clean: CleanChunk, events: Sequence[DialectEvent]
) -> list[int]:
    """Return where the line of each record of a chunk begins, in the order of the records.

    `at` is the batch's time. Events without a record are in no batch, so they are left out here.
    """
    return [
        line_offset(event)
        for body, _, event in SingleRecords(encoding, at).encode(clean, events)
        if not isinstance(body, RejectedEvent)
    ]


def _list_lines(rejected: Sequence[RejectedEvent]) -> tuple[RejectedLine, ...]:
    """Return the lines of rejected events, each line once, in order."""
    lines = {
        offset: RejectedLine(offset, each.reason, each.problem)
        for each in reversed(rejected)
        for offset in (line_offset(each.event),)
    }
    return tuple(lines[offset] for offset in sorted(lines))


def line_offset(event: Event) -> int:
    """Return where the event's line begins in its segment, -1 if that is unknown."""
    return -1 if event.source_offset is None else event.source_offset
