"""What the Splunk sink promises beyond the contract: events as Splunk expects them, its codes, and
acknowledgements that are reported once.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import replace

import msgspec
import pytest

from tests.contract.batches import batch_for, lines_of, records_of
from tests.contract.deliveries import World, delivery
from tests.servers.collecting import Collector, attributes, body
from tests.servers.receiving import ReceivingServer, Request
from tests.servers.stores import SECRET
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks import splunk
from tracesidecar.sinks.registry import sink_type
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.units import Seconds, Secret

NO_DATA = {"status": 400, "body": '{"text":"No data","code":5}'}


def options_for(port: int, **changes: object) -> splunk.Options:
    usual = splunk.Options(
        name="siem",
        type="splunk",
        url=f"http://127.0.0.1:{port}",
        token=Secret(SECRET),
        timeout=Seconds(60),
        ack_interval=Seconds(0.01),
        ack_timeout=Seconds(60),
    )
    return msgspec.structs.replace(usual, **changes)


def answer_success(ack_id: int | None = None) -> dict[str, object]:
    return {
        "status": 200,
        "body": json.dumps(
            {"text": "Success", "code": 0, **({} if ack_id is None else {"ackId": ack_id})}
        ),
    }


def acks(**statuses: bool) -> dict[str, object]:
    return {
        "status": 200,
        "body": json.dumps(
            {"acks": {name.removeprefix("id"): is_indexed for name, is_indexed in statuses.items()}}
        ),
    }


def posts(receiver: ReceivingServer, endpoint: str) -> list[Request]:
    return [
        request
        for request in receiver.requests()
        if request.path == f"/services/collector/{endpoint}"
    ]


def list_requested_acks(receiver: ReceivingServer) -> list[list[int]]:
    return [json.loads(request.plain)["acks"] for request in posts(receiver, "ack")]


async def error_of(
    receiver: ReceivingServer, answer: dict[str, object]
) -> RetryLater | Rejected | None:
    receiver.order(answers=[NO_DATA, answer])
    async with splunk.build(options_for(receiver.port)) as sink:
        try:
            await sink.send(batch_for("splunk", lines_of(3)))
        except (RetryLater, Rejected) as error:
            return error
    return None


async def test_an_event_has_its_time_its_source_and_its_ids(receiver: ReceivingServer) -> None:
    receiver.order(intake="splunk", secret=SECRET)
    record = records_of([b'{"text":"a"}'], "b1")[0]._replace(
        trace_id="t1", span_id="s1", time="2026-09-21T14:13:20.123456Z"
    )
    options = options_for(
        receiver.port,
        index="agents",
        sourcetype="trace",
        host="builder-7",
        fields={"environment": "test"},
        format="ecs",
    )
    async with splunk.build(options) as sink:
        await sink.send(replace(batch_for("splunk", [record.body]), records=(record,)))
    (request,) = (request for request in posts(receiver, "event") if request.kept)
    fields = {
        "environment": "test",
        "dialect": "generic",
        "event_id": record.id,
        "conversation_id": "conversation-0",
        "event_kind": "state",
        "severity": "informational",
        "trace_id": "t1",
        "span_id": "s1",
    }
    where = {
        "host": "builder-7",
        "source": "/traces/a.jsonl",
        "sourcetype": "trace",
        "index": "agents",
    }
    assert json.loads(request.plain) == {
        "time": 1790000000.123456,
        **where,
        "fields": fields,
        "event": {"text": "a"},
    }
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Authorization"] == f"Splunk {SECRET}"
    assert (
        len({uuid.UUID(each.headers["X-Splunk-Request-Channel"]) for each in receiver.requests()})
        == 1
    )


async def test_an_event_has_no_field_twice(receiver: ReceivingServer) -> None:
    receiver.order(intake="splunk", secret=SECRET)
    async with splunk.build(
        options_for(receiver.port, fields={"environment": "test"}, format="event")
    ) as sink:
        await sink.send(batch_for("splunk", [b'{"event_id":"e1","dialect":"codex"}']))
    event = json.loads(receiver.requests()[-1].plain)
    assert event["event"] == {"event_id": "e1", "dialect": "codex"}
    assert event["fields"] == {"environment": "test"}


async def test_without_acknowledgement_an_accepted_request_is_delivered(
    collector: Collector,
) -> None:
    lines = lines_of(100)
    async with splunk.build(options_for(collector.ports["PLAIN"], format="raw")) as sink:
        await sink.send(batch_for("splunk", lines))
    assert [body(record) for record in collector.records()] == lines
    assert attributes(collector.records()[0])["com.splunk.source"] == "/traces/a.jsonl"


@pytest.mark.parametrize("given", [1000, sink_type("splunk").record_limit_bytes])
async def test_a_record_up_to_the_limit_is_an_event_of_at_most_1_mib(
    collector: Collector, receiver: ReceivingServer, given: int
) -> None:
    line = json.dumps({"x": "x" * (given - 9)}).encode()
    assert len(line) == given
    receiver.order(intake="splunk", secret=SECRET)
    for port in (collector.ports["PLAIN"], receiver.port):
        async with splunk.build(options_for(port, format="raw")) as sink:
            await sink.send(batch_for("splunk", [line]))
    assert [body(record) for record in collector.records()] == [line]
    assert len(receiver.requests()[-1].plain) <= 1 << 20


async def test_a_large_batch_goes_in_requests_of_2_mib(receiver: ReceivingServer) -> None:
    receiver.order(intake="splunk", secret=SECRET)
    async with splunk.build(options_for(receiver.port, format="raw")) as sink:
        await sink.send(batch_for("splunk", lines_of(40, size_bytes=150_000)))
    sizes = [len(request.plain) for request in receiver.requests() if request.kept]
    assert max(sizes) <= 2 << 20
    assert len(sizes) == 4


async def test_only_the_event_that_the_response_names_is_rejected(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    receiver.order(intake="splunk", secret=SECRET, poison="hemlock")
    async with splunk.build(options_for(receiver.port, format="raw")) as sink:
        rejected = await delivery(sink).send(batch_for("splunk", lines))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "invalid_format")]
    kept = [
        json.loads(event)["event"].encode()
        for request in receiver.requests()
        if request.kept
        for event in request.plain.split(b"\n")
    ]
    assert sorted(kept) == sorted(lines[:3210] + lines[3211:])
    assert len(receiver.requests()) <= 6


async def test_an_event_that_is_rejected_without_a_number_is_found(
    collector: Collector,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"broken":'
    world = World()
    async with splunk.build(
        options_for(collector.ports["SPLUNK"], format="ecs", acknowledge=True)
    ) as sink:
        rejected = await delivery(sink, world).send(batch_for("splunk", lines))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "invalid_format")]
    arrived = [attributes(record)["event_id"] for record in collector.records()]
    assert len(arrived) == len(set(arrived)) == 4999
    assert len(collector.requests()) <= 2 * math.ceil(math.log2(5000)) + 2


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, 1, "credentials"),
        (401, 2, "credentials"),
        (401, 3, "credentials"),
        (403, 4, "credentials"),
        (400, 7, "index"),
        (400, 10, "channel"),
        (400, 11, "channel"),
        (400, 14, "acknowledgement"),
        (500, 8, "unavailable"),
        (503, 9, "unavailable"),
        (429, 26, "throttled"),
        (200, 99, "status"),
    ],
)
async def test_responses_that_are_not_about_an_event_are_retried(
    receiver: ReceivingServer, status: int, code: int, reason: str
) -> None:
    error = await error_of(
        receiver, {"status": status, "body": json.dumps({"text": "hunter2", "code": code})}
    )
    assert isinstance(error, RetryLater)
    assert error.reason == reason
    assert f"127.0.0.1:{receiver.port} answered {status}" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(6, "invalid_format"), (12, "no_event"), (13, "blank_event"), (15, "invalid_fields")],
)
@pytest.mark.parametrize(("number", "records"), [(1, (1,)), (3, None), (-1, None), (None, None)])
async def test_a_rejection_names_the_event_if_the_response_does(
    receiver: ReceivingServer,
    code: int,
    reason: str,
    number: int | None,
    records: tuple[int, ...] | None,
) -> None:
    error = await error_of(
        receiver,
        {
            "status": 400,
            "body": json.dumps({"text": "hunter2", "code": code, "invalid-event-number": number}),
        },
    )
    assert isinstance(error, Rejected)
    assert (error.reason, error.records, error.stored) == (reason, records, False)


async def test_a_token_that_is_rejected_in_plain_text_is_retried(
    receiver: ReceivingServer,
) -> None:
    error = await error_of(receiver, {"status": 401, "body": "Unauthorized hunter2"})
    assert isinstance(error, RetryLater)
    assert error.reason == "credentials"
    assert "hunter2" not in str(error)
    assert "correct token" in str(error)


async def test_retry_after_is_honoured(receiver: ReceivingServer) -> None:
    error = await error_of(
        receiver,
        {
            "status": 503,
            "headers": {"Retry-After": "7"},
            "body": '{"text":"Server is busy","code":9}',
        },
    )
    assert isinstance(error, RetryLater)
    assert error.after_seconds == 7


async def test_a_wrong_token_is_reported_at_the_start_and_not_quoted(
    receiver: ReceivingServer,
) -> None:
    receiver.order(intake="splunk", secret="another")
    with pytest.raises(RetryLater, match="correct token") as caught:
        await splunk.build(options_for(receiver.port)).__aenter__()
    assert SECRET not in str(caught.value)


async def test_a_token_without_acknowledgement_is_reported_at_the_start(
    receiver: ReceivingServer,
) -> None:
    receiver.order(
        answers=[NO_DATA, {"status": 400, "body": '{"text":"ACK is disabled","code":14}'}]
    )
    with pytest.raises(RetryLater, match="enable it, or set acknowledge = false"):
        await splunk.build(options_for(receiver.port, acknowledge=True)).__aenter__()


async def test_an_accepted_request_without_an_ack_id_is_retried(receiver: ReceivingServer) -> None:
    receiver.order(answers=[NO_DATA, acks(id0=False), answer_success()])
    async with splunk.build(options_for(receiver.port, acknowledge=True)) as sink:
        with pytest.raises(RetryLater, match="without an ackId"):
            await sink.send(batch_for("splunk", lines_of(3)))


def two_requests() -> Batch:
    return batch_for("splunk", lines_of(20, size_bytes=150_000))


async def test_an_acknowledgement_is_remembered_and_not_queried_again(
    receiver: ReceivingServer,
) -> None:
    statuses = [
        acks(id7=False, id8=False),
        acks(id7=True, id8=False),
        acks(id8=False),
        acks(id8=True),
    ]
    receiver.order(
        answers=[NO_DATA, acks(id0=False), answer_success(7), answer_success(8), *statuses]
    )
    async with splunk.build(options_for(receiver.port, acknowledge=True)) as sink:
        await sink.send(two_requests())
    assert list_requested_acks(receiver) == [[0], [7, 8], [7, 8], [8], [8]]
    assert len(posts(receiver, "event")) == 3


async def test_a_failed_query_for_acknowledgements_is_repeated(receiver: ReceivingServer) -> None:
    receiver.order(
        answers=[
            NO_DATA,
            acks(id0=False),
            answer_success(0),
            {"status": 503},
            {"status": 200, "body": "hunter2"},
            acks(id0=True),
        ]
    )
    async with splunk.build(options_for(receiver.port, acknowledge=True)) as sink:
        await sink.send(batch_for("splunk", lines_of(3)))
    assert len(posts(receiver, "event")) == 2


async def test_only_unacknowledged_requests_are_sent_again(
    receiver: ReceivingServer,
) -> None:
    never = [acks(id8=False)] * 200
    receiver.order(
        answers=[
            NO_DATA,
            acks(id0=False),
            answer_success(7),
            answer_success(8),
            acks(id7=True, id8=False),
            *never,
        ]
    )
    # Long enough for the first answers on a busy machine; the last one never comes.
    options = options_for(
        receiver.port, acknowledge=True, ack_timeout=Seconds(3), ack_interval=Seconds(0.05)
    )
    async with splunk.build(options) as sink:
        with pytest.raises(RetryLater, match="did not acknowledge 1 requests"):
            await sink.send(two_requests())
        receiver.order(answers=[answer_success(9), acks(id9=True)])
        await sink.send(two_requests())
    _probe, _first, second, again = posts(receiver, "event")
    assert again.body == second.body


async def test_requests_before_a_rejected_event_are_acknowledged_first(
    receiver: ReceivingServer,
) -> None:
    rejection = {
        "status": 400,
        "body": '{"text":"Invalid data format","code":6,"invalid-event-number":0}',
    }
    receiver.order(
        answers=[
            NO_DATA,
            acks(id0=False),
            answer_success(7),
            rejection,
            acks(id7=True),
            answer_success(8),
            acks(id8=True),
        ]
    )
    async with splunk.build(options_for(receiver.port, acknowledge=True)) as sink:
        rejected = await delivery(sink).send(two_requests())
    assert [record.reason for record in rejected] == ["invalid_format"]
    assert len(posts(receiver, "event")) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"token": None}, "exactly one"),
        ({"token_file": "/etc/token"}, "exactly one"),
        ({"auth": Bearer(token=Secret("a"))}, "auth is not for Splunk"),
    ],
)
def test_the_token_must_be_given_exactly_once(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options_for(8088, **given)


def test_the_destination_is_named_with_its_index() -> None:
    assert (
        splunk.SINK_TYPE.destination(options_for(8088, index="agents"))
        == "splunk:http://127.0.0.1:8088#agents"
    )
