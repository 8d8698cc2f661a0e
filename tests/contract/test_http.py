"""What the HTTP sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.contract.batches import ODD_LINES, batch_of, lines_of
from tests.contract.deliveries import World, delivery
from tests.servers.processes import free_port
from tests.servers.receiving import ReceivingServer
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Compression
from tracesidecar.sinks import http
from tracesidecar.sinks.transport.http_auth import Basic, Bearer, Header, OAuth2, Signature
from tracesidecar.sinks.transport.http_responses import RETRY_AFTER_LIMIT_SECONDS, parse_retry_after
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret


def options_for(url: str, **changes: object) -> http.Options:
    usual = http.Options(name="web", type="http", url=url, timeout=Seconds(60))
    return msgspec.structs.replace(usual, **changes)


async def answers_to(
    receiver: ReceivingServer, *answers: Mapping[str, object]
) -> list[RetryLater | Rejected | None]:
    """Send one batch for each ordered response; return what the sink raised."""
    receiver.order(answers=answers)
    raised: list[RetryLater | Rejected | None] = []
    async with http.build(options_for(receiver.url)) as sink:
        for number, _ in enumerate(answers):
            try:
                await sink.send(batch_of(lines_of(3), batch_id=f"b{number}"))
                raised.append(None)
            except (RetryLater, Rejected) as error:
                raised.append(error)
    assert len(receiver.requests()) == len(
        answers
    )  # no redirect was followed, nothing was tried twice
    return raised


async def test_a_request_says_what_it_carries_and_under_which_id(receiver: ReceivingServer) -> None:
    batch = batch_of(lines_of(10))
    headers = {"X-Tenant": Secret("blue")}
    async with http.build(options_for(receiver.url + "?source=a", headers=headers)) as sink:
        await sink.send(batch)
    (request,) = receiver.requests()
    assert request.path == "/ingest?source=a"
    assert request.body == batch.objects[0].content
    wanted = {
        "Idempotency-Key": batch.id,
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
        "X-Tenant": "blue",
    }
    assert wanted.items() <= request.headers.items()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_an_array_holds_the_records_as_they_stand(
    receiver: ReceivingServer, compression: Compression
) -> None:
    async with http.build(options_for(receiver.url, body="array")) as sink:
        await sink.send(batch_of(ODD_LINES, compression=compression))
    (request,) = receiver.requests()
    assert request.headers["Content-Type"] == "application/json"
    assert request.plain == b"[" + b",\n".join(ODD_LINES) + b"]"
    assert json.loads(request.plain) == [json.loads(line) for line in ODD_LINES]


async def test_what_a_person_or_time_can_fix_is_retried(receiver: ReceivingServer) -> None:
    statuses = [
        401,
        403,
        404,
        405,
        408,
        409,
        415,
        421,
        425,
        429,
        500,
        502,
        503,
        504,
        301,
        302,
        307,
        308,
        304,
        451,
        599,
    ]
    secretive = {
        "body": "the server quotes: hunter2",
        "headers": {"Location": "/elsewhere?hunter2"},
    }
    errors = await answers_to(receiver, *({"status": status, **secretive} for status in statuses))
    assert {type(error) for error in errors} == {RetryLater}
    for status, error in zip(statuses, errors, strict=True):
        assert f"127.0.0.1:{receiver.port} answered {status}" in str(error)
        assert "hunter2" not in str(error)


async def test_statuses_about_the_content_reject_it(receiver: ReceivingServer) -> None:
    errors = await answers_to(
        receiver,
        *({"status": status, "body": "line 3 holds hunter2"} for status in (400, 422, 413)),
    )
    assert {type(error) for error in errors} == {Rejected}
    assert [error.reason for error in errors if error] == [
        "bad_request",
        "unprocessable",
        "too_large",
    ]
    assert "hunter2" not in "".join(map(str, errors))


async def test_any_2xx_counts_as_delivered(receiver: ReceivingServer) -> None:
    assert (
        await answers_to(receiver, *({"status": status} for status in (200, 201, 202, 204, 299)))
        == [None] * 5
    )


async def test_retry_after_is_honoured_in_seconds_and_as_a_date(receiver: ReceivingServer) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    throttled, unavailable = await answers_to(
        receiver,
        {"status": 429, "headers": {"Retry-After": "7"}},
        {"status": 503, "headers": {"Retry-After": date}},
    )
    assert isinstance(throttled, RetryLater)
    assert isinstance(unavailable, RetryLater)
    assert throttled.after_seconds == 7
    assert unavailable.after_seconds is not None
    assert 20 < unavailable.after_seconds <= 30


def test_retry_after_is_never_negative_never_absurd_and_never_a_crash() -> None:
    now = datetime(2026, 9, 21, tzinfo=UTC)
    values = [
        "-5",
        "5",
        "99999999999",
        "Mon, 21 Sep 2026 00:01:00 GMT",
        "Mon, 21 Sep 2020 00:00:00 GMT",
        "soon",
        "",
        "½",
        "1e3",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        None,
    ]
    assert [parse_retry_after(value, now) for value in values] == [
        None,
        5.0,
        RETRY_AFTER_LIMIT_SECONDS,
        60.0,
        0.0,
        None,
        None,
        None,
        None,
        None,
        None,
    ]


async def test_one_poisoned_record_among_5000_is_isolated_in_few_requests(
    receiver: ReceivingServer,
) -> None:
    lines = lines_of(5000)
    lines[3210] = b'{"poisoned":"hemlock"}'
    receiver.order(poison="hemlock")
    async with http.build(options_for(receiver.url)) as sink:
        rejected = await delivery(sink).send(batch_of(lines, batch_id="b1"))
    assert [(record.index, record.reason) for record in rejected] == [(3210, "bad_request")]
    assert len(receiver.requests()) <= 2 * math.ceil(math.log2(5000)) + 2
    assert sorted(receiver.read_kept_lines()) == sorted(lines[:3210] + lines[3211:])
    assert all(
        request.key == "b1" or request.key.startswith("b1.") for request in receiver.requests()
    )


async def test_only_records_over_the_servers_limit_are_rejected(
    receiver: ReceivingServer,
) -> None:
    limit = 1000
    sizes = {10: limit, 20: limit + 1, 30: 10 * limit}
    lines = lines_of(40)
    for index, size in sizes.items():
        lines[index] = b'{"x":"' + b"x" * (size - 8) + b'"}'
    receiver.order(record_limit_bytes=limit)
    async with http.build(options_for(receiver.url)) as sink:
        rejected = await delivery(sink).send(batch_of(lines))
    assert [(record.index, record.reason) for record in rejected] == [
        (20, "too_large"),
        (30, "too_large"),
    ]
    assert receiver.read_kept_lines() == [
        line for index, line in enumerate(lines) if index not in {20, 30}
    ]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Bearer(token=Secret("hunter2")), "Authorization", "Bearer hunter2"),
        (
            Basic(username="me", password=Secret("pä:ss")),
            "Authorization",
            "Basic " + base64.b64encode("me:pä:ss".encode()).decode(),
        ),
        (Header(name="X-Api-Key", value=Secret("hunter2")), "X-Api-Key", "hunter2"),
    ],
)
async def test_each_kind_of_credentials_goes_into_its_header(
    receiver: ReceivingServer, auth: Bearer, header: str, value: str
) -> None:
    async with http.build(options_for(receiver.url, auth=auth)) as sink:
        await sink.send(batch_of(lines_of(1)))
    assert receiver.requests()[0].headers[header] == value
    assert receiver.requests("HEAD")[0].headers[header] == value


async def test_an_oauth2_token_is_fetched_once_and_again_when_it_is_rejected(
    receiver: ReceivingServer,
) -> None:
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/_token",
        client_id="client id",
        client_secret=Secret("client/secret"),
        scope="write",
    )
    async with http.build(options_for(receiver.url, auth=auth)) as sink:
        await sink.send(batch_of(lines_of(1), batch_id="b1"))
        await sink.send(batch_of(lines_of(1), batch_id="b2"))
        receiver.order(answers=[{"status": 401}])
        await delivery(sink).send(batch_of(lines_of(1), batch_id="b3"))
    sent = [(request.key, request.headers["Authorization"]) for request in receiver.requests()]
    assert sent == [
        ("b1", "Bearer token-1"),
        ("b2", "Bearer token-1"),
        ("b3", "Bearer token-1"),
        ("b3", "Bearer token-2"),
    ]


async def test_an_oauth2_token_is_renewed_before_it_expires(receiver: ReceivingServer) -> None:
    receiver.order(token_seconds=5)  # less than the reserve: good for one request
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/_token",
        client_id="client id",
        client_secret=Secret("client/secret"),
    )
    async with http.build(options_for(receiver.url, auth=auth, probe=False)) as sink:
        await sink.send(batch_of(lines_of(1), batch_id="b1"))
    assert receiver.requests()[0].headers["Authorization"] == "Bearer token-2"


async def test_a_wrong_oauth2_client_is_retried_and_its_secret_not_repeated(
    receiver: ReceivingServer,
) -> None:
    auth = OAuth2(
        token_url=f"http://127.0.0.1:{receiver.port}/_token",
        client_id="client id",
        client_secret=Secret("hunter2"),
    )
    with pytest.raises(RetryLater, match="token endpoint answered 401") as caught:
        await http.build(options_for(receiver.url, auth=auth)).__aenter__()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "empty"),
        (b"two\nlines", "not one line"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "No such file"),
    ],
)
async def test_a_file_without_a_credential_is_retried_and_not_quoted(
    tmp_path: Path, held: bytes | None, said: str
) -> None:
    file = tmp_path / "token"
    if held is not None:
        file.write_bytes(held)
    sink = http.build(options_for("http://127.0.0.1:1/", auth=Bearer(token_file=str(file))))
    with pytest.raises(RetryLater, match=f"token_file {file}.*{said}") as caught:
        await sink.__aenter__()
    assert "two" not in str(caught.value)


async def test_a_signature_follows_standard_webhooks(receiver: ReceivingServer) -> None:
    key = b"0123456789abcdef01234567"
    signature = Signature(secret=Secret("whsec_" + base64.b64encode(key).decode()))
    async with http.build(options_for(receiver.url, signature=signature)) as sink:
        await sink.send(batch_of(lines_of(10), batch_id="b77"))
    (request,) = receiver.requests()
    assert request.headers["webhook-id"] == "b77"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    signed = b"b77." + request.headers["webhook-timestamp"].encode() + b"." + request.body
    assert (
        request.headers["webhook-signature"]
        == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    )


async def test_seventy_percent_of_failing_requests_lose_nothing(receiver: ReceivingServer) -> None:
    lines = lines_of(300)
    statuses = [503, 429, 502, 200, 500, 503, 503, 200, 504, 429, 200]
    receiver.order(answers=[{"status": status} for status in statuses])
    world = World()
    async with http.build(options_for(receiver.url)) as sink:
        for start in range(0, 300, 100):
            await delivery(sink, world).send(
                batch_of(lines[start : start + 100], batch_id=f"b{start}")
            )
    assert receiver.read_kept_lines() == lines
    assert [request.status for request in receiver.requests()] == statuses


async def test_a_name_that_does_not_resolve_is_retried() -> None:
    with pytest.raises(RetryLater, match=r"dns: the name of http://nowhere\.invalid"):
        await http.build(options_for("http://nowhere.invalid/ingest")).__aenter__()


async def test_a_port_where_nothing_listens_is_retried() -> None:
    with pytest.raises(RetryLater, match="network: the connection to"):
        await http.build(options_for(f"http://127.0.0.1:{free_port()}/ingest")).__aenter__()


async def test_the_proxy_of_the_environment_is_used_but_not_netrc(
    receiver: ReceivingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{receiver.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    async with http.build(options_for("http://far.invalid/ingest")) as sink:
        await sink.send(batch_of(lines_of(1)))
    (request,) = receiver.requests()
    assert request.headers["Host"] == "far.invalid"
    assert "Authorization" not in request.headers


async def test_disabled_verification_is_logged_at_each_start(receiver: ReceivingServer) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            async with http.build(options_for(receiver.url, tls=TlsOptions(verify=False))):
                pass
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "sink.tls_unverified"
    ] * 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "host/path",
        "https://",
        "https://user:pass@host/",
        "https://host:99999/",
        "http://[::1",
    ],
)
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        options_for(url)


@pytest.mark.parametrize("given", [{}, {"token": Secret("a"), "token_file": "b"}])
def test_a_credential_must_be_given_exactly_once(given: dict[str, Secret]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Bearer(**given)


def test_the_destination_is_named_without_its_query() -> None:
    assert (
        http.SINK_TYPE.destination(options_for("https://host:8443/a/b?token=hunter2"))
        == "http:https://host:8443/a/b"
    )


def test_s3_is_not_imported_by_the_others() -> None:
    names = ("http", "directory", "stdout", "object_store.s3")
    modules = ", ".join(f"tracesidecar.sinks.{name}.sink" for name in names)
    code = f"import sys, {modules}; print('boto3' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.stdout == "False\n"
