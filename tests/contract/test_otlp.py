"""What the OTLP sink promises beyond the contract: both encodings, and partial successes, which
name no record.
"""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from structlog.testing import capture_logs

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import delivery
from tests.servers.collecting import Collector, attributes, body
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET
from tracesidecar.encode.otlp_request import count_rejected_records
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks import otlp
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.units import Seconds, Secret


def options_for(port: int, **changes: object) -> otlp.Options:
    usual = otlp.Options(
        name="otel",
        type="otlp",
        url=f"http://127.0.0.1:{port}/v1/logs",
        timeout=Seconds(60),
        auth=Bearer(token=Secret(SECRET)),
    )
    return msgspec.structs.replace(usual, **changes)


def partial(rejected: object) -> dict[str, object]:
    return {
        "status": 200,
        "body": json.dumps(
            {"partialSuccess": {"rejectedLogRecords": rejected, "errorMessage": "hunter2"}}
        ),
    }


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_records_arrive_in_both_encodings(
    collector: Collector, encoding: str, compression: str
) -> None:
    lines = lines_of(100)
    async with otlp.build(
        options_for(collector.ports["OTLP"], encoding=encoding, compression=compression)
    ) as sink:
        await sink.send(batch_for("otlp", lines))
    records = collector.records()
    assert [body(record) for record in records] == lines
    assert records[0]["timeUnixNano"] == "1790000000000000000"
    assert records[0]["severityText"] == "INFO"
    assert attributes(records[0])["tracesidecar.event_kind"] == "state"


async def test_a_request_has_the_headers_that_describe_it(receiver: ReceivingServer) -> None:
    options = options_for(receiver.port, encoding="protobuf", headers={"X-Team": Secret("agents")})
    async with otlp.build(options) as sink:
        await sink.send(batch_for("otlp", lines_of(3)))
    probe, request = receiver.requests()
    assert {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
        "X-Team": "agents",
    }.items() <= request.headers.items()
    assert not ExportLogsServiceRequest.FromString(probe.plain).resource_logs
    assert (
        len(
            ExportLogsServiceRequest.FromString(request.plain)
            .resource_logs[0]
            .scope_logs[0]
            .log_records
        )
        == 3
    )


async def test_one_poisoned_record_among_5000_is_isolated_in_few_requests(
    collector: Collector,
) -> None:
    batch = batch_for("otlp", lines_of(5000))
    records = list(batch.records)
    records[3210] = records[3210]._replace(
        body=records[3210].body.replace(b'"timeUnixNano":"17', b'"timeUnixNano":"x17')
    )
    batch = batch_for("otlp", lines_of(5000)).__class__(
        **{**{name: getattr(batch, name) for name in batch.__slots__}, "records": tuple(records)}
    )
    async with otlp.build(options_for(collector.ports["OTLP"])) as sink:
        rejected = await delivery(sink).send(batch)
    assert [(record.index, record.reason) for record in rejected] == [(3210, "bad_request")]
    arrived = [attributes(record)["log.record.uid"] for record in collector.records()]
    assert sorted(arrived) == sorted(
        record.id for index, record in enumerate(batch.records) if index != 3210
    )
    assert len(collector.requests()) <= 2 * math.ceil(math.log2(5000)) + 2


async def export_to_a_judge(
    receiver: ReceivingServer, lines: list[bytes], poison: str, **changes: object
) -> tuple[list[int], list[list[str]]]:
    """Send lines to a receiver that rejects records with a word, and only counts them.

    Return the indexes of the rejected records, and the ids of the records in each request.
    """
    receiver.order(intake="otlp", poison=poison)
    async with otlp.build(options_for(receiver.port, **changes)) as sink:
        rejected = await delivery(sink).send(batch_for("otlp", lines))
    assert {record.reason for record in rejected} <= {"partial_success"}
    requests = [
        [attributes(record)["log.record.uid"] for record in records_of(request.plain)]
        for request in receiver.requests()[1:]
    ]
    return [record.index for record in rejected], requests


def records_of(request: bytes) -> list[dict[str, object]]:
    return [
        record
        for resource in json.loads(request)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


async def test_a_partial_success_rejects_only_the_records_that_were_rejected(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    rejected, requests = await export_to_a_judge(receiver, lines, "hemlock")
    assert rejected == [3210]
    assert len(requests) <= 2 * math.ceil(math.log2(5000)) + 2
    ids = [record.id for record in batch_for("otlp", lines).records]
    assert set().union(*requests) == set(ids)
    assert requests.count(requests[0]) == 1  # "the client MUST NOT retry the request"


async def test_a_partial_success_with_many_rejected_records_rejects_these_alone(
    receiver: ReceivingServer,
) -> None:
    bad = [0, 1, 57, 58, 59, 60, 199]
    lines = [b'{"hemlock":%d}' % n if n in bad else b'{"good":%d}' % n for n in range(200)]
    with capture_logs() as logs:
        rejected, _ = await export_to_a_judge(receiver, lines, "hemlock")
    assert rejected == bad
    first = logs[0]
    assert (first["event"], first["refused"], first["sent"]) == ("sink.partial_success", 7, 200)
    assert "hunter2" not in str(logs)


async def test_a_first_half_that_is_rejected_whole_is_no_doubt_of_a_partial_success(
    receiver: ReceivingServer,
) -> None:
    lines = [b'{"hemlock":%d}' % n if n < 150 else b'{"good":%d}' % n for n in range(300)]
    rejected, _ = await export_to_a_judge(receiver, lines, "hemlock")
    assert rejected == list(range(150))


async def test_a_partial_success_of_one_request_rejects_no_other(receiver: ReceivingServer) -> None:
    lines = lines_of(60, size_bytes=150_000)
    lines[40] = b'{"poisoned":"hemlock"}'
    rejected, requests = await export_to_a_judge(receiver, lines, "hemlock")
    assert rejected == [40]
    ids = [record.id for record in batch_for("otlp", lines).records]
    assert set().union(*requests) == set(ids)
    assert sum(ids[0] in request for request in requests) == 1


async def test_a_partial_success_that_rejects_everything_is_retried(
    receiver: ReceivingServer,
) -> None:
    receiver.order(answers=[{"status": 200}, partial(150), {"status": 200}])
    async with otlp.build(options_for(receiver.port)) as sink:
        assert await delivery(sink).send(batch_for("otlp", lines_of(150))) == ()


@pytest.mark.parametrize(
    ("answer", "rejected"),
    [
        (b"", 0),
        (b"{}", 0),
        (b'{"partialSuccess":{}}', 0),
        (b'{"partialSuccess":{"rejectedLogRecords":"4"}}', 4),
        (b"<html>", None),
        (b"[]", None),
        (b'{"partialSuccess":{"rejectedLogRecords":-1}}', None),
        (b'{"error":"unauthenticated"}', None),
        (b'{"partialSucc', None),
        (b'{"partialSuccess":{"errorMessage":"slow down"}}', 0),
        (b'{"partialSuccess":null}', 0),
    ],
)
def test_the_count_of_a_response_is_read_from_json(answer: bytes, rejected: int | None) -> None:
    assert count_rejected_records(answer, "json") == rejected


def test_the_count_of_a_response_is_read_from_protobuf() -> None:
    answer = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=4)
    )
    assert count_rejected_records(answer.SerializeToString(), "protobuf") == 4
    assert count_rejected_records(b"", "protobuf") == 0
    for other in (b"\xff\xff", b"<html>", b"{}", b"OK", b"\x0a\x05", b"\x08\x01"):
        assert count_rejected_records(other, "protobuf") is None
    warned = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(error_message="slow down")
    )
    assert count_rejected_records(warned.SerializeToString(), "protobuf") == 0
    absurd = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=-1)
    )
    assert count_rejected_records(absurd.SerializeToString(), "protobuf") is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503, 504])
async def test_what_a_person_or_time_can_fix_is_retried(
    receiver: ReceivingServer, status: int
) -> None:
    receiver.order(
        answers=[
            {"status": 200},
            {"status": status, "headers": {"Retry-After": "7"}, "body": "hunter2"},
        ]
    )
    async with otlp.build(options_for(receiver.port)) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_for("otlp", lines_of(3)))
    assert caught.value.after_seconds == 7
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("status", "reason"), [(400, "bad_request"), (413, "too_large")])
async def test_statuses_about_the_content_reject_it(
    receiver: ReceivingServer, status: int, reason: str
) -> None:
    receiver.order(answers=[{"status": 200}, {"status": status, "body": "hunter2"}])
    async with otlp.build(options_for(receiver.port)) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(batch_for("otlp", lines_of(3)))
    assert (caught.value.reason, caught.value.records) == (reason, None)
    assert "hunter2" not in str(caught.value)


async def test_requests_stay_within_4_mib(receiver: ReceivingServer) -> None:
    async with otlp.build(options_for(receiver.port)) as sink:
        await sink.send(batch_for("otlp", [b'"' + b"x" * 1_000_000 + b'"'] * 9))
    sizes = [len(request.plain) for request in receiver.requests()]
    assert max(sizes) <= 4 << 20
    assert len(sizes) == 4


def test_the_destination_is_named_without_its_query() -> None:
    options = otlp.Options(name="otel", type="otlp", url="https://otel.example/v1/logs?key=hunter2")
    assert otlp.SINK_TYPE.destination(options) == "otlp:https://otel.example/v1/logs"
