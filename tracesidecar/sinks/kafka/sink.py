"""The Kafka sink.

It sends a message for each record, keyed by its conversation. All replicas that are in sync
acknowledge it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.kafka.errors import REJECTIONS
from tracesidecar.sinks.kafka.options import OVERHEAD_BYTES, Options
from tracesidecar.sinks.kafka.transaction_marker import TransactionMarker
from tracesidecar.sinks.sink import Promise, Receipt, SinkType
from tracesidecar.sinks.transport import ClientThread

if TYPE_CHECKING:
    from tracesidecar.sinks.kafka.client import KafkaClient

T = TypeVar("T")


def build(options: Options) -> KafkaSink:
    """Make the sink; the client is imported and started on entry."""
    return KafkaSink(options)


def destination(options: Options) -> str:
    """Name the topic; the list of brokers by which the cluster is found may change."""
    return f"kafka:{options.brokers[0]}/{options.topic}"


def promise(options: Options) -> Promise:
    """Return the promise: only transactions detect repeats by another producer."""
    return "exactly once" if options.transactional_id else "at least once"


def keeps_records(options: Options) -> bool:
    """Return whether the brokers can be asked what they have: only transactions have a marker."""
    return bool(options.transactional_id)


def record_limit(options: Options) -> int:
    """Return what brokers accept as a message, without its key and headers."""
    return int(options.message_limit) - OVERHEAD_BYTES


class KafkaSink:
    """Delivers at least once; exactly once with transactions.

    A producer repeats what brokers did not acknowledge, and brokers detect its repeats. After a
    failure it is discarded, because it would go on to send in the background; messages in doubt
    are sent again by the next producer, whose repeats brokers cannot detect. With transactions the
    marker of the last one is read first, and says whether the batch was committed.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._is_abandoned = threading.Event()
        self._thread: ClientThread | None = None
        self._deliveries = _Deliveries(options, self._is_abandoned)

    async def __aenter__(self) -> Self:
        self._thread = ClientThread("kafka")
        try:
            await self._run(self._deliveries.connect)
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
        if self._thread is not None:
            await self._thread.run(self._deliveries.discard)
            self._thread.stop()
            self._thread = None

    async def send(self, batch: Batch) -> None:
        """Send every record; return when the brokers have stored each of them."""
        rejected = await self._run(partial(self._deliveries.deliver, batch))
        if rejected:
            names = ", ".join(sorted(set(rejected.values())))
            raise Rejected(
                min(REJECTIONS[name] for name in rejected.values()),
                f"{self._options.where} rejected {len(rejected)} messages ({names}); "
                "the others are stored",
                records=tuple(sorted(rejected)),
                stored=True,
            )

    async def find_stored(self, batch_id: str, ids: Sequence[str], /) -> Receipt | None:
        """Read the marker of the last transaction: it was this batch, or nothing of it is there.

        Without transactions nobody can tell; nor if the last transaction was a part of the batch.
        """
        if not self._options.transactional_id:
            return None
        marker = await self._run(self._deliveries.read_marker)
        if marker.batch_id.startswith(f"{batch_id}."):
            return None
        if marker.batch_id != batch_id:
            return Receipt(frozenset())
        rejected = {index: REJECTIONS[name] for index, name in marker.rejected.items()}
        return Receipt(frozenset(range(len(ids))) - rejected.keys(), rejected)

    async def _run(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            raise RuntimeError("the sink is used outside of its async with")
        try:
            return await self._thread.run(partial(self._attempt, call))
        except asyncio.CancelledError:
            self._is_abandoned.set()
            raise

    def _attempt(self, call: Callable[[], T]) -> T:
        self._is_abandoned.clear()
        try:
            return call()
        except RetryLater:
            self._deliveries.discard()
            raise


class _Deliveries:
    """What lives in the sink's thread: the client, and what it has delivered of the last batch."""

    def __init__(self, options: Options, is_abandoned: threading.Event) -> None:
        self._options = options
        self._is_abandoned = is_abandoned
        self._client: KafkaClient | None = None
        self._batch_id = ""
        self._stored: set[int] = set()
        self._marker = TransactionMarker("", {})

    def connect(self, *, one_by_one: bool = False) -> KafkaClient:
        """Return the client, and start it first if there is none.

        `one_by_one` replaces it with one that sends each message in a request of its own.
        """
        from tracesidecar.sinks.kafka.client import KafkaClient

        if one_by_one:
            self.discard()
        if self._client is None:
            self._client = KafkaClient(self._options, self._is_abandoned, one_by_one=one_by_one)
            self._client.connect()
            if self._options.transactional_id:
                self._marker = TransactionMarker.parse(self._client.read_marker())
        return self._client

    def read_marker(self) -> TransactionMarker:
        """Return the marker of the last transaction, once none is open any more."""
        self.connect()
        return self._marker

    def discard(self) -> None:
        """Discard the client with everything that it has not sent."""
        if self._client is not None:
            self._client.discard()
            self._client = None

    def deliver(self, batch: Batch) -> dict[int, str]:
        """Return the rejected records with the names of their errors; the others are stored."""
        if self._options.transactional_id:
            return self._transact(batch)
        return self._produce(batch)

    def _produce(self, batch: Batch) -> dict[int, str]:
        """Send what is not stored yet; send rejected messages again one by one.

        Brokers reject a whole request for one message that is too large.
        """
        if batch.id != self._batch_id:
            self._batch_id, self._stored = batch.id, set()
        waiting = [index for index in range(len(batch.records)) if index not in self._stored]
        suspects = self.connect().deliver(batch, waiting, self._stored.add)
        if not suspects:
            return {}
        rejected = self.connect(one_by_one=True).deliver(batch, suspects, self._stored.add)
        self.discard()
        return rejected

    def _transact(self, batch: Batch) -> dict[int, str]:
        """Commit the batch in one transaction, without rejected records, which its marker names.

        A transaction with a rejected message is aborted as a whole and made again without it, by
        another client: the one that aborted it would wait in vain for its next messages.
        """
        client = self.connect()
        if self._marker.batch_id == batch.id:
            return dict(self._marker.rejected)
        rejected: dict[int, str] = {}
        while found := client.transact(
            batch,
            [index for index in range(len(batch.records)) if index not in rejected],
            TransactionMarker(batch.id, rejected).serialize(),
        ):
            if client.is_one_by_one:
                rejected |= found
            client = self.connect(one_by_one=True)
        self._marker = TransactionMarker(batch.id, rejected)
        if client.is_one_by_one:
            self.discard()
        return rejected


SINK_TYPE = SinkType(
    name="kafka",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="records",
    promise="at least once",
    promise_of=promise,
    record_limit_of=record_limit,
    keeps_records=keeps_records,
    extra="kafka",
    needs="confluent_kafka",
)
