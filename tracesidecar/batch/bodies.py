"""What a batch is made of while it fills: lines as they stand, rows by day and dialect, or single
records.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

import msgspec

from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode.formats import RecordEncoder, encoder
from tracesidecar.encode.jsonl import EXTENSIONS, LinesEncoder
from tracesidecar.encode.lake_layout import Format, lake_root
from tracesidecar.encode.limit import within
from tracesidecar.encode.severity import severity
from tracesidecar.model import CleanChunk, Compression, Record
from tracesidecar.sinks import DeliveryUnit

EARLIEST_DAY = "2020-01-01"
"""An event of before is one whose clock was wrong: it falls back to the batch's time."""
RECORD_OVERHEAD_BYTES = 400


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the records of a batch are encoded.

    `record_limit_bytes` is the most that one may have, 0 for any.
    """

    takes: DeliveryUnit
    format: Format = "raw"
    content: Literal["full", "metadata"] = "full"
    compression: Compression = "gzip"
    record_limit_bytes: int = 0

    @property
    def interprets(self) -> bool:
        """Tell whether events are wanted, and not only lines."""
        return self.format != "raw" or self.takes == "records"

    @property
    def extension(self) -> str:
        """What the names of objects end in."""
        return ".parquet" if self.format == "parquet" else EXTENSIONS[self.compression]


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """One body of a closed batch.

    `partition` is its folder within the day's lake, `v1/dt=…/dialect=…`.
    """

    partition: str
    content: bytes = field(repr=False)
    records: int


class Contents(Protocol):
    """Takes clean pieces with their events, in order; says what memory that takes, and is spent by
    `finish`.
    """

    size_bytes: int

    @property
    def records(self) -> int:
        """How many there are."""
        ...

    @property
    def held_bytes(self) -> int:
        """Memory taken so far."""
        ...

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        """Take a piece; return the offsets of lines that have a record over the limit, which is
        left out.
        """
        ...

    def finish(self) -> tuple[list[EncodedBody], tuple[Record, ...]]:
        """Close it."""
        ...


def contents(form: Encoding, at: int) -> Contents:
    """Begin a batch whose time is `at` (whole seconds since the epoch)."""
    if form.takes == "records":
        return Records(form, at)
    return Rows(form, at) if form.interprets else Lines(form, at)


class Lines:
    """Lines as they stand, in one body."""

    def __init__(self, form: Encoding, at: int) -> None:
        self._encoder = LinesEncoder(form.compression)
        self._partition = f"{lake_root('raw')}/dt={day(at)}"
        self.records = 0
        self.size_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Memory taken so far."""
        return self._encoder.encoded_bytes

    def add(self, clean: CleanChunk, _events: Sequence[DialectEvent]) -> tuple[int, ...]:
        """Take a piece."""
        self._encoder.add(clean.data)
        self.records += clean.lines
        self.size_bytes += len(clean.data)
        return ()

    def finish(self) -> tuple[list[EncodedBody], tuple[Record, ...]]:
        """Close it."""
        return [
            EncodedBody(self._partition, self._encoder.finish(), self.records)
        ] if self.records else [], ()


class Part(Protocol):
    """One body of rows while it fills."""

    records: int

    @property
    def held_bytes(self) -> int: ...

    def add(self, event: Event, dialect: str) -> bool:
        """Take an event; False where its record is over the limit."""
        ...

    def finish(self) -> bytes: ...


class _JsonPart:
    def __init__(self, encode: RecordEncoder, form: Encoding) -> None:
        self._encode = encode
        self._limit = form.record_limit_bytes
        self._body = LinesEncoder(form.compression)
        self.records = 0

    @property
    def held_bytes(self) -> int:
        return self._body.encoded_bytes

    def add(self, event: Event, dialect: str) -> bool:
        row = encoded(event, dialect, self._encode, self._limit)
        if row is None:
            return False
        self._body.add(row + b"\n")
        self.records += 1
        return True

    def finish(self) -> bytes:
        return self._body.finish()


class _ParquetPart:
    def __init__(self, form: Encoding) -> None:
        from tracesidecar.encode.parquet import ParquetEncoder

        self._is_full = form.content == "full"
        self._body = ParquetEncoder()
        self.records = 0

    @property
    def held_bytes(self) -> int:
        return self._body.held_bytes

    def add(self, event: Event, _dialect: str) -> bool:
        self._body.add(event if self._is_full else without_content(event))
        self.records += 1
        return True

    def finish(self) -> bytes:
        return self._body.finish()


class Rows:
    """Encoded events: for a store one object a day and dialect, else one body."""

    def __init__(self, form: Encoding, at: int) -> None:
        self._form = form
        self._clock = BatchClock(at)
        self._is_split = form.takes == "objects"
        self._root = lake_root(form.format)
        self._parts: dict[str, Part] = {}
        self.records = 0
        self.size_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Memory taken so far."""
        return sum(part.held_bytes for part in self._parts.values())

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        """Take a piece."""
        refused: list[int] = []
        for dialect, shared in events:
            event = self._clock.dated(shared)
            if self._part(dialect, event).add(event, dialect):
                self.records += 1
            else:
                refused.append(place(event))
        self.size_bytes += len(clean.data)
        return tuple(dict.fromkeys(refused))

    def finish(self) -> tuple[list[EncodedBody], tuple[Record, ...]]:
        """Close it."""
        return [
            EncodedBody(partition, part.finish(), part.records)
            for partition, part in sorted(self._parts.items())
            if part.records
        ], ()

    def _part(self, dialect: str, event: Event) -> Part:
        partition = (
            f"{self._root}/dt={(event.event_time or '')[:10]}/dialect={dialect}"
            if self._is_split
            else ""
        )
        part = self._parts.get(partition)
        if part is None:
            form = self._form
            new = (
                _ParquetPart(form)
                if form.format == "parquet"
                else _JsonPart(encoder(form.format, form.content, partitioned=self._is_split), form)
            )
            part = self._parts[partition] = new
        return part


class Records:
    """Records one by one; with format `raw` each line as it stands, under the id of its first
    event.
    """

    def __init__(self, form: Encoding, at: int) -> None:
        self._form = form
        self._clock = BatchClock(at)
        self._encode = None if form.format == "raw" else encoder(form.format, form.content)
        self._records: list[Record] = []
        self.size_bytes = 0

    @property
    def records(self) -> int:
        """How many there are."""
        return len(self._records)

    @property
    def held_bytes(self) -> int:
        """Memory taken so far."""
        return self.size_bytes + RECORD_OVERHEAD_BYTES * len(self._records)

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        """Take a piece."""
        refused: list[int] = []
        for body, dialect, event in self.encoded(clean, events):
            if body is None:
                refused.append(place(event))
                continue
            self.size_bytes += len(body)
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
                    severity(event),
                )
            )
        return tuple(dict.fromkeys(refused))

    def finish(self) -> tuple[list[EncodedBody], tuple[Record, ...]]:
        """Close it."""
        return [], tuple(self._records)

    def encoded(
        self, clean: CleanChunk, events: Sequence[DialectEvent]
    ) -> Iterator[tuple[bytes | None, str, Event]]:
        """Each record of a piece, with its dialect and event; None where it is over the limit."""
        limit = self._form.record_limit_bytes
        if self._encode is not None:
            for dialect, shared in events:
                event = self._clock.dated(shared)
                yield encoded(event, dialect, self._encode, limit), dialect, event
            return
        first: dict[int, DialectEvent] = {}
        for each in events:
            first.setdefault(place(each.event), each)
        for line, (dialect, shared) in zip(clean.data.split(b"\n"), first.values(), strict=False):
            yield (
                (None if limit and len(line) > limit else line),
                dialect,
                self._clock.dated(shared),
            )


def record_places(
    form: Encoding, at: int, clean: CleanChunk, events: Sequence[DialectEvent]
) -> list[int]:
    """Where the line of each record of a piece begins, in the order of the records in a body or a
    batch of time `at`: those over the limit are left out.
    """
    return [
        place(event)
        for body, _, event in Records(form, at).encoded(clean, events)
        if body is not None
    ]


class BatchClock:
    """Gives events the batch's time where they have none, or one that cannot be."""

    def __init__(self, at: int) -> None:
        moment = datetime.fromtimestamp(at, UTC)
        self._time = moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        self._latest_day = (moment + timedelta(days=1)).strftime("%Y-%m-%d")

    def dated(self, event: Event) -> Event:
        """The event as this batch has it.

        What is shared with other batches stays, but for the ingest time, which each sets before it
        encodes.
        """
        event.ingest_time = self._time
        if (
            event.event_time is not None
            and EARLIEST_DAY <= event.event_time[:10] <= self._latest_day
        ):
            return event
        return msgspec.structs.replace(event, event_time=self._time, event_time_source="ingest")


def encoded(event: Event, dialect: str, encode: RecordEncoder, limit_bytes: int) -> bytes | None:
    """The record, shortened where it must be; None where that does not help."""
    record = encode(event, dialect)
    return (
        record
        if not limit_bytes or len(record) <= limit_bytes
        else within(event, encode, dialect, limit_bytes)
    )


def without_content(event: Event) -> Event:
    """The event without what people wrote and tools answered."""
    return msgspec.structs.replace(
        event, text=None, tool_arguments=None, tool_result=None, raw=None
    )


def place(event: Event) -> int:
    """Where the event's line begins."""
    return -1 if event.source_offset is None else event.source_offset


def day(at: int) -> str:
    """The UTC date of a time in seconds since the epoch."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))
