"""How the HTTP sink splits batches, chooses the keys of requests, and reads responses as
configured.
"""

from __future__ import annotations

import asyncio
import json
import math

import msgspec
import pytest

from tests.contract.batches import batch_of, lines_of
from tests.contract.deliveries import World, delivery
from tests.servers.receiving import ReceivingServer
from tracesidecar.deliver.bisect import part
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch, Compression
from tracesidecar.sinks import http
from tracesidecar.sinks.http.options import Options
from tracesidecar.sinks.registry import record_limit_of
from tracesidecar.sinks.transport.http_auth import Header, OAuth2, Signature
from tracesidecar.units import Seconds, Secret, Size


def options_for(url: str, **changes: object) -> Options:
    usual = Options(name="web", type="http", url=url, timeout=Seconds(60))
    return msgspec.structs.replace(usual, **changes)


async def send_batch(
    receiver: ReceivingServer, batch: Batch, **changes: object
) -> list[tuple[str, bytes]]:
    """Send a batch; return the key and the body of each request."""
    async with http.build(options_for(receiver.url, **changes)) as sink:
        await sink.send(batch)
    return [(request.key, request.plain) for request in receiver.requests()]


def lines_body(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_batch_over_the_limit_of_records_is_split_into_requests_with_own_keys(
    receiver: ReceivingServer, compression: Compression
) -> None:
    lines = lines_of(25)
    requests = await send_batch(
        receiver, batch_of(lines, batch_id="b1", compression=compression), max_records=10
    )
    assert requests == [
        ("b1.0-9", lines_body(lines[:10])),
        ("b1.10-19", lines_body(lines[10:20])),
        ("b1.20-24", lines_body(lines[20:])),
    ]


async def test_a_batch_within_the_limits_is_one_request_under_its_own_id(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(25)
    assert await send_batch(
        receiver, batch_of(lines, batch_id="b1"), max_records=25, max_bytes=Size(1 << 20)
    ) == [("b1", lines_body(lines))]


@pytest.mark.parametrize("body", ["lines", "array"])
async def test_each_request_holds_as_many_records_as_the_limit_allows(
    receiver: ReceivingServer, body: str
) -> None:
    lines = lines_of(100)
    requests = await send_batch(receiver, batch_of(lines), max_bytes=Size(2000), body=body)
    assert max(len(content) for _, content in requests) <= 2000
    assert min(len(content) for _, content in requests[:-1]) > 2000 - max(map(len, lines)) - 2
    if body == "lines":
        assert b"".join(content for _, content in requests) == lines_body(lines)
    else:
        assert [record for _, content in requests for record in json.loads(content)] == [
            json.loads(line) for line in lines
        ]


async def test_an_array_of_exactly_the_limit_is_one_request(receiver: ReceivingServer) -> None:
    lines = lines_of(30)
    exact = len(b"[" + b",\n".join(lines) + b"]")
    assert (
        len(
            await send_batch(
                receiver, batch_of(lines, batch_id="b1"), max_bytes=Size(exact), body="array"
            )
        )
        == 1
    )
    assert (
        len(
            await send_batch(
                receiver, batch_of(lines, batch_id="b2"), max_bytes=Size(exact - 1), body="array"
            )
        )
        == 1 + 2
    )


async def test_a_record_that_fits_into_no_request_is_rejected_and_its_neighbours_arrive(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(20)
    lines[7] = b'{"x":"' + b"x" * 5000 + b'"}'
    async with http.build(options_for(receiver.url, max_bytes=Size(2000))) as sink:
        rejected = await delivery(sink).send(batch_of(lines))
    assert [(record.index, record.reason) for record in rejected] == [(7, "too_large")]
    assert sorted(receiver.read_kept_lines()) == sorted(lines[:7] + lines[8:])


def test_events_are_truncated_to_fit_into_a_request() -> None:
    assert record_limit_of(
        options_for("http://host/", max_bytes=Size(2000), format="event")
    ) == 2000 - len(b"[]")
    assert record_limit_of(options_for("http://host/", format="event")) == 0


async def test_the_keys_of_a_part_have_the_positions_of_its_records_in_the_whole_batch(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(25)
    piece = part(batch_of(lines, batch_id="b1"), lines, 5, 18)
    assert [key for key, _ in await send_batch(receiver, piece, max_records=10)] == [
        "b1.5-14",
        "b1.15-18",
    ]


async def test_stored_records_of_a_batch_are_not_sent_again(receiver: ReceivingServer) -> None:
    lines = lines_of(30)
    receiver.order(answers=[{"status": status} for status in (204, 503, 204, 204)])
    async with http.build(options_for(receiver.url, max_records=10)) as sink:
        await delivery(sink).send(batch_of(lines, batch_id="b1"))
    assert [request.key for request in receiver.requests()] == [
        "b1.0-9",
        "b1.10-19",
        "b1.10-19",
        "b1.20-29",
    ]


async def test_one_poisoned_record_among_5000_in_many_requests_is_isolated(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    receiver.order(poison="hemlock")
    async with http.build(options_for(receiver.url, max_records=1000)) as sink:
        rejected = await delivery(sink).send(batch_of(lines, batch_id="b1"))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "bad_request")]
    assert len(receiver.requests()) <= 2 * math.ceil(math.log2(5000)) + 2
    assert sorted(receiver.read_kept_lines()) == sorted(lines[:3210] + lines[3211:])
    keys = [request.key for request in receiver.requests()]
    assert len(set(keys)) == len(keys)


async def test_the_signature_has_the_same_id_as_the_key(receiver: ReceivingServer) -> None:
    signature = Signature(secret=Secret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"))
    async with http.build(options_for(receiver.url, max_records=2, signature=signature)) as sink:
        await sink.send(batch_of(lines_of(4), batch_id="b1"))
    assert [request.headers["webhook-id"] for request in receiver.requests()] == [
        "b1.0-1",
        "b1.2-3",
    ]


async def test_a_status_means_what_the_configuration_says(receiver: ReceivingServer) -> None:
    receiver.order(
        answers=[
            {"status": 409},
            {"status": 404},
            {"status": 400, "headers": {"Retry-After": "7"}},
            {"status": 202},
        ]
    )
    async with http.build(
        options_for(
            receiver.url, status={"409": "accept", "404": "reject", "400": "retry", "202": "retry"}
        )
    ) as sink:
        await sink.send(batch_of(lines_of(1), batch_id="b0"))
        with pytest.raises(
            Rejected, match="404 Not Found, which the option status declares as reject"
        ):
            await sink.send(batch_of(lines_of(1), batch_id="b1"))
        with pytest.raises(RetryLater, match="400 Bad Request") as caught:
            await sink.send(batch_of(lines_of(1), batch_id="b2"))
        assert caught.value.after_seconds == 7
        with pytest.raises(RetryLater, match="202 Accepted"):
            await sink.send(batch_of(lines_of(1), batch_id="b3"))


async def test_a_status_configured_to_reject_is_bisected(
    receiver: ReceivingServer,
) -> None:
    receiver.order(answers=[{"status": 404}, {"status": 204}, {"status": 404}])
    async with http.build(options_for(receiver.url, status={"404": "reject"})) as sink:
        rejected = await delivery(sink).send(batch_of(lines_of(2)))
    assert [(record.index, record.reason) for record in rejected] == [(1, "refused")]


@pytest.mark.parametrize(
    ("changes", "media_type"),
    [
        ({}, "application/x-ndjson"),
        ({"format": "event"}, "application/x-ndjson"),
        ({"format": "otlp"}, "application/x-ndjson"),
        ({"format": "ecs", "body": "array"}, "application/json"),
        ({"format": "cef"}, "text/plain; charset=utf-8"),
        ({"format": "leef"}, "text/plain; charset=utf-8"),
        (
            {"headers": {"content-type": Secret("application/vnd.acme+json")}},
            "application/vnd.acme+json",
        ),
    ],
)
async def test_the_media_type_is_that_of_the_format_unless_a_header_says_otherwise(
    receiver: ReceivingServer, changes: dict[str, object], media_type: str
) -> None:
    await send_batch(receiver, batch_of(lines_of(3)), **changes)
    (request,) = receiver.requests()
    assert [value for name, value in request.headers.items() if name.lower() == "content-type"] == [
        media_type
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "cef", "body": "array"}, "body cannot be"),
        ({"max_bytes": Size(100)}, "max_bytes is less than"),
        ({"status": {"4xx": "accept"}}, "status has 4xx"),
        ({"status": {"100": "accept"}}, "status has 100"),
        ({"headers": {"X-Key": Secret("hunter2\r\nX-Evil: 1")}}, "headers has a value for X-Key"),
        ({"headers": {"X Key": Secret("a")}}, "headers has a name"),
        (
            {"headers": {"Idempotency-Key": Secret("a")}},
            "headers has Idempotency-Key, which the sink sets itself",
        ),
        ({"headers": {"X-A": Secret("a"), "x-a": Secret("b")}}, "headers has one name twice"),
        ({"auth": Header(name="X:Key", value=Secret("a"))}, "headers has a name"),
    ],
)
def test_invalid_options_are_rejected_and_no_value_is_quoted(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        options_for("http://host/", **changes)
    assert "hunter2" not in str(caught.value)


async def test_a_connection_that_breaks_in_the_body_is_reported_without_the_query_of_the_url() -> (
    None
):
    """Aiohttp's own message quotes the whole address."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?token=hunter2"
        async with http.build(options_for(url, probe=False)) as sink:
            with pytest.raises(RetryLater, match="network: the connection to") as caught:
                await sink.send(batch_of(lines_of(2000, 20_000), compression="none"))
    assert "hunter2" not in str(caught.value)


async def test_an_expired_token_is_not_used_after_its_renewal_failed(
    receiver: ReceivingServer,
) -> None:
    """The token has expired: it must not be used in place of the one that could not be fetched."""
    receiver.order(token_seconds=5)
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/_token",
        client_id="client id",
        client_secret=Secret("client/secret"),
    )
    world = World(repair=lambda: receiver.order(token_seconds=5))
    async with http.build(options_for(receiver.url, auth=auth)) as sink:
        receiver.order(token_status=503)
        await delivery(sink, world).send(batch_of(lines_of(1)))
    assert [error.reason for error in world.errors] == ["credentials", "credentials"]
    assert len(receiver.requests()) == 1
