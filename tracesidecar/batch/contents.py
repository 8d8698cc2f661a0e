"""The contents of a batch while it fills: lines as they stand, encoded events, or single records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from tracesidecar.batch.encoding import Encoding
from tracesidecar.batch.event_time import BatchClock
from tracesidecar.batch.layout import day
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode import (
    CONTENT_COLUMNS,
    LinesEncoder,
    ParquetEncoder,
    RecordEncoder,
    encode_within,
    encoder_for,
    lake_root,
    severity_of,
)
from tracesidecar.model import CleanChunk, Payload, Record

RECORD_OVERHEAD_BYTES = 400
"""What a single record takes in memory beside its bytes."""

MakePayload = Callable[[str, bytes, int], Payload]
"""Makes an object of a partition such as `v1/dt=…/dialect=…`, its content and number of records."""

_NO_CONTENT = dict.fromkeys(CONTENT_COLUMNS)


class Contents(Protocol):
    """What a batch holds while it fills. `size_bytes` is its size before compression.

    Takes clean chunks with their events, in order. `payloads` and `single_records` end it: one of
    them has the records, and nothing can be added afterwards.
    """

    size_bytes: int

    @property
    def records(self) -> int:
        """The number of records so far."""
        ...

    @property
    def held_bytes(self) -> int:
        """The memory taken so far."""
        ...

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        """Take a chunk.

        Return the offsets of lines of which a record is over the sink's limit; these records are
        left out.
        """
        ...

    def payloads(self, make: MakePayload) -> tuple[Payload, ...]:
        """Encode the rest and return the objects or the body."""
        ...

    def single_records(self) -> tuple[Record, ...]:
        """Return the records for a sink that takes them one by one."""
        ...


def begin_contents(encoding: Encoding, at: int) -> Contents:
    """Begin the contents of a batch whose time is `at` (whole seconds since the epoch)."""
    if encoding.takes == "records":
        return SingleRecords(encoding, at)
    return EncodedEvents(encoding, at) if encoding.interprets else RawLines(encoding, at)


class RawLines:
    """Lines as they stand, in one body."""

    def __init__(self, encoding: Encoding, at: int) -> None:
        self._encoder = LinesEncoder(encoding.compression)
        self._partition = f"{lake_root('raw')}/dt={day(at)}"
        self.records = 0
        self.size_bytes = 0

    @property
    def held_bytes(self) -> int:
        return self._encoder.encoded_bytes

    def add(self, clean: CleanChunk, _events: Sequence[DialectEvent]) -> tuple[int, ...]:
        self._encoder.add(clean.data)
        self.records += clean.lines
        self.size_bytes += len(clean.data)
        return ()

    def payloads(self, make: MakePayload) -> tuple[Payload, ...]:
        if not self.records:
            return ()
        return (make(self._partition, self._encoder.finish(), self.records),)

    def single_records(self) -> tuple[Record, ...]:
        return ()


class EventBody(Protocol):
    """One body of encoded events while it fills."""

    records: int

    @property
    def held_bytes(self) -> int: ...

    def add(self, event: Event, dialect: str) -> bool:
        """Take an event; return False if its record is over the limit."""
        ...

    def finish(self) -> bytes: ...


class _JsonBody:
    def __init__(self, encode: RecordEncoder, encoding: Encoding) -> None:
        self._encode = encode
        self._limit = encoding.record_limit_bytes
        self._body = LinesEncoder(encoding.compression)
        self.records = 0

    @property
    def held_bytes(self) -> int:
        return self._body.encoded_bytes

    def add(self, event: Event, dialect: str) -> bool:
        record = encode_within(event, self._encode, dialect, self._limit)
        if record is None:
            return False
        self._body.add(record + b"\n")
        self.records += 1
        return True

    def finish(self) -> bytes:
        return self._body.finish()


class _ParquetBody:
    def __init__(self, encoding: Encoding) -> None:
        self._is_full = encoding.content == "full"
        self._body = ParquetEncoder()
        self.records = 0

    @property
    def held_bytes(self) -> int:
        return self._body.held_bytes

    def add(self, event: Event, _dialect: str) -> bool:
        self._body.add(event if self._is_full else msgspec.structs.replace(event, **_NO_CONTENT))
        self.records += 1
        return True

    def finish(self) -> bytes:
        return self._body.finish()


class EncodedEvents:
    """Encoded events: for a store one object per day and dialect, otherwise one body."""

    def __init__(self, encoding: Encoding, at: int) -> None:
        self._encoding = encoding
        self._clock = BatchClock(at)
        self._root = lake_root(encoding.format)
        self._bodies: dict[str, EventBody] = {}
        self.records = 0
        self.size_bytes = 0

    @property
    def held_bytes(self) -> int:
        return sum(body.held_bytes for body in self._bodies.values())

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        too_large: list[int] = []
        for dialect, shared in events:
            event = self._clock.date(shared)
            if self._body(dialect, event).add(event, dialect):
                self.records += 1
            else:
                too_large.append(line_offset(event))
        self.size_bytes += len(clean.data)
        return tuple(dict.fromkeys(too_large))

    def payloads(self, make: MakePayload) -> tuple[Payload, ...]:
        return tuple(
            make(partition, body.finish(), body.records)
            for partition, body in sorted(self._bodies.items())
            if body.records
        )

    def single_records(self) -> tuple[Record, ...]:
        return ()

    def _body(self, dialect: str, event: Event) -> EventBody:
        encoding = self._encoding
        partition = (
            f"{self._root}/dt={(event.event_time or '')[:10]}/dialect={dialect}"
            if encoding.is_store
            else ""
        )
        body = self._bodies.get(partition)
        if body is None:
            if encoding.format == "parquet":
                body = _ParquetBody(encoding)
            else:
                encode = encoder_for(
                    encoding.format, encoding.content, partitioned=encoding.is_store
                )
                body = _JsonBody(encode, encoding)
            self._bodies[partition] = body
        return body


class SingleRecords:
    """Records one by one.

    With format `raw` a record is the line as it stands, under the id of its first event.
    """

    def __init__(self, encoding: Encoding, at: int) -> None:
        self._limit = encoding.record_limit_bytes
        self._clock = BatchClock(at)
        self._encode = (
            None if encoding.format == "raw" else encoder_for(encoding.format, encoding.content)
        )
        self._records: list[Record] = []
        self.size_bytes = 0

    @property
    def records(self) -> int:
        return len(self._records)

    @property
    def held_bytes(self) -> int:
        return self.size_bytes + RECORD_OVERHEAD_BYTES * len(self._records)

    def add(self, clean: CleanChunk, events: Sequence[DialectEvent]) -> tuple[int, ...]:
        too_large: list[int] = []
        for body, dialect, event in self.encode(clean, events):
            if body is None:
                too_large.append(line_offset(event))
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
                    severity_of(event),
                )
            )
        return tuple(dict.fromkeys(too_large))

    def payloads(self, _make: MakePayload) -> tuple[Payload, ...]:
        return ()

    def single_records(self) -> tuple[Record, ...]:
        return tuple(self._records)

    def encode(
        self, clean: CleanChunk, events: Sequence[DialectEvent]
    ) -> Iterator[tuple[bytes | None, str, Event]]:
        """Yield each record of a chunk with its dialect and event; None if it is over the limit."""
        limit = self._limit
        if self._encode is not None:
            for dialect, shared in events:
                event = self._clock.date(shared)
                yield encode_within(event, self._encode, dialect, limit), dialect, event
            return
        first: dict[int, DialectEvent] = {}
        for each in events:
            first.setdefault(line_offset(each.event), each)
        for line, (dialect, shared) in zip(clean.data.split(b"\n"), first.values(), strict=False):
            yield (
                (None if limit and len(line) > limit else line),
                dialect,
                self._clock.date(shared),
            )


def record_offsets(
    encoding: Encoding, at: int, clean: CleanChunk, events: Sequence[DialectEvent]
) -> list[int]:
    """Return where the line of each record of a chunk begins, in the order of the records.

    `at` is the batch's time. Records over the limit are in no batch, so they are left out here.
    """
    return [
        line_offset(event)
        for body, _, event in SingleRecords(encoding, at).encode(clean, events)
        if body is not None
    ]


def line_offset(event: Event) -> int:
    """Return where the event's line begins in its segment, -1 if that is unknown."""
    return -1 if event.source_offset is None else event.source_offset
