"""A client of librdkafka: it sends messages, and reports on each of them.

Everything here blocks, and belongs to one thread. The only module that imports confluent_kafka.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tracesidecar.errors import RetryLater
from tracesidecar.model import Batch, Record
from tracesidecar.sinks.kafka.errors import FATAL, PURGED, REJECTIONS, retry_later
from tracesidecar.sinks.kafka.options import Options
from tracesidecar.sinks.kafka.settings import connection_settings, producer_settings

T = TypeVar("T")

_POLL_SECONDS = 0.1
_METADATA_SECONDS = 0.5
_FOLLOWING_ERROR_SECONDS = 0.02
"""If one broker is reported as down, it is reported within this time whether all are."""

_SILENCE = logging.Logger("librdkafka", logging.CRITICAL + 1)  # noqa: LOG001 - a registered logger would pass records on
"""Takes what the client would write to stderr; the sink reports its errors itself."""

_VAGUE = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT", "_MSG_TIMED_OUT"})
"""Errors for which the client's own error, if there is one, is the better explanation."""


class _ClientErrors:
    """Keeps the most specific error that the client has reported to its callback.

    Problems with credentials and TLS are reported only there: the messages themselves just time
    out.
    """

    def __init__(self) -> None:
        self.error: KafkaError | None = None
        self.is_fatal = False

    def add(self, error: KafkaError) -> None:
        if self.error is None or (
            self.error.name() in _VAGUE and error.name() != "_ALL_BROKERS_DOWN"
        ):
            self.error = error
        self.is_fatal = self.is_fatal or error.name() in FATAL or error.fatal()

    def clear(self) -> None:
        self.error, self.is_fatal = None, False


class KafkaClient:
    """A producer, and with transactions a consumer for the marker of the last one.

    It is used for as long as all goes well. After a failure it is discarded with everything in its
    queue, so that librdkafka does not go on to send messages in the background.
    """

    def __init__(
        self, options: Options, is_abandoned: threading.Event, *, one_by_one: bool = False
    ) -> None:
        """`is_abandoned` is set when nobody waits for the current call's result any more."""
        self.is_one_by_one = one_by_one
        self._options = options
        self._is_abandoned = is_abandoned
        # Not a method of this class: the callback would keep the producer alive after `discard`.
        self._errors = _ClientErrors()
        connection = connection_settings(options)
        try:
            self._producer = Producer(
                {
                    **connection,
                    **producer_settings(options, one_by_one=one_by_one),
                    "error_cb": self._errors.add,
                    "logger": _SILENCE,
                }
            )
            self._consumer = _marker_consumer(options) if options.transactional_id else None
        except KafkaException as error:  # a TLS file is missing or is not PEM
            raise RetryLater(
                "tls",
                f"{options.where}: a TLS file cannot be used; "
                "check ca_file, cert_file and key_file of tls",
            ) from error

    def connect(self) -> None:
        """Prove that brokers answer, accept the credentials and have the topic.

        With transactions, abort what a predecessor with the same transactional id left open.
        """
        deadline = time.monotonic() + self._options.timeout
        self._find_topic(deadline)
        if self._options.transactional_id:
            self._call(lambda: self._producer.init_transactions(_remaining(deadline)))

    def deliver(
        self, batch: Batch, indexes: Iterable[int], on_stored: Callable[[int], None]
    ) -> dict[int, str]:
        """Send these records; return the rejected ones with the names of their errors.

        `on_stored` is called with the index of each record that the brokers have stored.
        """
        deadline = time.monotonic() + self._options.timeout
        pending, rejected = set(indexes), dict[int, str]()
        failed: list[KafkaError] = []
        purged: list[KafkaError] = []

        def report(index: int, error: KafkaError | None, _message: Message | None) -> None:
            pending.discard(index)
            if error is None:
                on_stored(index)
            elif error.name() in REJECTIONS:
                rejected[index] = error.name()
            else:
                (purged if error.name() in PURGED else failed).append(error)

        # Brokers close idle connections (connections.max.idle.ms): an error since the last batch
        # means nothing.
        self._poll(0.0)
        self._errors.clear()
        for index in sorted(pending):
            self._produce(batch, index, partial(report, index), deadline)
        # The first rejection ends a transaction: the client purges its other messages.
        while pending and not failed and not (rejected and self._options.transactional_id):
            self._wait(deadline)
        if failed or (purged and not rejected):
            raise self._explain([*failed, *purged][0])
        return rejected

    def transact(self, batch: Batch, indexes: Iterable[int], marker: str) -> dict[int, str]:
        """Send these records and commit them together with the marker, all or nothing.

        If some are rejected, abort the transaction and return them with the names of their errors.
        """
        self._call(self._producer.begin_transaction)
        rejected = self.deliver(batch, indexes, lambda _index: None)
        deadline = time.monotonic() + self._options.timeout
        if rejected:
            self._call(lambda: self._producer.abort_transaction(_remaining(deadline)))
            return rejected
        offsets = [TopicPartition(self._options.topic, 0, 0, metadata=marker)]
        group = self._marker_reader().consumer_group_metadata()
        self._call(
            lambda: self._producer.send_offsets_to_transaction(offsets, group, _remaining(deadline))
        )
        self._call(lambda: self._producer.commit_transaction(_remaining(deadline)))
        return {}

    def read_marker(self) -> str:
        """Return the marker of the last transaction that was committed; empty before the first."""
        partition = TopicPartition(self._options.topic, 0)
        (committed,) = self._call(
            lambda: self._marker_reader().committed([partition], timeout=self._options.timeout)
        )
        return committed.metadata or ""

    def discard(self) -> None:
        """Drop everything in the queue and end the client.

        librdkafka's own `close` would wait for brokers, which may be down, to abort a transaction;
        the successor's `connect` aborts it instead. Deleting the producer ends it without waiting.
        """
        self._producer.purge()
        if self._consumer is not None:
            self._consumer.close()
        del self._producer

    def _find_topic(self, deadline: float) -> None:
        topic = self._options.topic
        while True:
            # The callback reports that all brokers are down sooner than the metadata times out.
            self._wait(deadline)
            try:
                metadata = self._producer.list_topics(topic, timeout=_METADATA_SECONDS)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise self._explain(error.args[0]) from error
                continue
            topic_error = metadata.topics[topic].error
            if topic_error is not None:
                raise retry_later(topic_error, self._options.where)
            return

    def _produce(
        self,
        batch: Batch,
        index: int,
        report: Callable[[KafkaError | None, Message | None], None],
        deadline: float,
    ) -> None:
        record = batch.records[index]
        while True:
            try:
                self._producer.produce(
                    self._options.topic,
                    record.body,
                    record.conversation.encode() or None,
                    on_delivery=report,
                    headers=_headers(batch, record),
                )
            except BufferError:  # the client's queue is full
                self._wait(deadline)
            except KafkaException as error:
                report(error.args[0], None)
                return
            else:
                return

    def _wait(self, deadline: float) -> None:
        self._poll(_POLL_SECONDS)
        if self._errors.is_fatal and self._errors.error is not None:
            raise retry_later(self._errors.error, self._options.where)
        if self._is_abandoned.is_set():
            raise RetryLater("stopped", "the attempt was cancelled")
        if time.monotonic() > deadline:
            raise self._explain(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's own name for it

    def _poll(self, seconds: float) -> None:
        try:
            while self._producer.poll(seconds) and not self._errors.is_fatal:
                seconds = _FOLLOWING_ERROR_SECONDS
        except KafkaException as error:  # the producer cannot be used any more
            raise retry_later(error.args[0], self._options.where) from error

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except KafkaException as error:
            self._poll(0.0)
            raise self._explain(error.args[0]) from error

    def _explain(self, error: KafkaError) -> RetryLater:
        reported = self._errors.error
        return retry_later(
            reported if reported is not None and error.name() in _VAGUE else error,
            self._options.where,
        )

    def _marker_reader(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("a transaction without transactional_id")
        return self._consumer


def _marker_consumer(options: Options) -> Consumer:
    return Consumer(
        {**connection_settings(options), "group.id": options.transactional_id, "logger": _SILENCE}
    )


def _headers(batch: Batch, record: Record) -> list[tuple[str, str | bytes | None]]:
    return [
        ("batch", batch.id.encode()),
        ("event", record.id.encode()),
        ("dialect", record.dialect.encode()),
    ]


def _remaining(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
