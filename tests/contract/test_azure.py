"""What the azure sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from structlog.testing import capture_logs

from tests.contract.batches import batch_of, lines_of
from tests.servers.azurite import ACCOUNT, Azurite, key_of
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET
from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch
from tracesidecar.sinks.object_store.azure import sink as azure
from tracesidecar.sinks.object_store.azure.options import account_of
from tracesidecar.sinks.object_store.client import PROBE
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret, Size

PROBE_KEY = f"agents/{PROBE.name}"
KEY = Secret(key_of(SECRET))


def options_for(url: str | None, container: str, **changes: object) -> azure.Options:
    usual = azure.Options(
        name="lake",
        type="azure",
        prefix="agents/",
        account_url="https://myaccount.blob.core.windows.net",
        container=container,
        account_key=KEY,
        timeout=Seconds(60),
    )
    return msgspec.structs.replace(usual, account_url=url, **changes)


@pytest.fixture
async def sink(azurite: Azurite) -> AsyncIterator[ObjectStoreSink]:
    async with azure.build(options_for(azurite.url, azurite.container)) as sink:
        yield sink


def key_in(batch: Batch) -> str:
    return f"agents/{batch.objects[0].name}"


def signature_for(azurite: Azurite, *, ends: timedelta = timedelta(hours=1)) -> Secret:
    """Make a signature that may create blobs and do nothing else."""
    allowed = ContainerSasPermissions(create=True)
    return Secret(
        generate_container_sas(
            ACCOUNT,
            azurite.container,
            account_key=KEY,
            permission=allowed,
            expiry=datetime.now(UTC) + ends,
        )
    )


async def test_a_blob_and_its_manifest_lie_under_the_prefix_with_their_digests(
    azurite: Azurite, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(100), with_manifest=True)
    assert batch.manifest is not None
    await sink.send(batch)
    contents = {
        key_in(batch): batch.objects[0].content,
        f"agents/{batch.manifest.name}": batch.manifest.content,
        PROBE_KEY: PROBE.content,
    }
    assert azurite.objects() == contents
    properties = azurite.client().get_blob_client(key_in(batch)).get_blob_properties()
    assert properties.metadata == {
        "tracesidecar_sha256": batch.objects[0].sha256.hex(),
        "tracesidecar_batch": batch.id,
    }
    assert properties.content_settings.content_type == "application/gzip"


async def test_a_name_with_other_content_stops_the_sink_and_is_not_touched(
    azurite: Azurite, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    azurite.client().upload_blob(key_in(batch), b"somebody else's")
    with pytest.raises(SinkStopped, match="other_content"):
        await sink.send(batch)
    assert azurite.objects()[key_in(batch)] == b"somebody else's"


async def test_what_an_earlier_plan_wrote_under_the_name_counts_as_delivered(
    azurite: Azurite, sink: ObjectStoreSink
) -> None:
    earlier, later = batch_of(lines_of(10)), batch_of(lines_of(10, mark="after the upgrade"))
    await sink.send(earlier)
    payload = replace(
        later.objects[0], planned=(earlier.objects[0].sha256, later.objects[0].sha256)
    )
    await sink.send(replace(later, objects=(payload,)))
    assert azurite.objects()[key_in(earlier)] == earlier.objects[0].content


async def test_an_equal_blob_without_our_metadata_is_known_by_its_checksum(
    azurite: Azurite, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    azurite.client().upload_blob(key_in(batch), batch.objects[0].content)
    await sink.send(batch)


async def test_eight_senders_at_once_make_one_blob(azurite: Azurite) -> None:
    batch = batch_of(lines_of(100))
    sinks = [azure.build(options_for(azurite.url, azurite.container)) for _ in range(8)]
    await asyncio.gather(*(sink.__aenter__() for sink in sinks))
    await asyncio.gather(*(sink.send(batch) for sink in sinks))
    for sink in sinks:
        await sink.__aexit__(None, None, None)
    assert azurite.objects() == {key_in(batch): batch.objects[0].content, PROBE_KEY: PROBE.content}


async def test_a_large_blob_is_made_of_blocks_once_and_never_over_another(azurite: Azurite) -> None:
    batch, other = (
        batch_of(lines_of(5, size_bytes=1 << 20, mark=mark), compression="none")
        for mark in ("large", "other")
    )
    options = options_for(
        azurite.url, azurite.container, blocks_above=Size(4 << 20), block_size=Size(2 << 20)
    )
    async with azure.build(options) as sink:
        await sink.send(batch)
        await sink.send(batch)
        with pytest.raises(SinkStopped):
            await sink.send(other)
    assert azurite.objects()[key_in(batch)] == batch.objects[0].content
    committed, _ = azurite.client().get_blob_client(key_in(batch)).get_block_list()
    assert [block.size for block in committed] == [
        2 << 20,
        2 << 20,
        len(batch.objects[0].content) - (4 << 20),
    ]


async def test_exists_knows_names_below_the_prefix(sink: ObjectStoreSink) -> None:
    batch = batch_of(lines_of(3))
    assert not await sink.exists(batch.objects[0].name)
    await sink.send(batch)
    assert await sink.exists(batch.objects[0].name)


async def test_a_connection_string_says_where_and_who(azurite: Azurite) -> None:
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint={azurite.url};"
    )
    batch = batch_of(lines_of(3))
    async with azure.build(
        options_for(None, azurite.container, account_key=None, connection_string=Secret(text))
    ) as sink:
        await sink.send(batch)
    assert azurite.objects()[key_in(batch)] == batch.objects[0].content


async def test_a_signature_that_may_only_create_is_enough(azurite: Azurite) -> None:
    """It may not read or list. Azurite reports a taken name like any missing right; Azure has a
    code for it, see below.
    """
    batch = batch_of(lines_of(10))
    async with azure.build(
        options_for(
            azurite.url, azurite.container, account_key=None, sas_token=signature_for(azurite)
        )
    ) as sink:
        await sink.send(batch)
        with pytest.raises(RetryLater, match="denied"):
            await sink.exists(batch.objects[0].name)
    assert azurite.objects()[key_in(batch)] == batch.objects[0].content


async def test_a_signature_that_has_ended_is_replaced_on_disk(
    azurite: Azurite, tmp_path: Path
) -> None:
    file = tmp_path / "signature"
    file.write_text(signature_for(azurite, ends=timedelta(hours=-1)))
    sink = azure.build(
        options_for(azurite.url, azurite.container, account_key=None, credentials_file=str(file))
    )
    with pytest.raises(RetryLater, match="credentials") as caught:
        await sink.__aenter__()
    assert "sig=" not in f"{caught.value!r}{caught.value.__cause__!r}"
    file.write_text(signature_for(azurite))
    async with sink:
        await sink.send(batch_of(lines_of(3)))
    assert len(azurite.objects()) == 2


def token_of_entra() -> str:
    """Make a token like Entra ID's for a managed identity, unsigned: Azurite checks issuer,
    audience and times.
    """
    now = int(time.time())
    claims = {
        "iss": "https://sts.windows.net/tenant/",
        "aud": "https://storage.azure.com",
        "iat": now,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    return ".".join(
        [*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"]
    )


async def test_a_managed_identity_gives_the_token_when_no_credentials_are_configured(
    receiver: ReceivingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on App Service, where an environment variable names the server that issues tokens."""
    grant = {
        "access_token": token_of_entra(),
        "expires_on": str(int(time.time()) + 3600),
        "resource": "https://storage.azure.com",
        "token_type": "Bearer",
    }
    receiver.order(
        every_method=True,
        answers=[
            {
                "status": 200,
                "body": json.dumps(grant),
                "headers": {"Content-Type": "application/json"},
            }
        ],
    )
    monkeypatch.setenv("IDENTITY_ENDPOINT", receiver.url)
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "server.pem").write_bytes(
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
    )
    server = Azurite(tmp_path / "azurite", certificate=tmp_path / "server.pem")
    server.start_empty()
    batch = batch_of(lines_of(3))
    async with azure.build(
        options_for(
            server.url,
            server.container,
            account_key=None,
            tls=TlsOptions(ca_file=str(tmp_path / "ca.pem")),
        )
    ) as sink:
        await sink.send(batch)
    assert server.objects()[key_in(batch)] == batch.objects[0].content
    server.stop()


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff\xfe", b"AccountName=only;"])
async def test_a_credentials_file_that_holds_none_is_retried(
    azurite: Azurite, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(RetryLater, match="credentials"):
        await azure.build(
            options_for(
                azurite.url,
                azurite.container,
                account_key=None,
                credentials_file=str(tmp_path / "key"),
            )
        ).__aenter__()


async def test_a_missing_container_is_retried_and_named(azurite: Azurite) -> None:
    with pytest.raises(
        RetryLater,
        match=(
            r"not_found: container not-there at http://127\.0\.0\.1:[0-9]+/shipper answered 404 "
            r"ContainerNotFound: there is no"
        ),
    ):
        await azure.build(options_for(azurite.url, "not-there")).__aenter__()


def answer(status: int, code: str = "", **headers: str) -> dict[str, Any]:
    body = (
        f"<Error><Code>{code}</Code><Message>secret words of the server</Message></Error>"
        if code
        else ""
    )
    return {
        "status": status,
        "body": body,
        "headers": {
            "Content-Type": "application/xml",
            **({"x-ms-error-code": code} if code else {}),
            **headers,
        },
    }


TAKEN = answer(409, "BlobAlreadyExists")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([answer(403, "AuthenticationFailed")], "credentials"),
        ([answer(401, "NoAuthenticationInformation")], "credentials"),
        ([answer(403, "AuthorizationPermissionMismatch")], "denied"),
        ([answer(404, "ContainerNotFound")], "not_found"),
        ([answer(429, "TooManyRequests")], "throttled"),
        ([answer(503, "ServerBusy")], "throttled"),
        ([answer(500, "InternalError")], "unavailable"),
        ([answer(502)], "unavailable"),
        ([answer(400, "Md5Mismatch")], "checksum"),
        ([answer(409, "ContainerBeingDeleted")], "conflict"),
        ([answer(409, "BlobImmutableDueToPolicy")], "denied"),
        ([TAKEN, answer(404, "BlobNotFound")], "conflict"),
        ([TAKEN, answer(503, "ServerBusy")], "throttled"),
    ],
)
async def test_what_time_or_a_person_can_fix_is_retried(
    receiver: ReceivingServer, answers: list[dict[str, Any]], reason: str
) -> None:
    receiver.order(every_method=True, answers=[TAKEN, *answers])
    async with azure.build(
        options_for(f"http://127.0.0.1:{receiver.port}/{ACCOUNT}", "traces")
    ) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.reason == reason
    assert "secret words" not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_a_throttled_store_says_when_to_come_back_and_gets_one_request(
    receiver: ReceivingServer,
) -> None:
    receiver.order(
        every_method=True, answers=[TAKEN, answer(503, "ServerBusy", **{"Retry-After": "9"})]
    )
    async with azure.build(
        options_for(f"http://127.0.0.1:{receiver.port}/{ACCOUNT}", "traces")
    ) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.after_seconds == 9
    assert len(receiver.requests("PUT")) == 2


async def test_who_may_only_create_sees_a_taken_name_as_a_missing_right_and_it_counts_as_delivered(
    receiver: ReceivingServer,
) -> None:
    """Azure answers like this to a signature or role that may neither overwrite nor read."""
    may_only_create, may_not_read = (
        answer(403, "UnauthorizedBlobOverwrite"),
        answer(403, "AuthorizationPermissionMismatch"),
    )
    receiver.order(every_method=True, answers=[may_only_create, may_only_create, may_not_read])
    with capture_logs() as logs:
        async with azure.build(
            options_for(f"http://127.0.0.1:{receiver.port}/{ACCOUNT}", "traces")
        ) as sink:
            await sink.send(batch_of(lines_of(3)))
    assert "sink.repeat_unread" in {
        entry["event"] for entry in logs if entry["log_level"] == "warning"
    }


async def test_each_request_has_the_condition_and_the_md5_of_its_bytes(
    receiver: ReceivingServer,
) -> None:
    receiver.order(every_method=True, answers=[answer(201), answer(201)])
    async with azure.build(
        options_for(f"http://127.0.0.1:{receiver.port}/{ACCOUNT}", "traces")
    ) as sink:
        await sink.send(batch_of(lines_of(3)))
    sent = [
        {name.lower(): value for name, value in request.headers.items()}
        for request in receiver.requests("PUT")
    ]
    assert [headers["if-none-match"] for headers in sent] == ["*", "*"]
    assert all(headers["content-md5"] == headers["x-ms-blob-content-md5"] for headers in sent)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"container": "Traces"}, "container"),
        ({"container": "traces/agents"}, "container"),
        ({"account_url": "myaccount"}, "account_url"),
        ({"account_url": "https://myaccount.blob.core.windows.net/?sig=x"}, "account_url"),
        ({"account_url": None}, "account_url or connection_string"),
        ({"sas_token": Secret("sig=x")}, "account_key and sas_token"),
        (
            {"account_url": None, "account_key": None, "connection_string": Secret("AccountKey=x")},
            "connection_string needs",
        ),
        ({"blocks_above": Size(6000 << 20)}, "blocks_above"),
    ],
)
def test_impossible_options_are_rejected(changes: dict[str, object], said: str) -> None:
    usual = azure.Options(
        name="lake",
        type="azure",
        container="traces",
        account_url="https://myaccount.blob.core.windows.net",
        account_key=Secret("a"),
    )
    with pytest.raises(ValueError, match=said):
        msgspec.structs.replace(usual, **changes)


def test_the_destination_has_account_container_and_prefix_and_no_credentials() -> None:
    text = Secret(
        "DefaultEndpointsProtocol=https;AccountName=myaccount;AccountKey=c2VjcmV0;"
        "EndpointSuffix=core.windows.net"
    )
    said = azure.destination(options_for(None, "traces", account_key=None, connection_string=text))
    assert said == "azure:https://myaccount.blob.core.windows.net/traces/agents"


def test_the_account_is_the_hosts_first_label_or_an_emulators_path() -> None:
    assert account_of("https://myaccount.blob.core.windows.net") == "myaccount"
    assert account_of("http://127.0.0.1:10000/devstoreaccount1") == "devstoreaccount1"
