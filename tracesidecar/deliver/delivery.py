"""Bring one batch to one sink: retry without end, honour Retry-After, bisect what is rejected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from tracesidecar.deliver.bisect import Bisection, RejectedRecord, part, split_lines
from tracesidecar.deliver.retry import Circuit, RetryPolicy
from tracesidecar.errors import Rejected, RetryLater, TraceSidecarError
from tracesidecar.masking import Mask
from tracesidecar.model import Batch
from tracesidecar.sanitize import RejectionReason
from tracesidecar.sinks import ConflictKeeper, Sink

T = TypeVar("T")

DENIED = "denied"
"""The reason of a RetryLater to credentials without a right: those that may only write."""


class DeliveryEvents(Protocol):
    """Record what happens during a delivery. Called on the event loop; may not block or raise."""

    @property
    def retries(self) -> int:
        """How often a batch was sent again."""
        ...

    @property
    def trouble(self) -> str:
        """Why the last attempt failed; empty while all is well."""
        ...

    def record_attempt(self, seconds: float, outcome: str) -> None:
        """Record the end of an attempt, with the outcome `ok`, `retry` or `rejected`.

        `ok` is only for what was sent.
        """
        ...

    def record_answer(self) -> None:
        """Record that the destination is there: it let us in, or answered a question."""
        ...

    def record_retry(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        """Record that the same batch is sent again after the pause."""
        ...

    def record_circuit(self, *, is_open: bool) -> None:
        """Record that the destination is considered down, or up again."""
        ...

    def record_failing(self, error: Exception, records: int) -> None:
        """Record that the sink fails on some records of a batch, which are rejected."""
        ...

    def record_conflicts(self, counts: Mapping[str, int]) -> None:
        """Record how many records of a batch are stored under derived ids, by path of the file."""
        ...


class _Failure(Rejected):
    """An error that no sink should raise, on a batch or a part of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(RejectionReason.NOT_ENCODABLE.value)
        self.error = error


@dataclass(slots=True)
class Attempts:
    """Whether an attempt is under way and since when, and when one last delivered something.

    Times are by the monotonic clock. `failed` is the id of the last batch that failed as none
    should.
    """

    are_under_way: bool = False
    began_at: float = 0.0
    succeeded_at: float = float("-inf")
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One sink with its retries; for the event loop.

    `tried` is set once an attempt has ended, whatever the outcome. `mask` is for what the sink logs
    and for the errors that it raises.
    """

    sink: Sink
    events: DeliveryEvents
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    circuit: Circuit = field(default_factory=Circuit)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: Attempts = field(default_factory=Attempts)
    mask: Mask = field(default_factory=lambda: Mask(()))

    async def connect(self) -> None:
        """Enter the sink, however long it is down."""
        await self._retry_until_answered(self.sink.__aenter__)

    async def disconnect(self) -> None:
        """Leave the sink."""
        with self.mask.in_force():
            await self.sink.__aexit__(None, None, None)

    async def send(self, batch: Batch) -> tuple[RejectedRecord, ...]:
        """Return when every record is durable at the destination or rejected by it.

        The rejected records are returned. Raise SinkStopped.
        """
        try:
            return await self._send(batch)
        finally:
            if isinstance(self.sink, ConflictKeeper) and (found := self.sink.take_conflicts()):
                self.events.record_conflicts(found)

    async def ask(self, question: Callable[[str], Awaitable[T]], name: str) -> T | None:
        """Ask the sink what it has under a name, however long it is down.

        None if the credentials may not ask: the destination said so twice, and the second time the
        credentials had been read again.
        """
        denials = 0

        async def attempt() -> T | None:
            nonlocal denials
            try:
                return await question(name)
            except RetryLater as error:
                if error.reason != DENIED:
                    raise
                denials += 1
                if denials == 1:
                    raise
                return None

        return await self._retry_until_answered(attempt)

    async def _send(self, batch: Batch) -> tuple[RejectedRecord, ...]:
        while True:
            try:
                await self._retry_until_answered(lambda: self._attempt(batch), is_send=True)
                self.attempts.succeeded_at = time.monotonic()
            except _Failure as failure:
                return await self._find_failing(batch, failure)
            except Rejected as error:
                try:
                    return await self._bisect(batch, error)
                except RetryLater as unanimous:
                    await self._wait(unanimous)
            else:
                return ()

    async def _attempt(self, batch: Batch) -> None:
        """Send a batch. Raise _Failure if it fails as no sink should, and is to be bisected then.

        That is if it has failed so before: the sink was begun anew since then. Objects of a store
        are bytes to it, so what fails there is the sink.
        """
        try:
            await self.sink.send(batch)
        except (TraceSidecarError, OSError, MemoryError):
            raise
        except Exception as error:
            whole = batch.id.partition(".")[0]
            is_again, self.attempts.failed = self.attempts.failed == whole, whole
            if is_again and batch.manifest is None:
                raise _Failure(error) from error
            raise

    async def _find_failing(self, batch: Batch, failure: _Failure) -> tuple[RejectedRecord, ...]:
        """Send the parts of a batch, and return the records on which the sink fails.

        If it fails on all, and nothing says that it works at all, raise the failure: it is hardly
        one of the records.
        """
        has_worked = self.attempts.succeeded_at > float("-inf")
        try:
            failing = await self._bisect(batch, failure)
        except RetryLater:  # so many fail, and nothing was stored
            raise failure.error from failure
        if len(failing) == batch.lines and not has_worked:
            raise failure.error from failure
        self.events.record_failing(failure.error, len(failing))
        return failing

    async def _retry_until_answered(
        self, attempt: Callable[[], Awaitable[T]], *, is_send: bool = False
    ) -> T:
        while True:
            started = time.monotonic()
            self.attempts.are_under_way, self.attempts.began_at = True, started
            try:
                with self.mask.in_force():
                    answer = await attempt()
            except RetryLater as error:
                self.events.record_attempt(time.monotonic() - started, "retry")
                await self._wait(error)
            except Rejected:
                self.events.record_attempt(time.monotonic() - started, "rejected")
                self._close_circuit()
                raise
            else:
                if is_send:
                    self.events.record_attempt(time.monotonic() - started, "ok")
                else:
                    self.events.record_answer()
                self._close_circuit()
                return answer
            finally:
                self.attempts.are_under_way = False
                self.tried.set()

    async def _wait(self, error: RetryLater) -> None:
        if self.circuit.fail(self.retry):
            self.events.record_circuit(is_open=True)
        failures = self.circuit.failures
        pause = self.retry.pause(failures, error.after_seconds)
        self.events.record_retry(error, pause, failures)
        await self.sleep(pause)

    def _close_circuit(self) -> None:
        if self.circuit.close():
            self.events.record_circuit(is_open=False)

    async def _bisect(self, batch: Batch, error: Rejected) -> tuple[RejectedRecord, ...]:
        if batch.lines == 1:
            return (RejectedRecord(0, error.reason),)
        lines = await asyncio.to_thread(split_lines, batch)
        bisection = Bisection(batch, error)
        while (span := bisection.next_span()) is not None:
            sub_batch = await asyncio.to_thread(part, batch, lines, *span)
            try:
                await self._retry_until_answered(partial(self._attempt, sub_batch), is_send=True)
            except Rejected as rejected:
                bisection.reject(*span, rejected)
            else:
                bisection.accept()
                self.attempts.succeeded_at = time.monotonic()
        return tuple(sorted(bisection.rejected, key=lambda record: record.index))
