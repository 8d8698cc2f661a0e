"""One producer of librdkafka: messages go in, and each is reported on.

Everything here blocks, and is for one thread.
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
from tracesidecar.sinks.kafka.errors import DOWN, PURGED, REFUSALS, failure
from tracesidecar.sinks.kafka.options import Options, connection, producing

T = TypeVar("T")

_SLICE_SECONDS = 0.1
_METADATA_SECONDS = 0.5
_TOGETHER_SECONDS = 0.02
"""After one broker was found to be away, it is said within this time that all are."""

_SILENCE = logging.Logger("librdkafka", logging.CRITICAL + 1)  # noqa: LOG001 - it has no place among the loggers
"""What the client would write to stderr is told by the sink."""

_VAGUE = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT", "_MSG_TIMED_OUT"})
"""What is heard apart from messages explains more."""


class _Hearing:
    """Keeps the error that explains most: of what is wrong with credentials and TLS only the
    client's callback is told.
    """

    def __init__(self) -> None:
        self.error: KafkaError | None = None
        self.is_down = False

    def hear(self, error: KafkaError) -> None:
        if self.error is None or (
            self.error.name() in _VAGUE and error.name() != "_ALL_BROKERS_DOWN"
        ):
            self.error = error
        self.is_down = self.is_down or error.name() in DOWN or error.fatal()

    def forget(self) -> None:
        self.error, self.is_down = None, False


class MessageProducer:
    """Made for as long as all goes well: after a failure it is discarded with what it holds, so
    that nothing is sent behind our back.
    """

    def __init__(self, options: Options, given_up: threading.Event, *, lone: bool = False) -> None:
        """`given_up`: nobody waits for the result any more."""
        self.is_lone = lone
        self._options = options
        self._given_up = given_up
        self._hearing = _Hearing()  # not ourselves: the client must end when we let go of it
        settings = connection(options) | producing(options, lone=lone)
        try:
            self._producer = Producer(
                {**settings, "error_cb": self._hearing.hear, "logger": _SILENCE}
            )
            self._consumer = _reader(options) if options.transactional_id else None
        except KafkaException as error:  # a file of tls that is missing or no PEM
            raise RetryLater(
                "tls",
                f"{options.where}: a file of tls cannot be used; mend ca_file, cert_file, key_file",
            ) from error

    def connect(self) -> None:
        """Prove that brokers answer, take our credentials and have the topic; with transactions,
        end what a predecessor left open.
        """
        deadline = time.monotonic() + self._options.timeout
        self._find_topic(deadline)
        if self._options.transactional_id:
            self._step(lambda: self._producer.init_transactions(_left(deadline)))

    def deliver(
        self, batch: Batch, indexes: Iterable[int], delivered: Callable[[int], None]
    ) -> dict[int, str]:
        """Send these records; return the refused ones with the names of their errors.

        `delivered` hears of each that is durable.
        """
        deadline = time.monotonic() + self._options.timeout
        open_, refused = set(indexes), dict[int, str]()
        failed: list[KafkaError] = []
        purged: list[KafkaError] = []

        def report(index: int, error: KafkaError | None, _message: Message | None) -> None:
            open_.discard(index)
            if error is None:
                delivered(index)
            elif error.name() in REFUSALS:
                refused[index] = error.name()
            else:
                (purged if error.name() in PURGED else failed).append(error)

        self._poll(0.0)  # an idle connection may have ended since the last batch, which is nothing
        self._hearing.forget()
        for index in sorted(open_):
            self._produce(batch, index, partial(report, index), deadline)
        while (
            open_ and not failed and not (refused and self._options.transactional_id)
        ):  # a transaction ends with the first refusal
            self._wait(deadline)
        if failed or (purged and not refused):
            raise self._why([*failed, *purged][0])
        return refused

    def transact(self, batch: Batch, indexes: Iterable[int], note: str) -> dict[int, str]:
        """Send these records and commit the note with them, all or nothing; where some are refused,
        return them, and nothing is there.
        """
        self._step(self._producer.begin_transaction)
        refused = self.deliver(batch, indexes, lambda _index: None)
        deadline = time.monotonic() + self._options.timeout
        if refused:
            self._step(lambda: self._producer.abort_transaction(_left(deadline)))
            return refused
        with_note = [TopicPartition(self._options.topic, 0, 0, metadata=note)]
        group = self._notes().consumer_group_metadata()
        self._step(
            lambda: self._producer.send_offsets_to_transaction(with_note, group, _left(deadline))
        )
        self._step(lambda: self._producer.commit_transaction(_left(deadline)))
        return {}

    def last_note(self) -> str:
        """Read what the last transaction committed; empty before the first."""
        place = TopicPartition(self._options.topic, 0)
        (found,) = self._step(
            lambda: self._notes().committed([place], timeout=self._options.timeout)
        )
        return found.metadata or ""

    def discard(self) -> None:
        """End, and forget what was not delivered.

        The client's own `close` would wait for brokers to abort a transaction.
        """
        self._producer.purge()
        if self._consumer is not None:
            self._consumer.close()
        del self._producer

    def _find_topic(self, deadline: float) -> None:
        topic = self._options.topic
        while True:
            self._wait(deadline)  # hears of a broker that is away sooner than the question does
            try:
                found = (
                    self._producer.list_topics(topic, timeout=_METADATA_SECONDS).topics[topic].error
                )
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise self._why(error.args[0]) from error
                continue
            if found is not None:
                raise failure(found, self._options.where)
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
            except BufferError:
                self._wait(deadline)
            except KafkaException as error:
                report(error.args[0], None)
                return
            else:
                return

    def _wait(self, deadline: float) -> None:
        self._poll(_SLICE_SECONDS)
        if self._hearing.is_down and self._hearing.error is not None:
            raise failure(self._hearing.error, self._options.where)
        if self._given_up.is_set():
            raise RetryLater("stopped", "the attempt was given up")
        if time.monotonic() > deadline:
            raise self._why(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's own name for it

    def _poll(self, seconds: float) -> None:
        try:
            while self._producer.poll(seconds) and not self._hearing.is_down:
                seconds = _TOGETHER_SECONDS
        except KafkaException as error:  # the producer cannot go on
            raise failure(error.args[0], self._options.where) from error

    def _step(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except KafkaException as error:
            self._poll(0.0)
            raise self._why(error.args[0]) from error

    def _why(self, error: KafkaError) -> RetryLater:
        heard = self._hearing.error
        return failure(
            heard if heard is not None and error.name() in _VAGUE else error, self._options.where
        )

    def _notes(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("a transaction without transactional_id")
        return self._consumer


def _reader(options: Options) -> Consumer:
    return Consumer(
        {**connection(options), "group.id": options.transactional_id, "logger": _SILENCE}
    )


def _headers(batch: Batch, record: Record) -> list[tuple[str, str | bytes | None]]:
    return [
        ("batch", batch.id.encode()),
        ("event", record.id.encode()),
        ("dialect", record.dialect.encode()),
    ]


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
