"""What the S3 sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.contract.batches import batch_of, lines_of
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, IgnorantStore, ObjectStore
from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch
from tracesidecar.sinks.object_store.client import PROBE
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.object_store.s3.checksums import checksum
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.units import Seconds, Secret, Size

PROBE_KEY = f"agents/{PROBE.name}"


def options_for(url: str, **changes: object) -> s3.Options:
    usual = s3.Options(
        name="lake",
        type="s3",
        bucket=BUCKET,
        prefix="agents/",
        endpoint_url=url,
        path_style=True,
        access_key=Secret(ACCESS_KEY),
        secret_key=Secret(SECRET),
        timeout=Seconds(60),
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
async def sink(object_store: ObjectStore) -> AsyncIterator[ObjectStoreSink]:
    async with s3.build(options_for(object_store.url)) as sink:
        yield sink


def key_of(batch: Batch) -> str:
    return f"agents/{batch.objects[0].name}"


def large_batch(parts: int) -> Batch:
    """Make a batch with one object of this many parts of 5 MiB, the last one shorter."""
    lines = lines_of((parts - 1) * 5 + 1, size_bytes=1 << 20)
    return batch_of(lines, compression="none")


def is_called_unconditional(logs: list[EventDict]) -> bool:
    return "sink.unconditional" in {
        entry["event"] for entry in logs if entry["log_level"] == "warning"
    }


async def test_an_object_and_its_manifest_lie_under_the_prefix_with_their_digests(
    object_store: ObjectStore, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(100), with_manifest=True)
    assert batch.manifest is not None
    await sink.send(batch)
    contents = {
        key_of(batch): batch.objects[0].content,
        f"agents/{batch.manifest.name}": batch.manifest.content,
        PROBE_KEY: PROBE.content,
    }
    assert object_store.objects() == contents
    head = object_store.client().head_object(Bucket=BUCKET, Key=key_of(batch))
    assert head["Metadata"] == {
        "tracesidecar-sha256": batch.objects[0].sha256.hex(),
        "tracesidecar-batch": batch.id,
    }
    assert head["ContentType"] == "application/gzip"


async def test_a_name_with_other_content_stops_the_sink_and_is_not_touched(
    object_store: ObjectStore, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    object_store.client().put_object(Bucket=BUCKET, Key=key_of(batch), Body=b"somebody else's")
    with pytest.raises(SinkStopped, match="other_content"):
        await sink.send(batch)
    assert object_store.objects()[key_of(batch)] == b"somebody else's"


async def test_what_an_earlier_plan_wrote_under_the_name_counts_as_delivered(
    object_store: ObjectStore, sink: ObjectStoreSink
) -> None:
    earlier, later = batch_of(lines_of(10)), batch_of(lines_of(10, mark="after the upgrade"))
    await sink.send(earlier)
    payload = replace(
        later.objects[0], planned=(earlier.objects[0].sha256, later.objects[0].sha256)
    )
    await sink.send(replace(later, objects=(payload,)))
    assert object_store.objects()[key_of(earlier)] == earlier.objects[0].content


async def test_an_equal_object_without_our_metadata_is_known_by_its_checksum(
    object_store: ObjectStore, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    object_store.client().put_object(
        Bucket=BUCKET, Key=key_of(batch), Body=batch.objects[0].content, ChecksumAlgorithm="SHA256"
    )
    await sink.send(batch)


async def test_sixteen_senders_at_once_make_one_object(object_store: ObjectStore) -> None:
    batch = batch_of(lines_of(100))
    sinks = [s3.build(options_for(object_store.url)) for _ in range(16)]
    await asyncio.gather(*(sink.__aenter__() for sink in sinks))

    async def send(sink: ObjectStoreSink) -> bool:
        try:
            await sink.send(batch)
        except RetryLater:
            return False  # two at the same moment: 409, and it may try again
        return True

    sent = await asyncio.gather(*(send(sink) for sink in sinks))
    for sink in sinks:
        await sink.__aexit__(None, None, None)
    assert any(sent)
    assert object_store.objects() == {
        key_of(batch): batch.objects[0].content,
        PROBE_KEY: PROBE.content,
    }


async def test_many_parts_make_one_object_and_a_repeat_leaves_no_open_upload(
    object_store: ObjectStore,
) -> None:
    batch = large_batch(3)
    async with s3.build(
        options_for(object_store.url, multipart_above=Size(5 << 20), part_size=Size(5 << 20))
    ) as sink:
        await sink.send(batch)
        await sink.send(batch)
    assert object_store.objects()[key_of(batch)] == batch.objects[0].content
    assert object_store.open_uploads() == []


async def test_many_parts_over_another_content_stop_the_sink_and_leave_no_open_upload(
    object_store: ObjectStore,
) -> None:
    batch = large_batch(2)
    object_store.client().put_object(Bucket=BUCKET, Key=key_of(batch), Body=b"somebody else's")
    async with s3.build(
        options_for(object_store.url, multipart_above=Size(5 << 20), part_size=Size(5 << 20))
    ) as sink:
        with pytest.raises(SinkStopped):
            await sink.send(batch)
    assert object_store.open_uploads() == []


async def test_an_upload_that_a_crash_left_open_is_aborted_when_its_object_is_sent_again(
    object_store: ObjectStore,
) -> None:
    batch = large_batch(2)
    object_store.client().create_multipart_upload(Bucket=BUCKET, Key=key_of(batch))
    other = "agents/raw/v1/dt=2026-09-21/other-host.jsonl"
    object_store.client().create_multipart_upload(Bucket=BUCKET, Key=other)
    async with s3.build(
        options_for(object_store.url, multipart_above=Size(5 << 20), part_size=Size(5 << 20))
    ) as sink:
        assert sorted(object_store.open_uploads()) == sorted([other, key_of(batch)])
        await sink.send(batch)
    assert object_store.open_uploads() == [other]


async def test_an_upload_of_more_than_a_day_ago_is_aborted_at_start(
    object_store: ObjectStore,
) -> None:
    object_store.client().create_multipart_upload(Bucket=BUCKET, Key="agents/lost.jsonl")
    object_store.client().create_multipart_upload(Bucket=BUCKET, Key="elsewhere/lost.jsonl")
    two_days_ago = time.time() - 2 * 86400
    for path in (object_store.folder / "root").rglob("*"):
        if stat.S_ISDIR(path.stat().st_mode):
            os.utime(path, (two_days_ago, two_days_ago))
    async with s3.build(options_for(object_store.url)):
        pass
    assert object_store.open_uploads() == ["elsewhere/lost.jsonl"]


async def test_a_store_that_ignores_the_condition_is_found_out_and_gets_each_object_once(
    ignorant_store: IgnorantStore,
) -> None:
    batch = batch_of(lines_of(100))
    with capture_logs() as logs:
        async with s3.build(options_for(ignorant_store.url)) as sink:
            await sink.send(batch)
            await sink.send(batch)
    assert is_called_unconditional(logs)
    assert ignorant_store.objects() == {
        key_of(batch): batch.objects[0].content,
        PROBE_KEY: PROBE.content,
    }


async def test_a_store_that_honours_the_condition_is_found_out(object_store: ObjectStore) -> None:
    with capture_logs() as logs:
        async with s3.build(options_for(object_store.url)):
            pass
    assert not is_called_unconditional(logs)


async def test_exists_knows_names_below_the_prefix(sink: ObjectStoreSink) -> None:
    batch = batch_of(lines_of(3))
    assert not await sink.exists(batch.objects[0].name)
    await sink.send(batch)
    assert await sink.exists(batch.objects[0].name)


async def test_a_missing_bucket_is_retried_and_named(object_store: ObjectStore) -> None:
    missing = options_for(object_store.url, bucket="not-there")
    with pytest.raises(
        RetryLater,
        match=(
            r"not_found: bucket not-there at http://127\.0\.0\.1:[0-9]+ answered 404 "
            r"NoSuchBucket: there is no such bucket"
        ),
    ):
        await s3.build(missing).__aenter__()


async def test_an_unknown_access_key_is_retried_and_not_named(object_store: ObjectStore) -> None:
    options = options_for(object_store.url, access_key=Secret("AKIAUNKNOWN"))
    with pytest.raises(RetryLater, match="credentials") as caught:
        await s3.build(options).__aenter__()
    assert "AKIAUNKNOWN" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_credentials_file_without_the_profile_is_retried(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        "[other]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    options = options_for(
        object_store.url,
        access_key=None,
        secret_key=None,
        credentials_file=str(tmp_path / "credentials"),
    )
    with pytest.raises(RetryLater, match="credentials"):
        await s3.build(options).__aenter__()


async def test_credentials_that_may_only_put_are_enough(object_store: ObjectStore) -> None:
    """A user whose bucket policy allows neither reading nor listing. An existing object is taken on
    trust, and the log says so.
    """
    object_store.add_user("putter", "putter-secret-123456")
    object_store.allow("putter", ["s3:PutObject"])
    batch = batch_of(lines_of(10))
    options = options_for(
        object_store.url, access_key=Secret("putter"), secret_key=Secret("putter-secret-123456")
    )
    with capture_logs() as logs:
        async with s3.build(options) as sink:
            await sink.send(batch)
            await sink.send(batch)
            with pytest.raises(RetryLater, match="denied"):
                await sink.exists(batch.objects[0].name)
    assert object_store.objects()[key_of(batch)] == batch.objects[0].content
    assert "sink.repeat_unread" in {
        entry["event"] for entry in logs if entry["log_level"] == "warning"
    }


def answer(status: int, code: str = "", **headers: str) -> dict[str, Any]:
    body = (
        f"<Error><Code>{code}</Code><Message>secret words of the server</Message></Error>"
        if code
        else ""
    )
    return {
        "status": status,
        "body": body,
        "headers": {"Content-Type": "application/xml", **headers},
    }


TAKEN = answer(412, "PreconditionFailed")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([answer(409, "ConditionalRequestConflict")], "conflict"),
        ([answer(403, "RequestTimeTooSkewed")], "clock"),
        ([answer(400, "ExpiredToken")], "credentials"),
        ([answer(403, "AccessDenied")], "denied"),
        ([answer(403, "SignatureDoesNotMatch")], "credentials"),
        ([answer(503, "SlowDown")], "throttled"),
        ([answer(429, "TooManyRequests")], "throttled"),
        ([answer(500, "InternalError")], "unavailable"),
        ([answer(502)], "unavailable"),
        ([answer(400, "BadDigest")], "checksum"),
        ([answer(400, "SomethingNew")], "status"),
        ([{"status": 200, "headers": {"x-amz-checksum-sha256": "AAAA"}}], "checksum"),
        ([answer(200), {"status": 200, "headers": {"Content-Length": "1"}}], "checksum"),
        ([TAKEN, answer(404)], "conflict"),
        ([TAKEN, answer(503)], "unavailable"),
    ],
)
async def test_what_time_or_a_person_can_fix_is_retried(
    receiver: ReceivingServer, answers: list[dict[str, Any]], reason: str
) -> None:
    receiver.order(
        every_method=True, answers=[TAKEN, answer(403, "AccessDenied"), *answers]
    )  # the probe, the listing of uploads, and what is sent
    async with s3.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.reason == reason
    assert "secret words" not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_an_object_of_ours_that_was_stored_short_is_never_taken_for_whole(
    receiver: ReceivingServer,
) -> None:
    batch = batch_of(lines_of(3))
    short = {
        "status": 200,
        "headers": {
            "Content-Length": "1",
            "x-amz-meta-tracesidecar-sha256": batch.objects[0].sha256.hex(),
        },
    }
    receiver.order(
        every_method=True, answers=[TAKEN, answer(403), answer(200), short, TAKEN, short]
    )
    async with s3.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(RetryLater, match="checksum"):
            await sink.send(batch)
        with pytest.raises(SinkStopped):
            await sink.send(batch)


async def test_a_throttled_store_says_when_to_come_back(receiver: ReceivingServer) -> None:
    receiver.order(
        every_method=True,
        answers=[TAKEN, answer(403), answer(503, "SlowDown", **{"Retry-After": "9"})],
    )
    async with s3.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.after_seconds == 9


async def test_a_complete_that_is_answered_200_with_an_error_counts_as_failed_and_aborts(
    receiver: ReceivingServer,
) -> None:
    upload = (
        "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    )
    part = {"status": 200, "headers": {"ETag": '"e"'}}
    receiver.order(
        every_method=True,
        answers=[
            TAKEN,
            answer(403),
            answer(403),
            {"status": 200, "body": upload},
            part,
            part,
            answer(200, "InternalError"),
        ],
    )
    batch = large_batch(2)
    options = options_for(
        f"http://127.0.0.1:{receiver.port}", multipart_above=Size(5 << 20), part_size=Size(5 << 20)
    )
    async with s3.build(options) as sink:
        with pytest.raises(RetryLater, match="unavailable"):
            await sink.send(batch)
    assert [request.path.partition("?")[2] for request in receiver.requests("DELETE")] == [
        "uploadId=u1"
    ]


async def test_a_store_that_rejects_the_condition_is_written_to_without_it(
    receiver: ReceivingServer,
) -> None:
    not_implemented = answer(501, "NotImplemented")
    batch = batch_of(lines_of(3))
    receiver.order(
        every_method=True,
        answers=[
            not_implemented,
            not_implemented,
            answer(200),
            answer(403),
            answer(
                200, **{"x-amz-checksum-sha256": checksum("sha256").of(batch.objects[0].content)}
            ),
        ],
    )
    with capture_logs() as logs:
        async with s3.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
            await sink.send(batch)
    assert is_called_unconditional(logs)
    assert ["If-None-Match" in request.headers for request in receiver.requests("PUT")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "s3://traces"},
        {"bucket": "traces/agents"},
        {"endpoint_url": "127.0.0.1:9000"},
        {"endpoint_url": "https://key:secret@host"},
        {"secret_key": None},
        {"credentials_file": "/somewhere"},
        {"part_size": Size(1 << 20)},
    ],
)
def test_impossible_options_are_rejected(changes: dict[str, object]) -> None:
    usual = s3.Options(
        name="lake", type="s3", bucket=BUCKET, access_key=Secret("a"), secret_key=Secret("b")
    )
    with pytest.raises(ValueError, match=next(iter(changes)).partition("_key")[0]):
        msgspec.structs.replace(usual, **changes)


def test_the_destination_is_endpoint_bucket_and_prefix() -> None:
    assert (
        s3.destination(options_for("http://127.0.0.1:9000"))
        == "s3:http://127.0.0.1:9000/traces/agents"
    )


STUCK = """
import asyncio, socket
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.units import Seconds, Secret

async def main():
    # accepts connections and never answers
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        keys = {"access_key": Secret("a"), "secret_key": Secret("b")}
        waits = {"timeout": Seconds(3600), "connect_timeout": Seconds(3600)}
        options = s3.Options(
            name="lake", type="s3", bucket="traces", endpoint_url=url, **keys, **waits
        )
        sink = s3.build(options)
        try:
            await asyncio.wait_for(sink.__aenter__(), timeout=1)
        except TimeoutError:
            print("given up", flush=True)

asyncio.run(main())
"""


def test_a_stuck_store_does_not_keep_the_process_from_ending() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"given up\n"
        assert process.wait(timeout=120) == 0
