"""Split a batch of records into requests within a destination's limits.

The splitter remembers which of them are stored, so that nothing stored is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Record
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.units import Seconds, Size

_STEPS = 64
"""In so many steps requests become as large again as the limits allow."""

EncodeRecord = Callable[[Record], bytes]
"""Returns the element that a record becomes in a request's body."""


class RequestLimits(NamedTuple):
    """The most that one request may hold.

    `size_bytes` counts its elements, each with one separator, before compression.
    """

    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """The records of one request.

    Their indexes in the batch, which are consecutive, the records themselves, and the element
    that each becomes in the body.
    """

    indexes: Sequence[int]
    records: Sequence[Record]
    elements: Sequence[bytes] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Return how much the elements take, each with one separator, before compression."""
        return sum(map(len, self.elements)) + len(self.elements)

    def rejection_in_batch(self, error: Rejected) -> Rejected:
        """Translate a rejection of this request into one of its batch.

        It names the rejected records of the batch, or the span that holds them. It says nothing
        about the batch's other requests.
        """
        if error.records is None:
            if len(self.indexes) > 1:
                return Rejected(
                    error.reason,
                    error.detail,
                    within=(self.indexes[0], self.indexes[-1]),
                    rejected_count=error.rejected_count,
                )
            return Rejected(error.reason, error.detail, records=tuple(self.indexes))
        return Rejected(
            error.reason,
            error.detail,
            records=tuple(self.indexes[index] for index in error.records),
            rejected_count=error.rejected_count,
            is_certain=error.is_certain,
        )


class RequestSplitter:
    """Splits batches into requests, leaving out what is already stored.

    What is stored is remembered until another batch arrives. When a batch is sent again, as a
    whole or as a part of a bisection, only the rest of it is sent.

    A limiter of rates may let no request through that is larger than the burst it allows, however
    long we wait. So after each request that is throttled the next ones are half as large, and
    somewhat larger after each that is not, up to the limits.
    """

    def __init__(self, limits: RequestLimits, encode: EncodeRecord) -> None:
        self._limits = limits
        self._most_bytes = limits.size_bytes
        self._encode = encode
        self._batch_id = ""
        self._stored: set[int] = set()

    async def send(self, batch: Batch, post: Callable[[RecordRequest], Awaitable[None]]) -> None:
        """Post what is not stored yet, request by request.

        `post` returns when its records are stored; the first error that it raises ends the batch.
        """
        async for request in self.split(batch):
            try:
                await post(request)
            except Rejected as error:
                if error.stored:
                    self._mark_all_but(batch, request, error.records or ())
                raise request.rejection_in_batch(error) from error
            except RetryLater as error:
                if error.reason == "throttled":
                    self._most_bytes = max(1, request.size_bytes // 2)
                raise
            regained = self._most_bytes + self._limits.size_bytes // _STEPS
            self._most_bytes = min(regained, self._limits.size_bytes)
            self.mark_stored(batch, request)

    async def split(self, batch: Batch) -> AsyncIterator[RecordRequest]:
        """Yield requests for what is not stored yet, each built (in a thread) when it is needed."""
        batch_id, first = _origin(batch.id)
        if batch_id != self._batch_id:
            self._batch_id = batch_id
            self._stored.clear()
        requests = self._build(
            batch,
            [index for index in range(len(batch.records)) if first + index not in self._stored],
        )
        while (request := await asyncio.to_thread(next, requests, None)) is not None:
            yield request

    def mark_stored(self, batch: Batch, request: RecordRequest) -> None:
        """Remember that the request's records are stored."""
        first = _origin(batch.id)[1]
        self._stored.update(first + index for index in request.indexes)

    def _mark_all_but(
        self, batch: Batch, request: RecordRequest, rejected: Collection[int]
    ) -> None:
        first = _origin(batch.id)[1]
        left_out = frozenset(rejected)
        self._stored.update(
            first + index
            for position, index in enumerate(request.indexes)
            if position not in left_out
        )

    def _build(self, batch: Batch, indexes: Sequence[int]) -> Iterator[RecordRequest]:
        chosen: list[int] = []
        elements: list[bytes] = []
        size_bytes = 0
        for index in indexes:
            element = self._encode(batch.records[index])
            is_full = (
                size_bytes + len(element) + 1 > self._most_bytes
                or len(chosen) == self._limits.records
            )
            if chosen and (is_full or index != chosen[-1] + 1):
                yield RecordRequest(chosen, [batch.records[index] for index in chosen], elements)
                chosen, elements, size_bytes = [], [], 0
            chosen.append(index)
            elements.append(element)
            size_bytes += len(element) + 1
        if chosen:
            yield RecordRequest(chosen, [batch.records[index] for index in chosen], elements)


def idempotency_key(batch: Batch, request: RecordRequest) -> str:
    """Return the request's Idempotency-Key.

    It is the batch's id, plus the record range if the request covers only part of the batch.
    """
    if len(request.indexes) == len(batch.records):
        return batch.id
    batch_id, first = _origin(batch.id)
    return f"{batch_id}.{first + request.indexes[0]}-{first + request.indexes[-1]}"


def identification(record: Record) -> dict[str, str]:
    """Return the fields by which people find a record, without the empty ones.

    Some destinations keep such fields next to the record.
    """
    fields = {
        "event_id": record.id,
        "conversation_id": record.conversation,
        "event_kind": record.kind,
        "severity": record.severity,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
    }
    return {name: value for name, value in fields.items() if value}


def record_batches() -> BatchLimits:
    """Return the default batch limits of sinks that send records.

    Batches are closed sooner than for a store, so that people see new records sooner.
    """
    return BatchLimits(
        bytes=Size.parse("4MiB"), lines=10_000, age=Seconds.parse("5s"), idle=Seconds.parse("1s")
    )


def _origin(batch_id: str) -> tuple[str, int]:
    """Return the id of the whole batch, and the index in it of this batch's first record.

    Bisection sends parts of a batch, whose ids end in `.<first>-<last>`.
    """
    whole, _, span = batch_id.partition(".")
    return whole, int(span.partition("-")[0] or 0)
