"""What the Loki sink promises beyond the contract: streams with few labels, and rejected entries
that are isolated.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import msgspec
import pytest

from tests.contract.batches import batch_for, lines_of, records_of
from tests.contract.deliveries import delivery
from tests.servers.collecting import Collector, attributes, body
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks import loki
from tracesidecar.sinks.loki.cutoffs import Cutoffs
from tracesidecar.sinks.registry import sink_type
from tracesidecar.sinks.transport.http_auth import Bearer
from tracesidecar.units import Seconds, Secret


def options_for(port: int, **changes: object) -> loki.Options:
    usual = loki.Options(
        name="logs",
        type="loki",
        url=f"http://127.0.0.1:{port}/loki/api/v1/push",
        timeout=Seconds(60),
        format="raw",
        auth=Bearer(token=Secret(SECRET)),
    )
    return msgspec.structs.replace(usual, **changes)


async def error_of(
    receiver: ReceivingServer, answer: dict[str, object]
) -> RetryLater | Rejected | None:
    receiver.order(answers=[{"status": 204}, answer])
    async with loki.build(options_for(receiver.port)) as sink:
        try:
            await sink.send(batch_for("loki", lines_of(3)))
        except (RetryLater, Rejected) as error:
            return error
    return None


async def test_streams_have_few_labels_and_entries_have_their_ids(
    receiver: ReceivingServer,
) -> None:
    records = [
        record._replace(dialect=dialect)
        for record, dialect in zip(
            records_of([b"1", b"2", b"3"], "b1"), ["codex", "pi", "codex"], strict=True
        )
    ]
    options = options_for(
        receiver.port, labels={"agent": "builder", "host": "builder-7"}, tenant="plant-7"
    )
    async with loki.build(options) as sink:
        await sink.send(replace(batch_for("loki", [b"1", b"2", b"3"]), records=tuple(records)))
    request = receiver.requests()[-1]

    def entry(number: int) -> list[object]:
        ids = {
            "event_id": records[number].id,
            "conversation_id": f"conversation-{number}",
            "event_kind": "state",
            "severity": "informational",
        }
        return ["1790000000000000000", str(number + 1), ids]

    labels = {"agent": "builder", "host": "builder-7"}
    assert json.loads(request.plain)["streams"] == [
        {"stream": {**labels, "dialect": "codex"}, "values": [entry(0), entry(2)]},
        {"stream": {**labels, "dialect": "pi"}, "values": [entry(1)]},
    ]
    assert request.headers["X-Scope-OrgID"] == "plant-7"
    assert request.headers["Content-Encoding"] == "gzip"


async def test_labels_and_ids_arrive_in_a_real_receiver(collector: Collector) -> None:
    async with loki.build(
        options_for(collector.ports["LOKI"], labels={"agent": "builder"})
    ) as sink:
        await sink.send(batch_for("loki", lines_of(3)))
    (first, *_) = collector.records()
    assert body(first) == lines_of(3)[0]
    assert {
        "agent": "builder",
        "dialect": "generic",
        "conversation_id": "conversation-0",
    }.items() <= attributes(first).items()


async def test_the_rejected_entry_of_a_batch_is_found_in_few_requests_and_all_others_are_sent(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    receiver.order(poison="hemlock")
    async with loki.build(options_for(receiver.port)) as sink:
        rejected = await delivery(sink).send(batch_for("loki", lines))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "bad_request")]
    assert len(receiver.requests()) - 1 <= 2 * math.ceil(math.log2(5000)) + 2
    entries = [
        tuple(value[:2])
        for request in receiver.requests()
        if request.kept
        for stream in json.loads(request.plain)["streams"]
        for value in stream["values"]
    ]
    assert sorted(line for _, line in entries) == sorted(
        line.decode() for index, line in enumerate(lines) if index != 3210
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            (
                "entry for stream '{a=\"b\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest "
                "acceptable timestamp is: …"
            ),
            "too_old",
        ),
        ("entry for stream '{a=\"b\"}' has timestamp too new: 2030-01-01T00:00:00Z", "too_new"),
        (
            (
                "entry with timestamp 2026-01-01 ignored, reason: 'entry too far behind, entry "
                "timestamp is: …'"
            ),
            "too_far_behind",
        ),
        (
            (
                "Max entry size '262144' bytes exceeded for stream '{a=\"b\"}' while adding an "
                "entry with length '300000' bytes"
            ),
            "too_large",
        ),
        ("hunter2", "bad_request"),
        ("", "bad_request"),
    ],
)
async def test_a_rejection_has_lokis_reason_and_quotes_nothing(
    receiver: ReceivingServer, said: str, reason: str
) -> None:
    error = await error_of(receiver, {"status": 400, "body": said})
    assert isinstance(error, Rejected)
    assert (error.reason, error.records) == (reason, None)
    assert "hunter2" not in str(error)


async def test_a_server_without_structured_metadata_is_retried(
    receiver: ReceivingServer,
) -> None:
    said = (
        "stream '{a=\"b\"}' includes structured metadata, but this feature is disallowed. Please "
        "see `limits_config.structured_metadata`"
    )
    error = await error_of(receiver, {"status": 400, "body": said})
    assert isinstance(error, RetryLater)
    assert "allow_structured_metadata" in str(error)


OLD, NEW = "2026-09-01T00:00:00.500000Z", "2026-09-21T14:13:20.000000Z"
LIMIT = "2026-09-14T00:00:00Z"


async def push_to_a_limit(
    receiver: ReceivingServer, old: set[int], count: int, **order: object
) -> tuple[dict[int, str], int, list[str]]:
    """Push entries, some of them old, of two dialects, to a Loki with limits.

    Return the reasons by index of the rejected entries, the number of requests, and the lines that
    Loki has stored: all that it did not call too old, also of requests that it answered with 400.
    """
    lines = [b'{"n":%d}' % number for number in range(count)]
    records = tuple(
        record._replace(
            time=OLD if index in old else NEW, dialect="pi" if index % 5 == 0 else "codex"
        )
        for index, record in enumerate(records_of(lines, "b1"))
    )
    receiver.order(intake="loki", **order)
    async with loki.build(options_for(receiver.port)) as sink:
        batch = replace(batch_for("loki", lines, batch_id="b1"), records=records)
        rejected = await delivery(sink).send(batch)
    requests = receiver.requests()[1:]
    sent = {
        line
        for request in requests
        for stream in json.loads(request.plain)["streams"]
        for _, line, _ in stream["values"]
    }
    return {record.index: record.reason for record in rejected}, len(requests), sorted(sent)


async def test_a_backlog_that_is_too_old_costs_one_request_and_is_rejected(
    receiver: ReceivingServer,
) -> None:
    rejected, requests, _ = await push_to_a_limit(receiver, set(range(5000)), 5000, oldest=LIMIT)
    assert rejected == dict.fromkeys(range(5000), "too_old")
    assert requests == 1


async def test_entries_that_are_too_old_are_rejected_and_all_others_are_sent(
    receiver: ReceivingServer,
) -> None:
    old = set(range(0, 400, 2))
    rejected, requests, sent = await push_to_a_limit(receiver, old, 400, oldest=LIMIT)
    assert rejected == dict.fromkeys(sorted(old), "too_old")
    assert requests == 2
    assert len(sent) == 400


async def test_streams_that_are_too_far_behind_each_have_a_limit_of_their_own(
    receiver: ReceivingServer,
) -> None:
    old = set(range(100))
    behind = {"pi": LIMIT, "codex": LIMIT}
    rejected, requests, _ = await push_to_a_limit(receiver, old, 200, behind=behind)
    assert rejected == dict.fromkeys(sorted(old), "too_far_behind")
    assert requests <= 3
    rejected, _, _ = await push_to_a_limit(receiver, old, 200, behind={"pi": LIMIT})
    assert rejected == dict.fromkeys(range(0, 100, 5), "too_far_behind")


async def test_a_loki_that_does_not_name_its_limit_rejects_a_whole_backlog_at_once(
    receiver: ReceivingServer,
) -> None:
    old = set(range(300))
    behind = {"pi": LIMIT, "codex": LIMIT}
    rejected, requests, _ = await push_to_a_limit(
        receiver, old, 300, behind=behind, is_old_version=True
    )
    assert (len(rejected), requests) == (300, 2)


async def test_another_reason_beside_old_entries_costs_no_more_than_bisection(
    receiver: ReceivingServer,
) -> None:
    old = {index for index in range(4096) if index % 3 == 0}
    rejected, requests, _ = await push_to_a_limit(
        receiver, old, 4096, oldest=LIMIT, poison='"n":3211}'
    )
    assert rejected == {**dict.fromkeys(sorted(old), "too_old"), 3211: "too_large"}
    assert requests <= 2 * math.ceil(math.log2(4096)) + 3


async def test_entries_of_the_second_of_the_limit_are_bisected(receiver: ReceivingServer) -> None:
    """The limit has a resolution of a second: what it says of that second is not known."""
    rejected, _, _ = await push_to_a_limit(receiver, {3}, 8, oldest="2026-09-01T00:00:01Z")
    assert rejected == {3: "too_old"}
    message = "has timestamp too old: x, oldest acceptable timestamp is: 2026-09-01T00:00:00Z"
    cutoffs = Cutoffs()
    records = [record._replace(time=OLD) for record in records_of([b"1"], "b1")]
    cutoffs.learn(message, records)
    assert cutoffs.reason(records[0]) == ""


@pytest.mark.parametrize(
    "message",
    [
        "",
        "has timestamp too old: x, oldest acceptable timestamp is: 2026-99-99T00:00:00Z",
        "has timestamp too old: x, oldest acceptable timestamp is: yesterday",
        "entry too far behind, oldest acceptable timestamp is: 2026-09-14T00:00:00Z'",
        "reason: 'entry too far behind' total ignored: 9 out of 9 for stream: {dialect=\"pi\"}",
        'total ignored: 1 out of 1 for stream: {dialect="generic"}',
    ],
)
def test_a_message_that_is_not_understood_says_nothing_about_an_entry(message: str) -> None:
    cutoffs = Cutoffs()
    records = records_of([b"1"], "b1")
    cutoffs.learn(message, records)
    assert cutoffs.reason(records[0]) == ""


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
async def test_what_a_person_or_time_can_fix_is_retried(
    receiver: ReceivingServer, status: int
) -> None:
    error = await error_of(
        receiver, {"status": status, "headers": {"Retry-After": "7"}, "body": "hunter2"}
    )
    assert isinstance(error, RetryLater)
    assert error.after_seconds == 7
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("status", [204, 400, 422])
async def test_a_server_that_rejects_an_empty_push_has_accepted_the_credentials(
    receiver: ReceivingServer, status: int
) -> None:
    receiver.order(answers=[{"status": status}])
    async with loki.build(options_for(receiver.port)):
        pass


async def test_wrong_credentials_are_reported_at_the_start(collector: Collector) -> None:
    with pytest.raises(RetryLater, match="credentials"):
        await loki.build(
            options_for(collector.ports["LOKI"], auth=Bearer(token=Secret("wrong")))
        ).__aenter__()


async def test_a_line_at_the_limit_arrives(collector: Collector) -> None:
    line = b'"' + b"x" * (sink_type("loki").record_limit_bytes - 2) + b'"'
    async with loki.build(options_for(collector.ports["LOKI"])) as sink:
        await sink.send(batch_for("loki", [line] * 20))
    assert [body(record) for record in collector.records()] == [line] * 20
    assert len(collector.requests()) == 3


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"a-b": "c"}, "a-b is not the name"), ({f"l{n}": "" for n in range(13)}, "at most 12")],
)
def test_labels_are_few_and_have_names(labels: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options_for(3100, labels=labels)


def test_the_destination_is_named_with_its_tenant() -> None:
    assert (
        loki.SINK_TYPE.destination(options_for(3100, tenant="blue"))
        == "loki:http://127.0.0.1:3100/loki/api/v1/push#blue"
    )
