"""Bring one batch to one sink: retry without end, honour Retry-After, bisect what is refused."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tracesidecar.deliver.bisect import part, records
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks import Sink

T = TypeVar("T")

UNANIMOUS = 100
"""So many records refused one by one and none taken: that is a wrong endpoint or format, not so
many poisoned lines.
"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter, in seconds; `failures_to_open` in a row open the
    circuit.
    """

    first_seconds: float = 0.5
    limit_seconds: float = 60.0
    failures_to_open: int = 5

    def pause(self, failures: int, after_seconds: float | None) -> float:
        """How long to wait after so many failures in a row; never sooner than the destination asked
        for.
        """
        ceiling = min(self.limit_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return max(after_seconds or 0.0, random.uniform(ceiling / 2, ceiling))


class DeliveryEvents(Protocol):
    """What is told about a delivery while it goes on."""

    def attempted(self, seconds: float, outcome: str) -> None:
        """One `send` ended: `ok`, `retry` or `rejected`."""
        ...

    def retrying(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        """The same batch is sent again after the pause."""
        ...

    def circuit(self, *, is_open: bool) -> None:
        """The destination is taken for down, or for up again."""
        ...


@dataclass(slots=True)
class Circuit:
    """How a destination has answered lately. While open, one batch at a time is the probe."""

    failures: int = 0
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that the destination will never take: its index in the batch, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One sink with everything that stands around it.

    `tried` is set once the destination has answered, well or badly, or not in time.
    """

    sink: Sink
    events: DeliveryEvents
    retry: RetryPolicy = RetryPolicy()
    circuit: Circuit = field(default_factory=Circuit)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> None:
        """Enter the sink, however long it is away."""
        await self._until_settled(self.sink.__aenter__)

    async def send(self, batch: Batch) -> tuple[RejectedRecord, ...]:
        """Return when every record is durable at the destination or refused by it; the refused are
        returned. Raises SinkStopped.
        """
        while True:
            try:
                await self._until_settled(lambda: self.sink.send(batch))
            except Rejected as error:
                try:
                    return await self._bisect(batch, error)
                except RetryLater as unanimous:
                    await self._wait(unanimous)
            else:
                return ()

    async def ask(self, question: Callable[[str], Awaitable[T]], name: str) -> T:
        """Ask the sink about an object, however long it is away."""
        return await self._until_settled(lambda: question(name))

    async def _until_settled(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            started = time.monotonic()
            try:
                answer = await attempt()
            except RetryLater as error:
                self.events.attempted(time.monotonic() - started, "retry")
                await self._wait(error)
            except Rejected:
                self.events.attempted(time.monotonic() - started, "rejected")
                self._close()
                raise
            else:
                self.events.attempted(time.monotonic() - started, "ok")
                self._close()
                return answer
            finally:
                self.tried.set()

    async def _wait(self, error: RetryLater) -> None:
        circuit = self.circuit
        circuit.failures += 1
        if circuit.failures >= self.retry.failures_to_open and not circuit.is_open:
            circuit.is_open = True
            self.events.circuit(is_open=True)
        pause = self.retry.pause(circuit.failures, error.after_seconds)
        self.events.retrying(error, pause, circuit.failures)
        await self.sleep(pause)

    def _close(self) -> None:
        self.circuit.failures = 0
        if self.circuit.is_open:
            self.circuit.is_open = False
            self.events.circuit(is_open=False)

    async def _bisect(self, batch: Batch, error: Rejected) -> tuple[RejectedRecord, ...]:
        if batch.lines == 1:
            return (RejectedRecord(0, error.reason),)
        lines = await asyncio.to_thread(records, batch)
        refused: list[RejectedRecord] = []
        taken = _took_some(error, batch.lines)
        spans = _split(0, batch.lines - 1, error, refused)
        if error.records is not None and not taken and not spans:
            _doubt_unanimity(refused)
        while spans:
            first, last = spans.pop()
            piece = await asyncio.to_thread(part, batch, lines, first, last)
            try:
                await self._until_settled(lambda piece=piece: self.sink.send(piece))  # type: ignore[misc]
                taken = True
            except Rejected as rejected:
                taken = taken or _took_some(rejected, piece.lines)
                if first == last:
                    refused.append(RejectedRecord(first, rejected.reason))
                else:
                    spans += _split(first, last, rejected, refused)
            if not taken:
                _doubt_unanimity(refused)
        return tuple(sorted(refused, key=lambda record: record.index))


def _took_some(error: Rejected, lines: int) -> bool:
    """Whether the destination has taken something of what it also refused."""
    named = len(error.records or ())
    return (error.stored and named < lines) or (
        error.rejected_count is not None and error.rejected_count < named
    )


def _doubt_unanimity(refused: Sequence[RejectedRecord]) -> None:
    if len(refused) >= UNANIMOUS:
        raise RetryLater(
            "all_refused",
            f"{len(refused)} records were refused, none taken: check endpoint and format",
        )


def _split(
    first: int, last: int, error: Rejected, refused: list[RejectedRecord]
) -> list[tuple[int, int]]:
    """What to send next of the span [first, last], last part first: halves of where the refused
    are, or the runs between those named, if they are not there.
    """
    if error.records is None:
        lower, upper = error.within or (0, last - first)
        middle = first + (lower + upper) // 2
        pieces = [
            (first, first + lower - 1),
            (first + lower, middle),
            (middle + 1, first + upper),
            (first + upper + 1, last),
        ]
        return [(start, end) for start, end in pieces if start <= end][::-1]
    spans, start = [], first
    for index in sorted(first + record for record in error.records):
        refused.append(RejectedRecord(index, error.reason))
        if index > start and not error.stored:
            spans.append((start, index - 1))
        start = index + 1
    if start <= last and not error.stored:
        spans.append((start, last))
    return spans[::-1]
