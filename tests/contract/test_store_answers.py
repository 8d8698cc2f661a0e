"""Answers of stores that acknowledge nothing: pages, and 400 to our checksums and conditions."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.contract import test_azure, test_gcs, test_s3
from tests.contract.batches import batch_of, lines_of
from tests.servers.azurite import ACCOUNT, Azurite
from tests.servers.google_storage import GoogleStorage
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import ACCESS_KEY, SECRET, ObjectStore
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.object_store.azure import sink as azure
from tracesidecar.sinks.object_store.gcs import sink as gcs
from tracesidecar.sinks.object_store.objects import RemoteObjects
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.units import Secret, Size

PAGE = "<!DOCTYPE html><html><head><title>Log on</title></head><body>Who are you?</body></html>"
LOGIN = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": PAGE}
STORES = ("azure", "gcs", "s3")
CONDITION_HEADERS = {"if-none-match", "ifgenerationmatch"}


def sink_for(store: str, port: int, **changes: object) -> ObjectStoreSink:
    url = f"http://127.0.0.1:{port}"
    if store == "azure":
        return azure.build(test_azure.options_for(f"{url}/{ACCOUNT}", "traces", **changes))
    if store == "gcs":
        return gcs.build(test_gcs.options_for(url, **changes))
    return s3.build(test_s3.options_for(url, **changes))


def rejection(store: str, message: str, status: int = 400, code: str = "InvalidArgument") -> Any:
    """Make the answer of a store that rejects a request."""
    if store == "gcs":
        error = {"code": status, "message": message, "errors": [{"reason": "invalid"}]}
        return {
            "status": status,
            "body": json.dumps({"error": error}),
            "headers": {"Content-Type": "application/json"},
        }
    return {
        "status": status,
        "body": f"<Error><Code>{code}</Code><Message>{message}</Message></Error>",
        "headers": {"Content-Type": "application/xml", "x-ms-error-code": code},
    }


async def error_at_the_start(receiver: ReceivingServer, store: str, answer: Any) -> str:
    receiver.order(every_method=True, answers=[answer])
    with pytest.raises(RetryLater) as caught:
        await sink_for(store, receiver.port).__aenter__()
    return str(caught.value)


async def error_of_a_batch(receiver: ReceivingServer, store: str, *answers: Any) -> str:
    taken = {
        "azure": [test_azure.TAKEN],
        "gcs": [test_gcs.TAKEN],
        "s3": [test_s3.TAKEN, test_s3.answer(403, "AccessDenied")],
    }[store]
    receiver.order(every_method=True, answers=[*taken, *answers])
    async with sink_for(store, receiver.port) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    return str(caught.value)


@pytest.mark.parametrize("store", STORES)
async def test_a_login_page_is_no_stored_object(receiver: ReceivingServer, store: str) -> None:
    for said in (
        await error_at_the_start(receiver, store, LOGIN),
        await error_of_a_batch(receiver, store, LOGIN, LOGIN, LOGIN),
    ):
        assert f"text/html, {len(PAGE)} bytes, beginning '{PAGE[:80]}'" in said


async def test_a_login_page_is_no_part_of_an_object(receiver: ReceivingServer) -> None:
    receiver.order(
        every_method=True,
        answers=[test_s3.TAKEN, *[test_s3.answer(403, "AccessDenied")] * 2, LOGIN, LOGIN, LOGIN],
    )
    async with sink_for("s3", receiver.port, multipart_above=Size(1)) as sink:
        with pytest.raises(RetryLater, match="not S3's"):
            await sink.send(batch_of(lines_of(3)))


@pytest.mark.parametrize("store", ["azure", "s3"])
async def test_a_login_page_is_no_sign_that_an_object_exists(
    receiver: ReceivingServer, store: str
) -> None:
    page = {**LOGIN, "headers": {"Content-Type": "text/html", "ETag": '"page"'}}
    receiver.order(
        every_method=True, answers=[test_s3.TAKEN if store == "s3" else test_azure.TAKEN]
    )
    async with sink_for(store, receiver.port) as sink:
        receiver.order(every_method=True, answers=[page])
        with pytest.raises(RetryLater, match="the response was not"):
            await sink.exists("raw/v1/x.jsonl.gz")


def objects_in(store: str, receiver: ReceivingServer) -> RemoteObjects:
    url = f"http://127.0.0.1:{receiver.port}"
    return {
        "azure": lambda: azure.open_objects(test_azure.options_for(f"{url}/{ACCOUNT}", "traces")),
        "gcs": lambda: gcs.open_objects(test_gcs.options_for(url)),
        "s3": lambda: s3.open_objects(test_s3.options_for(url)),
    }[store]()


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", "[]"),
        ("application/json", '"a word"'),
        ("application/json", '{"error":"who is this?"}'),
        ("application/json", '{"kind":"sto'),
        ("application/xml", "<html><body/></html>"),
        ("application/xml", "<ListBucketRes"),
        ("text/plain", "who is this?"),
    ],
)
async def test_an_answer_of_another_protocol_is_never_an_unexpected_error(
    receiver: ReceivingServer, store: str, media_type: str, body: str
) -> None:
    answer = {"status": 200, "headers": {"Content-Type": media_type}, "body": body}
    receiver.order(every_method=True, answers=[answer] * 3)
    with suppress(RetryLater):
        await sink_for(store, receiver.port).__aenter__()
    objects = objects_in(store, receiver)
    receiver.order(every_method=True, answers=[answer])
    with suppress(RetryLater):
        assert await asyncio.to_thread(list, objects.list("")) == []
    receiver.order(every_method=True, answers=[answer] * 3)
    with suppress(RetryLater):
        await asyncio.to_thread(list, objects.read("raw/v1/x.jsonl.gz"))
    objects.close()


@pytest.mark.parametrize("store", STORES)
async def test_a_login_page_is_not_read_as_an_object(receiver: ReceivingServer, store: str) -> None:
    """`verify` would otherwise report an object that was altered."""
    objects = objects_in(store, receiver)
    receiver.order(every_method=True, answers=[LOGIN, LOGIN, LOGIN])
    with pytest.raises(RetryLater):
        await asyncio.to_thread(list, objects.read("raw/v1/x.jsonl.gz"))
    with pytest.raises(RetryLater):
        await asyncio.to_thread(list, objects.list(""))
    objects.close()


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("s3", "Header x-amz-sdk-checksum-algorithm is not understood"),
        ("s3", "If-None-Match is unsupported"),
        ("gcs", "CRC32C? No."),
        ("azure", "MD5 checksums? No."),
    ],
)
async def test_what_a_store_says_about_our_headers_is_shown_with_the_options(
    receiver: ReceivingServer, store: str, message: str
) -> None:
    for said in (
        await error_at_the_start(receiver, store, rejection(store, message)),
        await error_of_a_batch(receiver, store, rejection(store, message)),
    ):
        assert f"saying '{message}'" in said
        assert 'checksum = "none"' in said
        assert "conditional = false" in said


@pytest.mark.parametrize("store", STORES)
async def test_a_request_that_is_too_large_for_a_proxy_is_named_with_what_to_do(
    receiver: ReceivingServer, store: str
) -> None:
    """Without that, nobody knows why a sink stands still: `nginx` takes 1 MiB by default."""
    page = {"status": 413, "headers": {"Content-Type": "text/html"}, "body": PAGE}
    said = await error_of_a_batch(receiver, store, page)
    assert said.startswith("too_large: ")
    assert "part_size" in said


@pytest.mark.parametrize("store", STORES)
async def test_whatever_a_store_says_to_the_probe_is_shown_unless_it_repeats_the_request(
    receiver: ReceivingServer, store: str
) -> None:
    said = await error_at_the_start(receiver, store, rejection(store, "no can do"))
    assert "saying 'no can do'" in said
    credential = {"azure": ACCOUNT, "gcs": "_probe/conditional", "s3": ACCESS_KEY}[store]
    for message in (f"header of {credential}", "a header: _PROBE/CONDITIONAL-WRITE"):
        said = await error_at_the_start(receiver, store, rejection(store, message))
        assert "not shown, because it repeats what was sent" in said
        assert message not in said


@pytest.mark.parametrize("store", STORES)
async def test_a_message_that_quotes_a_line_is_not_shown(
    receiver: ReceivingServer, store: str
) -> None:
    quoted = lines_of(3)[1].decode()[20:60].replace('"', "'")
    said = await error_of_a_batch(
        receiver, store, rejection(store, f"checksum of {quoted} is unsupported")
    )
    assert "not shown, because it repeats what was sent" in said
    assert quoted not in said
    said = await error_of_a_batch(receiver, store, rejection(store, "words about something else"))
    assert "words about" not in said


def headers_of(receiver: ReceivingServer, *methods: str) -> set[str]:
    return {
        part.lower()
        for method in methods
        for request in receiver.requests(method)
        for part in (*request.headers, *request.path.replace("?", "&").replace("=", "&").split("&"))
    }


@pytest.mark.parametrize("store", STORES)
async def test_without_checksum_and_condition_no_header_of_either_is_sent(
    receiver: ReceivingServer, store: str
) -> None:
    batch = batch_of(lines_of(3))
    stored = {
        "azure": [test_azure.answer(201), test_azure.answer(201)],
        "gcs": [
            test_gcs.answer_stored(size=101),
            test_gcs.answer_stored(size=len(batch.objects[0].content)),
        ],
        "s3": [test_s3.answer(200), test_s3.answer(403), test_s3.answer(200), test_s3.answer(403)],
    }[store]
    if store == "gcs":
        from tracesidecar.sinks.object_store.client import PROBE

        stored[0] = test_gcs.answer_stored(size=len(PROBE.content))
    receiver.order(every_method=True, answers=stored)
    with capture_logs() as logs:
        async with sink_for(store, receiver.port, checksum="none", conditional=False) as sink:
            await sink.send(batch)
    sent = headers_of(receiver, "PUT", "POST", "HEAD")
    assert not sent & CONDITION_HEADERS
    assert not {name for name in sent if "checksum" in name or "md5" in name or "crc" in name}
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["sink.unconditional"]


async def test_without_checksum_and_condition_objects_arrive_in_a_real_store(
    object_store: ObjectStore,
) -> None:
    options = test_s3.options_for(object_store.url, checksum="none", conditional=False)
    batch, large = batch_of(lines_of(100)), test_s3.large_batch(2)
    async with s3.build(options) as sink:
        await sink.send(batch)
        await sink.send(batch)
    parts = test_s3.options_for(
        object_store.url,
        checksum="none",
        conditional=False,
        multipart_above=Size(5 << 20),
        part_size=Size(5 << 20),
    )
    async with s3.build(parts) as sink:
        await sink.send(large)
    objects = object_store.objects()
    assert objects[test_s3.key_of(batch)] == batch.objects[0].content
    assert objects[test_s3.key_of(large)] == large.objects[0].content
    assert object_store.open_uploads() == []


async def test_without_checksum_and_condition_blobs_arrive_in_other_real_stores(
    azurite: Azurite, google_storage: GoogleStorage
) -> None:
    batch = batch_of(lines_of(100))
    without: dict[str, Any] = {"checksum": "none", "conditional": False}
    for sink in (
        azure.build(test_azure.options_for(azurite.url, azurite.container, **without)),
        gcs.build(test_gcs.options_for(google_storage.open_url, **without)),
    ):
        async with sink:
            await sink.send(batch)
            await sink.send(batch)
            assert await sink.exists(batch.objects[0].name)
    assert google_storage.objects()[test_gcs.key_of(batch)] == batch.objects[0].content
    assert azurite.objects()[test_azure.key_in(batch)] == batch.objects[0].content


def test_object_lock_needs_a_checksum() -> None:
    with pytest.raises(ValueError, match="object_lock needs a checksum"):
        test_s3.options_for("http://h:1", checksum="none", object_lock=s3_lock())
    assert SECRET not in str(test_s3.options_for("http://h:1", secret_key=Secret(SECRET)))


def s3_lock() -> Any:
    from tracesidecar.sinks.object_store.s3.options import ObjectLock

    return ObjectLock(legal_hold=True)
