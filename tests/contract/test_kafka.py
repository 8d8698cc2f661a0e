"""What the Kafka sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trustme

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import World, delivery
from tests.contract.kafka_place import TopicPlace
from tests.servers.broker import Broker
from tracesidecar.deliver.bisect import RejectedRecord
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks import kafka
from tracesidecar.sinks.kafka.errors import retry_later
from tracesidecar.sinks.kafka.options import Sasl
from tracesidecar.sinks.kafka.sink import KafkaSink
from tracesidecar.sinks.kafka.transaction_marker import LIMIT_BYTES, TransactionMarker
from tracesidecar.sinks.registry import promise_of, record_limit_of
from tracesidecar.sinks.sink import Receipt
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret, Size


def batch_of(lines: list[bytes], batch_id: str = "b00000001") -> Batch:
    return batch_for("kafka", lines, batch_id=batch_id)


def with_poison(count: int, size_bytes: int) -> tuple[list[bytes], int]:
    """Return lines, one larger than the others, and its index."""
    lines = lines_of(count)
    poisoned = count // 4
    lines[poisoned] = json.dumps(
        {"text": os.urandom(size_bytes // 2).hex()}
    ).encode()  # brokers measure the compressed message, so it must not compress
    return lines, poisoned


@pytest.fixture
def narrow_place(kafka_place: TopicPlace) -> TopicPlace:
    """Make a topic that accepts smaller requests than our producers make."""
    topic = f"{kafka_place.topic}-narrow"
    kafka_place.broker.make_topic(topic, **{"max.message.bytes": "20000"})
    return replace(kafka_place, topic=topic)


async def test_a_message_has_the_conversation_as_key_and_ids_as_headers(
    kafka_place: TopicPlace,
) -> None:
    batch = batch_of(lines_of(20))
    async with kafka_place.sink() as sink:
        await sink.send(batch)
    for record, message in zip(
        batch.records, kafka_place.broker.messages(kafka_place.topic), strict=True
    ):
        assert message.key() == record.conversation.encode()
        assert dict(message.headers() or ()) == {
            "batch": b"b00000001",
            "event": record.id.encode(),
            "dialect": b"generic",
        }


async def test_a_message_that_is_too_large_rejects_no_other_of_its_request(
    narrow_place: TopicPlace,
) -> None:
    lines, poisoned = with_poison(5000, 100_000)
    async with narrow_place.sink() as sink:
        rejected = await delivery(sink).send(batch_of(lines))
        await sink.send(batch_of(lines_of(10), "b2"))
    assert rejected == (RejectedRecord(poisoned, "too_large"),)
    assert Counter(narrow_place.lines()) == Counter(
        [*lines[:poisoned], *lines[poisoned + 1 :], *lines_of(10)]
    )


async def test_a_message_over_the_limit_is_rejected_before_it_is_sent(
    kafka_place: TopicPlace,
) -> None:
    limit = record_limit_of(kafka_place.options())
    lines = [json.dumps("x" * (size - 2)).encode() for size in (limit, limit + 10_000, 10 * limit)]
    async with kafka_place.sink() as sink:
        rejected = await delivery(sink).send(batch_of(lines))
    assert [record.index for record in rejected] == [1, 2]
    assert kafka_place.lines() == lines[:1]


async def test_a_message_that_a_topic_cannot_keep_is_rejected_alone(
    kafka_place: TopicPlace,
) -> None:
    """A compacted topic rejects a message without a key, and reports that for the whole request."""
    topic = f"{kafka_place.topic}-compacted"
    kafka_place.broker.make_topic(topic, **{"cleanup.policy": "compact"})
    batch = batch_of(lines_of(100))
    records = tuple(
        record._replace(conversation="" if number == 17 else "c")
        for number, record in enumerate(batch.records)
    )
    async with replace(kafka_place, topic=topic).sink() as sink:
        rejected = await delivery(sink).send(replace(batch, records=records))
    assert rejected == (RejectedRecord(17, "invalid_record"),)
    assert len(kafka_place.broker.messages(topic)) == 99


async def test_a_batch_larger_than_the_queue_waits_for_room(
    kafka_place: TopicPlace,
) -> None:
    lines = lines_of(300, size_bytes=100_000)
    async with kafka.build(kafka_place.options(timeout=Seconds(60))) as sink:
        await sink.send(batch_of(lines))
    assert kafka_place.lines() == lines


async def test_a_missing_topic_is_reported(kafka_place: TopicPlace) -> None:
    with pytest.raises(RetryLater, match="the topic does not exist; create it"):
        await kafka.build(kafka_place.options(topic="no-such-topic")).__aenter__()


async def test_a_repeated_transaction_is_there_once_also_from_a_new_sink(
    kafka_place: TopicPlace,
) -> None:
    options = kafka_place.options(transactional_id=kafka_place.topic, timeout=Seconds(60))
    lines = lines_of(100)
    for _ in range(2):
        async with kafka.build(options) as sink:
            await sink.send(batch_of(lines))
            await sink.send(batch_of(lines))
    messages = kafka_place.broker.messages(kafka_place.topic)
    assert [message.value() for message in messages] == lines
    assert promise_of(options) == "exactly once"
    assert promise_of(kafka_place.options()) == "at least once"


async def test_a_rejected_message_is_left_out_of_its_transaction_and_remembered(
    narrow_place: TopicPlace,
) -> None:
    options = narrow_place.options(transactional_id=narrow_place.topic, timeout=Seconds(60))
    lines, poisoned = with_poison(200, 100_000)
    for _ in range(2):  # the second sink knows it from the marker only
        async with kafka.build(options) as sink:
            rejected = await delivery(sink).send(batch_of(lines))
        assert [record.index for record in rejected] == [poisoned]
    messages = narrow_place.broker.messages(narrow_place.topic)
    assert [message.value() for message in messages] == [*lines[:poisoned], *lines[poisoned + 1 :]]
    batch = batch_of(lines)
    async with kafka.build(options) as sink:
        receipt = await sink.find_stored(batch.id, [record.id for record in batch.records])
    stored = frozenset(range(200)) - {poisoned}
    assert receipt == Receipt(stored, {poisoned: "too_large"})


async def test_two_rejected_messages_are_both_left_out_of_their_transaction(
    narrow_place: TopicPlace,
) -> None:
    """A client that aborted a transaction for one of them timed out in the next one."""
    options = narrow_place.options(transactional_id=narrow_place.topic, timeout=Seconds(60))
    lines, poisoned = with_poison(8, 100_000)
    async with kafka.build(options) as sink:
        rejected = await delivery(sink).send(batch_of([*lines, lines[poisoned]]))
    assert [record.index for record in rejected] == [poisoned, 8]
    messages = narrow_place.broker.messages(narrow_place.topic)
    assert [message.value() for message in messages] == [*lines[:poisoned], *lines[poisoned + 1 :]]


async def test_a_second_producer_with_the_same_transactional_id_is_reported(
    kafka_place: TopicPlace,
) -> None:
    options = kafka_place.options(transactional_id=kafka_place.topic, timeout=Seconds(60))
    async with kafka.build(options) as first:
        await first.send(batch_of(lines_of(3), "b1"))
        async with kafka.build(options) as second:
            await second.send(batch_of(lines_of(3), "b2"))
        with pytest.raises(RetryLater, match="another producer has the same transactional_id"):
            await first.send(batch_of(lines_of(3), "b3"))


def test_somebody_elses_marker_is_that_of_no_batch() -> None:
    for text in ("", "hello", '{"a":1}', '["b1"]'):
        assert TransactionMarker.parse(text) == TransactionMarker("", {})
    assert TransactionMarker.parse(
        TransactionMarker("b1", {3: "MSG_SIZE_TOO_LARGE"}).serialize()
    ) == TransactionMarker("b1", {3: "MSG_SIZE_TOO_LARGE"})
    with pytest.raises(Rejected):
        TransactionMarker(
            "b1", dict.fromkeys(range(LIMIT_BYTES // 10), "MSG_SIZE_TOO_LARGE")
        ).serialize()


@pytest.fixture
def client_certificate(broker: Broker, tmp_path: Path) -> Path:
    path = tmp_path / "client.pem"
    broker.ca.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def over_tls(broker: Broker, topic: str, tls: TlsOptions, host: str = "127.0.0.1") -> KafkaSink:
    return kafka.build(
        kafka.Options(
            name="bus",
            type="kafka",
            brokers=(f"{host}:{broker.ports.tls}",),
            topic=topic,
            tls=tls,
            timeout=Seconds(60),
        )
    )


async def test_a_client_certificate_is_required_and_read_again_when_it_changes(
    kafka_place: TopicPlace, client_certificate: Path
) -> None:
    right = client_certificate.read_bytes()
    stranger = trustme.CA().issue_cert("client.example").private_key_and_cert_chain_pem.bytes()
    client_certificate.write_bytes(stranger)
    world = World(repair=lambda: client_certificate.write_bytes(right))
    broker = kafka_place.broker
    sink = over_tls(
        broker,
        kafka_place.topic,
        TlsOptions(ca_file=str(broker.ca_file), cert_file=str(client_certificate)),
    )
    await delivery(sink, world).connect()
    await sink.send(batch_of(lines_of(10)))
    await sink.__aexit__(None, None, None)
    assert len(world.errors) == 2
    assert kafka_place.lines() == lines_of(10)


async def test_a_broker_without_a_valid_certificate_is_rejected_with_the_reason(
    kafka_place: TopicPlace, client_certificate: Path, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    broker = kafka_place.broker
    for ca, host in ((tmp_path / "other.pem", "127.0.0.1"), (broker.ca_file, "localhost")):
        sink = over_tls(
            broker,
            kafka_place.topic,
            TlsOptions(ca_file=str(ca), cert_file=str(client_certificate)),
            host,
        )
        with pytest.raises(RetryLater, match="certificate") as caught:
            await sink.__aenter__()
        assert caught.value.reason == "tls"


class BusyMachineError:
    """What librdkafka reported for an unknown CA while the machine was busy."""

    def name(self) -> str:
        return "_TRANSPORT"

    def str(self) -> str:
        return "ssl://h:1/bootstrap: error:0A000086:SSL routines::certificate verify failed"


def test_a_failed_verification_that_is_reported_as_a_transport_error_is_a_tls_problem() -> None:
    error = retry_later(BusyMachineError(), "kafka at h:1")
    assert error.reason == "tls"
    assert "check tls and the certificates of the brokers" in error.detail


async def test_a_missing_tls_file_is_retried(tmp_path: Path) -> None:
    options = kafka.Options(
        name="bus",
        type="kafka",
        brokers=("127.0.0.1:9",),
        topic="t",
        tls=TlsOptions(ca_file=str(tmp_path / "none.pem")),
    )
    with pytest.raises(RetryLater, match="a TLS file cannot be used"):
        await kafka.build(options).__aenter__()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"brokers": ()}, "host:port"),
        ({"brokers": ("kafka",)}, "host:port"),
        ({"tls": TlsOptions(server_hostname="x")}, "server_hostname"),
        ({"message_limit": Size.parse("1KiB")}, "message_limit"),
    ],
)
def test_invalid_options_are_rejected_at_once(given: dict[str, object], said: str) -> None:
    usual = kafka.Options(name="bus", type="kafka", brokers=("h:1",), topic="t")
    with pytest.raises(ValueError, match=said):
        msgspec.structs.replace(usual, **given)


@pytest.mark.parametrize(("password", "password_file"), [(None, None), (Secret("a"), "b")])
def test_a_password_must_be_given_exactly_once(
    password: Secret | None, password_file: str | None
) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Sasl(username="u", password=password, password_file=password_file)


def test_the_client_is_imported_only_when_a_sink_is_entered() -> None:
    code = (
        "import sys, tracesidecar.sinks.kafka.sink as k; k.build; print('confluent_kafka' in "
        "sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.stdout == "False\n"


@pytest.mark.long
async def test_a_restarted_broker_has_every_message_that_it_confirmed(
    kafka_place: TopicPlace,
) -> None:
    broker, lines = kafka_place.broker, lines_of(200)
    async with kafka_place.sink() as sink:
        await sink.send(batch_of(lines[:100], "b1"))
        broker.server.stop()
        world = World(repair=broker.start)
        await delivery(sink, world).send(batch_of(lines[100:], "b2"))
    assert len(world.errors) >= 2
    assert kafka_place.lines() == lines
