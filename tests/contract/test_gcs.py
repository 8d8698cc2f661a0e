"""What the gcs sink promises beyond the contract that all sinks share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.contract.batches import batch_of, lines_of
from tests.servers.google_storage import BUCKET, SUBJECT, GoogleStorage
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import SECRET
from tracesidecar.errors import RetryLater, SinkStopped
from tracesidecar.model import Batch
from tracesidecar.sinks.object_store.client import PROBE
from tracesidecar.sinks.object_store.gcs import sink as gcs
from tracesidecar.sinks.object_store.sink import ObjectStoreSink
from tracesidecar.units import Seconds, Size

PROBE_KEY = f"agents/{PROBE.name}"


def options_for(url: str, **changes: object) -> gcs.Options:
    usual = gcs.Options(
        name="lake",
        type="gcs",
        prefix="agents/",
        endpoint_url=url,
        bucket=BUCKET,
        timeout=Seconds(60),
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
async def sink(google_storage: GoogleStorage) -> AsyncIterator[ObjectStoreSink]:
    async with gcs.build(options_for(google_storage.open_url)) as sink:
        yield sink


def key_of(batch: Batch) -> str:
    return f"agents/{batch.objects[0].name}"


def large_batch(mark: str = "large") -> Batch:
    """Make a batch whose one object is above 8 MiB."""
    return batch_of(lines_of(9, size_bytes=1 << 20, mark=mark), compression="none")


async def test_an_object_and_its_manifest_lie_under_the_prefix_with_their_digests(
    google_storage: GoogleStorage, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(100), with_manifest=True)
    assert batch.manifest is not None
    await sink.send(batch)
    contents = {
        key_of(batch): batch.objects[0].content,
        f"agents/{batch.manifest.name}": batch.manifest.content,
        PROBE_KEY: PROBE.content,
    }
    assert google_storage.objects() == contents
    blob = google_storage.bucket().get_blob(key_of(batch))
    assert blob.metadata == {
        "tracesidecar-sha256": batch.objects[0].sha256.hex(),
        "tracesidecar-batch": batch.id,
    }
    assert blob.content_type == "application/gzip"


async def test_a_name_with_other_content_stops_the_sink_and_is_not_touched(
    google_storage: GoogleStorage, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    google_storage.bucket().blob(key_of(batch)).upload_from_string(b"somebody else's")
    with pytest.raises(SinkStopped, match="other_content"):
        await sink.send(batch)
    assert google_storage.objects()[key_of(batch)] == b"somebody else's"


async def test_what_an_earlier_plan_wrote_under_the_name_counts_as_delivered(
    google_storage: GoogleStorage, sink: ObjectStoreSink
) -> None:
    earlier, later = batch_of(lines_of(10)), batch_of(lines_of(10, mark="after the upgrade"))
    await sink.send(earlier)
    payload = replace(
        later.objects[0], planned=(earlier.objects[0].sha256, later.objects[0].sha256)
    )
    await sink.send(replace(later, objects=(payload,)))
    assert google_storage.objects()[key_of(earlier)] == earlier.objects[0].content


async def test_an_equal_object_without_our_metadata_is_known_by_its_checksum(
    google_storage: GoogleStorage, sink: ObjectStoreSink
) -> None:
    batch = batch_of(lines_of(10))
    google_storage.bucket().blob(key_of(batch)).upload_from_string(batch.objects[0].content)
    await sink.send(batch)


async def test_sixteen_senders_at_once_make_one_object(google_storage: GoogleStorage) -> None:
    batch = batch_of(lines_of(100))
    sinks = [gcs.build(options_for(google_storage.open_url)) for _ in range(16)]
    await asyncio.gather(*(sink.__aenter__() for sink in sinks))
    await asyncio.gather(*(sink.send(batch) for sink in sinks))
    for sink in sinks:
        await sink.__aexit__(None, None, None)
    assert google_storage.objects() == {
        key_of(batch): batch.objects[0].content,
        PROBE_KEY: PROBE.content,
    }


async def test_a_large_object_goes_up_in_parts_once_and_never_over_another(
    google_storage: GoogleStorage, tmp_path: Path
) -> None:
    batch, other = large_batch(), large_batch("other")
    (tmp_path / "key.json").write_text(google_storage.key_file(SECRET))
    options = options_for(
        google_storage.url, part_size=Size(4 << 20), credentials_file=str(tmp_path / "key.json")
    )
    async with gcs.build(options) as sink:
        await sink.send(batch)
        await sink.send(batch)
        with pytest.raises(SinkStopped):
            await sink.send(other)
    assert google_storage.objects()[key_of(batch)] == batch.objects[0].content


async def test_exists_knows_names_below_the_prefix(sink: ObjectStoreSink) -> None:
    batch = batch_of(lines_of(3))
    assert not await sink.exists(batch.objects[0].name)
    await sink.send(batch)
    assert await sink.exists(batch.objects[0].name)


async def test_the_machines_own_credentials_are_used_when_none_are_configured(
    google_storage: GoogleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text(google_storage.key_file(SECRET))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google_storage.url)
    options = gcs.Options(name="lake", type="gcs", bucket=BUCKET, timeout=Seconds(60))
    async with gcs.build(options) as sink:
        await sink.send(batch_of(lines_of(3)))
    assert len(google_storage.objects()) == 2


async def test_a_workload_identity_is_exchanged_for_a_token(
    google_storage: GoogleStorage, tmp_path: Path
) -> None:
    (tmp_path / "subject").write_text(SUBJECT)
    federation = {
        "type": "external_account",
        "audience": (
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/"
            "providers/cluster"
        ),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{google_storage.token_url}/sts",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    (tmp_path / "federation.json").write_text(json.dumps(federation))
    batch = batch_of(lines_of(3))
    async with gcs.build(
        options_for(google_storage.url, credentials_file=str(tmp_path / "federation.json"))
    ) as sink:
        await sink.send(batch)
    assert google_storage.objects()[key_of(batch)] == batch.objects[0].content


async def test_a_missing_bucket_is_retried_and_named(google_storage: GoogleStorage) -> None:
    options = options_for(google_storage.open_url, bucket="not-there")
    with pytest.raises(
        RetryLater,
        match=(
            r"not_found: bucket not-there at http://127\.0\.0\.1:[0-9]+ answered 404 .*: there "
            r"is no such bucket"
        ),
    ):
        await gcs.build(options).__aenter__()


@pytest.mark.parametrize(
    "content", ["", "{}", "not JSON", '{"type": "service_account", "private_key": "MII"}']
)
async def test_a_key_file_that_is_none_is_retried_and_not_quoted(
    google_storage: GoogleStorage, tmp_path: Path, content: str
) -> None:
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(RetryLater, match="credentials") as caught:
        await gcs.build(
            options_for(google_storage.url, credentials_file=str(tmp_path / "key.json"))
        ).__aenter__()
    assert "MII" not in f"{caught.value!r}{caught.value.__cause__!r}"


def answer(
    status: int, reason: str = "", message: str = "secret words of the server", **headers: str
) -> dict[str, Any]:
    error = {
        "error": {
            "code": status,
            "message": message,
            "errors": [{"reason": reason, "message": message}],
        }
    }
    return {
        "status": status,
        "body": json.dumps(error),
        "headers": {"Content-Type": "application/json", **headers},
    }


def answer_stored(**properties: object) -> dict[str, Any]:
    return {
        "status": 200,
        "body": json.dumps({"name": "x", **properties}),
        "headers": {"Content-Type": "application/json"},
    }


TAKEN = answer(412, "conditionNotMet")
MAY_ONLY_CREATE = answer(
    403,
    "forbidden",
    "shipper@project does not have storage.objects.delete access to the Google Cloud Storage "
    "object.",
)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([answer(401, "authError")], "credentials"),
        ([answer(403, "forbidden")], "denied"),
        ([answer(429, "rateLimitExceeded")], "throttled"),
        ([answer(503, "backendError")], "unavailable"),
        ([answer(500)], "unavailable"),
        ([answer(400, "invalid")], "status"),
        ([{"status": 200, "body": "<html>"}], "unavailable"),
        ([answer_stored(crc32c="AAAAAA==")], "checksum"),
        ([answer_stored()], "checksum"),
        ([TAKEN, answer(404, "notFound")], "conflict"),
        ([TAKEN, answer(503)], "unavailable"),
    ],
)
async def test_what_time_or_a_person_can_fix_is_retried(
    receiver: ReceivingServer, answers: list[dict[str, Any]], reason: str
) -> None:
    receiver.order(every_method=True, answers=[TAKEN, *answers])
    async with gcs.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.reason == reason
    assert "secret words" not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_a_throttled_store_says_when_to_come_back_and_gets_one_request(
    receiver: ReceivingServer,
) -> None:
    receiver.order(
        every_method=True, answers=[TAKEN, answer(429, "rateLimitExceeded", **{"Retry-After": "9"})]
    )
    async with gcs.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(RetryLater) as caught:
            await sink.send(batch_of(lines_of(3)))
    assert caught.value.after_seconds == 9
    assert len(receiver.requests()) == 2


async def test_who_may_only_create_sees_a_taken_name_as_a_missing_right_and_it_counts_as_delivered(
    receiver: ReceivingServer,
) -> None:
    """Google answers like this to roles/storage.objectCreator, which may not read the object
    either; the log says so.
    """
    receiver.order(
        every_method=True, answers=[MAY_ONLY_CREATE, MAY_ONLY_CREATE, answer(403, "forbidden")]
    )
    with capture_logs() as logs:
        async with gcs.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
            await sink.send(batch_of(lines_of(3)))
    assert "sink.repeat_unread" in {
        entry["event"] for entry in logs if entry["log_level"] == "warning"
    }


async def test_an_object_of_ours_that_was_stored_short_is_never_taken_for_whole(
    receiver: ReceivingServer,
) -> None:
    batch = batch_of(lines_of(3))
    short = answer_stored(size="1", metadata={"tracesidecar-sha256": batch.objects[0].sha256.hex()})
    receiver.order(every_method=True, answers=[TAKEN, TAKEN, short])
    async with gcs.build(options_for(f"http://127.0.0.1:{receiver.port}")) as sink:
        with pytest.raises(SinkStopped):
            await sink.send(batch)


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "gs://traces"},
        {"bucket": "traces/agents"},
        {"endpoint_url": "127.0.0.1:9000"},
        {"part_size": Size(100_000)},
    ],
)
def test_impossible_options_are_rejected(changes: dict[str, object]) -> None:
    usual = gcs.Options(name="lake", type="gcs", bucket=BUCKET)
    with pytest.raises(ValueError, match=next(iter(changes))):
        msgspec.structs.replace(usual, **changes)


def test_the_destination_is_endpoint_bucket_and_prefix() -> None:
    assert (
        gcs.destination(options_for("http://127.0.0.1:9000"))
        == "gcs:http://127.0.0.1:9000/traces/agents"
    )
