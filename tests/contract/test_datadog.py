"""What the Datadog sink promises beyond the contract: logs as the intake expects them, within its
limits, and none that it would drop silently.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.contract.batches import batch_for, lines_of, records_of
from tests.contract.deliveries import delivery
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET
from tracesidecar.errors import RetryLater
from tracesidecar.sinks import datadog
from tracesidecar.sinks.registry import sink_type
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.units import Seconds, Secret


def options_for(port: int, **changes: object) -> datadog.Options:
    usual = datadog.Options(
        name="dd",
        type="datadog",
        url=f"http://127.0.0.1:{port}/api/v2/logs",
        timeout=Seconds(60),
        api_key=Secret(SECRET),
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
def intake(receiver: ReceivingServer) -> ReceivingServer:
    receiver.order(intake="datadog", secret=SECRET)
    return receiver


async def test_a_log_names_its_origin_and_holds_the_record(intake: ReceivingServer) -> None:
    now = datetime.now(UTC).replace(microsecond=123456)
    record = records_of([b'{"text":"a"}'], "b1")[0]._replace(
        time=now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), severity="medium"
    )
    async with datadog.build(
        options_for(
            intake.port, service="agents", host="builder-7", tags={"env": "test", "team": "blue"}
        )
    ) as sink:
        await sink.send(replace(batch_for("datadog", [record.body]), records=(record,)))
    probe, request = intake.requests()
    assert json.loads(request.plain) == [
        {
            "message": '{"text":"a"}',
            "ddsource": "tracesidecar",
            "service": "agents",
            "hostname": "builder-7",
            "ddtags": "dialect:generic,env:test,team:blue",
            "status": "warning",
            "event_id": record.id,
            "timestamp": int(now.timestamp() * 1000),
        }
    ]
    assert {
        "DD-API-KEY": SECRET,
        "Content-Encoding": "gzip",
        "Content-Type": "application/json",
    }.items() <= request.headers.items()
    assert probe.plain == b"{}"


@pytest.mark.parametrize(
    ("ago", "is_sent"),
    [
        (timedelta(hours=16), True),
        (timedelta(hours=18), False),
        (timedelta(minutes=-30), True),
        (timedelta(hours=-2), False),
    ],
)
async def test_a_log_that_would_be_dropped_for_its_time_is_sent_without_it(
    intake: ReceivingServer, ago: timedelta, is_sent: bool
) -> None:
    time = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    batch = batch_for("datadog", [b"1"])
    async with datadog.build(options_for(intake.port)) as sink:
        await sink.send(replace(batch, records=(batch.records[0]._replace(time=time),)))
    assert ("timestamp" in json.loads(intake.requests()[-1].plain)[0]) is is_sent


async def test_requests_stay_within_1000_logs_and_5_mb(intake: ReceivingServer) -> None:
    limit = sink_type("datadog").record_limit_bytes
    lines = [*lines_of(2500), *(b'"' + b"x" * (limit - 2) + b'"' for _ in range(8))]
    async with datadog.build(options_for(intake.port)) as sink:
        await sink.send(batch_for("datadog", lines))
    requests = [request for request in intake.requests() if request.plain != b"{}"]
    assert all(request.kept for request in requests)
    logs = [json.loads(request.plain) for request in requests]
    assert [log["message"].encode() for request in logs for log in request] == lines
    assert max(map(len, logs)) == 1000
    assert max(len(request.plain) for request in requests) <= 5_000_000
    assert max(len(json.dumps(log)) for log in logs[-1]) <= 1_000_000


async def test_one_poisoned_record_among_5000_is_isolated_in_few_requests(
    intake: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    intake.order(intake="datadog", secret=SECRET, poison="hemlock")
    async with datadog.build(options_for(intake.port)) as sink:
        rejected = await delivery(sink).send(batch_for("datadog", lines))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "bad_request")]
    assert len(intake.requests()) - 1 <= 2 * math.ceil(math.log2(5000)) + 2
    kept = [
        log["message"].encode()
        for request in intake.requests()[1:]
        if request.kept
        for log in json.loads(request.plain)
    ]
    assert sorted(kept) == sorted(lines[:3210] + lines[3211:])


async def test_records_that_are_too_large_together_are_sent_separately(
    receiver: ReceivingServer,
) -> None:
    receiver.order(answers=[{"status": 202}, {"status": 413}])
    async with datadog.build(options_for(receiver.port)) as sink:
        assert await delivery(sink).send(batch_for("datadog", lines_of(100))) == ()
    assert [len(json.loads(request.plain)) for request in receiver.requests()[1:]] == [100, 50, 50]


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
async def test_what_a_person_or_time_can_fix_is_retried(
    receiver: ReceivingServer, status: int
) -> None:
    receiver.order(
        answers=[
            {"status": 202},
            {"status": status, "headers": {"Retry-After": "7"}, "body": "hunter2"},
        ]
    )
    async with datadog.build(options_for(receiver.port)) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_for("datadog", lines_of(3)))
    assert caught.value.after_seconds == 7
    assert "hunter2" not in str(caught.value)


async def test_a_wrong_key_is_reported_at_the_start_and_not_quoted(intake: ReceivingServer) -> None:
    with pytest.raises(RetryLater, match="api_key") as caught:
        await datadog.build(options_for(intake.port, api_key=Secret("hunter2"))).__aenter__()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_key": None}, "exactly one"),
        ({"api_key_file": "/etc/key"}, "exactly one"),
        ({"auth": Bearer(token=Secret("a"))}, "auth is not for Datadog"),
    ],
)
def test_the_key_must_be_given_exactly_once(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options_for(443, **given)


def test_the_destination_is_the_intake_of_the_site() -> None:
    options = datadog.Options(name="dd", type="datadog", api_key=Secret("hunter2"))
    assert (
        datadog.SINK_TYPE.destination(options)
        == "datadog:https://http-intake.logs.datadoghq.com/api/v2/logs"
    )
