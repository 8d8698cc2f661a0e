"""A batch of records as requests within a destination's limits, each of them sent until it is
stored and not again after.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracesidecar.errors import Rejected
from tracesidecar.model import Batch, Record
from tracesidecar.sinks.options import BatchLimits
from tracesidecar.units import Seconds, Size

Encode = Callable[[Record], bytes]


class Limits(NamedTuple):
    """The most that one request has: records, and bytes of its elements with a separator each,
    before compression.
    """

    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """What goes together: records, their indexes in the batch (without a gap), and each of them as
    it is encoded in a body.
    """

    indexes: Sequence[int]
    records: Sequence[Record]
    elements: Sequence[bytes] = field(repr=False)

    def rejection(self, error: Rejected) -> Rejected:
        """Tell of the batch what was said of this request; the other requests of the batch are not
        judged.
        """
        if error.records is None:
            if len(self.indexes) > 1:
                return Rejected(
                    error.reason, error.detail, within=(self.indexes[0], self.indexes[-1])
                )
            return Rejected(error.reason, error.detail, records=tuple(self.indexes))
        return Rejected(
            error.reason,
            error.detail,
            records=tuple(self.indexes[index] for index in error.records),
            rejected_count=error.rejected_count,
        )


class Requests:
    """Cuts batches into requests.

    What has been stored of a batch is remembered until another batch comes: when the batch is sent
    again, whole or in parts, only the rest of it is.
    """

    def __init__(self, limits: Limits, encode: Encode) -> None:
        """`encode` makes the element that a record is in a body."""
        self._limits = limits
        self._encode = encode
        self._batch_id = ""
        self._stored: set[int] = set()

    async def send(self, batch: Batch, post: Callable[[Request], Awaitable[None]]) -> None:
        """Post what is not stored yet, request by request; `post` returns when its records are
        stored, and what it raises ends it.
        """
        async for request in self.of(batch):
            try:
                await post(request)
            except Rejected as error:
                raise request.rejection(error) from error
            self.remember(batch, request)

    async def of(self, batch: Batch) -> AsyncIterator[Request]:
        """Cut what is not stored yet into requests, each made when it is asked for."""
        batch_id, first = _origin(batch.id)
        if batch_id != self._batch_id:
            self._batch_id = batch_id
            self._stored.clear()
        requests = self._cut(
            batch,
            [index for index in range(len(batch.records)) if first + index not in self._stored],
        )
        while (request := await asyncio.to_thread(next, requests, None)) is not None:
            yield request

    def remember(self, batch: Batch, request: Request) -> None:
        """Note that the request is stored."""
        first = _origin(batch.id)[1]
        self._stored.update(first + index for index in request.indexes)

    def _cut(self, batch: Batch, indexes: Sequence[int]) -> Iterator[Request]:
        chosen: list[int] = []
        elements: list[bytes] = []
        size_bytes = 0
        for index in indexes:
            element = self._encode(batch.records[index])
            is_over = (
                size_bytes + len(element) + 1 > self._limits.size_bytes
                or len(chosen) == self._limits.records
            )
            if chosen and (is_over or index != chosen[-1] + 1):
                yield Request(chosen, [batch.records[index] for index in chosen], elements)
                chosen, elements, size_bytes = [], [], 0
            chosen.append(index)
            elements.append(element)
            size_bytes += len(element) + 1
        if chosen:
            yield Request(chosen, [batch.records[index] for index in chosen], elements)


def idempotency_key(batch: Batch, request: Request) -> str:
    """Name the request: the batch's own id where it has all of it, else also the first and last of
    its records there.
    """
    if len(request.indexes) == len(batch.records):
        return batch.id
    batch_id, first = _origin(batch.id)
    return f"{batch_id}.{first + request.indexes[0]}-{first + request.indexes[-1]}"


def identification(record: Record) -> dict[str, str]:
    """What to find a record by, for destinations that keep fields beside it."""
    named = {
        "event_id": record.id,
        "conversation_id": record.conversation,
        "event_kind": record.kind,
        "severity": record.severity,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
    }
    return {name: value for name, value in named.items() if value}


def record_batches() -> BatchLimits:
    """Say when a batch of single records is closed: sooner than one for a store, so that people see
    them sooner.
    """
    return BatchLimits(
        bytes=Size.parse("4MiB"), lines=10_000, age=Seconds.parse("5s"), idle=Seconds.parse("1s")
    )


def _origin(batch_id: str) -> tuple[str, int]:
    """Which batch a part belongs to, and the index of its first record there: the id of a part ends
    in `.<first>-<last>`.
    """
    whole, _, span = batch_id.partition(".")
    return whole, int(span.partition("-")[0] or 0)
