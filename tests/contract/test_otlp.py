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


async def test_a_partial_success_rejects_its_request_with_the_count_and_is_not_repeated(
    receiver: ReceivingServer,
) -> None:
    receiver.order(answers=[{"status": 200}, partial("3")])
    async with otlp.build(options_for(receiver.port)) as sink:
        with capture_logs() as logs:
            rejected = await delivery(sink).send(batch_for("otlp", lines_of(200)))
    assert [(record.index, record.reason) for record in rejected] == [
        (index, "partial_success") for index in range(200)
    ]
    assert len(receiver.requests()) == 2
    (warning,) = logs
    assert (warning["event"], warning["refused"], warning["sent"]) == (
        "sink.partial_success",
        3,
        200,
    )
    assert "hunter2" not in str(warning)


async def test_a_partial_success_of_one_request_rejects_no_other(receiver: ReceivingServer) -> None:
    receiver.order(answers=[{"status": 200}, {"status": 200}, partial(1)])
    async with otlp.build(options_for(receiver.port)) as sink:
        rejected = await delivery(sink).send(batch_for("otlp", lines_of(60, size_bytes=150_000)))
    requests = [
        len(json.loads(request.plain)["resourceLogs"][0]["scopeLogs"][0]["logRecords"])
        for request in receiver.requests()[1:]
    ]
    first, second, *rest = requests
    assert [record.index for record in rejected] == list(range(first, first + second))
    assert first + second + sum(rest) == 60


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
        (b"<html>", 0),
        (b'{"partialSuccess":null}', 0),
    ],
)
def test_the_count_of_a_response_is_read_from_json(answer: bytes, rejected: int) -> None:
    assert count_rejected_records(answer, "json") == rejected


def test_the_count_of_a_response_is_read_from_protobuf() -> None:
    answer = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=4)
    )
    assert count_rejected_records(answer.SerializeToString(), "protobuf") == 4
    assert count_rejected_records(b"", "protobuf") == 0
    assert count_rejected_records(b"\xff\xff", "protobuf") == 0


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
