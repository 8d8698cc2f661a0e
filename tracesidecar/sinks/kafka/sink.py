"""The Kafka sink: a message for each record, keyed by its conversation, each of them acknowledged
by all replicas that are in sync.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.kafka.errors import REFUSALS
from tracesidecar.sinks.kafka.options import OVERHEAD_BYTES, Options
from tracesidecar.sinks.kafka.transaction_marker import Note
from tracesidecar.sinks.sink import Promise, SinkType
from tracesidecar.sinks.transport.thread import Worker

if TYPE_CHECKING:
    from tracesidecar.sinks.kafka.producer import MessageProducer

__all__ = ["SINK_TYPE", "Options", "build"]

T = TypeVar("T")


def build(options: Options) -> KafkaSink:
    """Make the sink; the client is imported and started on entry."""
    return KafkaSink(options)


def destination(options: Options) -> str:
    """Name the topic; which brokers are asked for it may change."""
    return f"kafka:{options.brokers[0]}/{options.topic}"


def promise(options: Options) -> Promise:
    """Only a transaction outlives its producer."""
    return "exactly once" if options.transactional_id else "at least once"


def record_limit(options: Options) -> int:
    """What brokers take of a message, without what stands beside the record."""
    return int(options.message_limit) - OVERHEAD_BYTES


class KafkaSink:
    """Delivers at least once, exactly once with transactions.

    A producer repeats what brokers did not acknowledge and they tell the repeats. After a failure
    it is discarded, because it would go on sending behind our back; what was in doubt then is sent
    by the next one. With transactions the id of the last batch is read back first.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._given_up = threading.Event()
        self._worker: Worker | None = None
        self._producer: MessageProducer | None = None
        self._batch_id = ""
        self._delivered: set[int] = set()
        self._note = Note("", {})

    async def __aenter__(self) -> Self:
        self._worker = Worker("kafka")
        try:
            await self._run(self._connected)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            await self._worker.run(self._discard)
            self._worker.stop()
            self._worker = None

    async def send(self, batch: Batch) -> None:
        """Send every record, and return when each is reported on."""
        refused = await self._run(
            partial(self._transact if self._options.transactional_id else self._deliver, batch)
        )
        if refused:
            reason = min(REFUSALS[name] for name in refused.values())
            said = f"{self._options.where} refused {len(refused)} messages ({', '.join(sorted(set(refused.values())))}); the others are stored"
            raise Rejected(reason, said, records=tuple(sorted(refused)), stored=True)

    async def _run(self, step: Callable[[], T]) -> T:
        if self._worker is None:
            raise RuntimeError("the sink is used outside of its async with")
        try:
            return await self._worker.run(partial(self._attempt, step))
        except asyncio.CancelledError:
            self._given_up.set()
            raise

    def _attempt(self, step: Callable[[], T]) -> T:
        self._given_up.clear()
        try:
            return step()
        except RetryLater:
            self._discard()
            raise

    def _connected(self, *, lone: bool = False) -> MessageProducer:
        from tracesidecar.sinks.kafka.producer import MessageProducer

        if lone:
            self._discard()
        if self._producer is None:
            self._producer = MessageProducer(self._options, self._given_up, lone=lone)
            self._producer.connect()
            if self._options.transactional_id:
                self._note = Note.read(self._producer.last_note())
        return self._producer

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _deliver(self, batch: Batch) -> dict[int, str]:
        """A request that is too large condemns all its messages: those are sent again one by one."""
        if batch.id != self._batch_id:
            self._batch_id, self._delivered = batch.id, set()
        waiting = [index for index in range(len(batch.records)) if index not in self._delivered]
        suspects = self._connected().deliver(batch, waiting, self._delivered.add)
        if suspects:
            suspects = self._connected(lone=True).deliver(batch, suspects, self._delivered.add)
            self._discard()
        return suspects

    def _transact(self, batch: Batch) -> dict[int, str]:
        """Nothing of a transaction with a refused message is there: it is made again without, and
        the note says which were left out.
        """
        producer = self._connected()
        if self._note.batch_id == batch.id:
            return dict(self._note.refused)
        refused: dict[int, str] = {}
        while found := producer.transact(
            batch,
            [i for i in range(len(batch.records)) if i not in refused],
            Note(batch.id, refused).text(),
        ):
            if producer.is_lone:
                refused |= found
            else:
                producer = self._connected(lone=True)
        self._note = Note(batch.id, refused)
        if producer.is_lone:
            self._discard()
        return refused


SINK_TYPE = SinkType(
    name="kafka",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    promise_of=promise,
    record_limit_of=record_limit,
    extra="kafka",
    needs="confluent_kafka",
)
