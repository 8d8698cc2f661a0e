"""What is configured for each object in S3: encryption, storage class, tags, lock and checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from botocore.exceptions import ClientError

from tests.contract.batches import batch_of, lines_of
from tests.servers import moto as moto_server
from tests.servers.moto import Moto, moto
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tracesidecar.errors import SinkStopped
from tracesidecar.model import Batch
from tracesidecar.sinks.object_store.client import PROBE
from tracesidecar.sinks.object_store.s3 import sink as s3
from tracesidecar.sinks.object_store.s3.checksums import Algorithm, checksum
from tracesidecar.sinks.object_store.s3.options import ObjectLock
from tracesidecar.units import Seconds, Secret, Size

__all__ = ["moto"]

KEY_ID = "arn:aws:kms:us-east-1:111122223333:key/1234abcd"
IN_PARTS = {"multipart_above": Size(5 << 20), "part_size": Size(5 << 20)}


def options_for(url: str, **changes: object) -> s3.Options:
    usual = s3.Options(
        name="lake",
        type="s3",
        bucket=BUCKET,
        endpoint_url=url,
        path_style=True,
        access_key=Secret(ACCESS_KEY),
        secret_key=Secret(SECRET),
        timeout=Seconds(60),
    )
    return msgspec.structs.replace(usual, **changes)


def batch_in_parts() -> Batch:
    return batch_of(lines_of(6, size_bytes=1 << 20), batch_id="b2", compression="none")


async def test_each_object_has_the_encryption_the_class_the_tags_and_the_lock_that_are_configured(
    moto: Moto,
) -> None:
    lock = ObjectLock(mode="governance", retain_days=3, legal_hold=True)
    parameters = {
        "encryption": "aws:kms",
        "kms_key_id": KEY_ID,
        "storage_class": "STANDARD_IA",
        "tags": {"team": "agents and co"},
    }
    batch = batch_of(lines_of(10), with_manifest=True)
    assert batch.manifest is not None
    async with s3.build(
        options_for(moto.url, bucket=moto_server.BUCKET, object_lock=lock, **parameters)
    ) as sink:
        await sink.send(batch)
        await sink.send(batch)
    for key in (batch.objects[0].name, batch.manifest.name, PROBE.name):
        head = moto.client().head_object(Bucket=moto_server.BUCKET, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["StorageClass"]) == (
            "aws:kms",
            KEY_ID,
            "STANDARD_IA",
        )
        assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
        assert abs(
            head["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=3)
        ) < timedelta(minutes=5)
        tags = moto.client().get_object_tagging(Bucket=moto_server.BUCKET, Key=key)["TagSet"]
        assert tags == [{"Key": "team", "Value": "agents and co"}]


async def test_an_object_in_parts_has_them_too(moto: Moto) -> None:
    batch = batch_in_parts()
    async with s3.build(
        options_for(
            moto.url,
            bucket=moto_server.BUCKET,
            encryption="AES256",
            storage_class="GLACIER_IR",
            tags={"a": ""},
            **IN_PARTS,
        )
    ) as sink:
        await sink.send(batch)
        await sink.send(batch)
    head = moto.client().head_object(Bucket=moto_server.BUCKET, Key=batch.objects[0].name)
    assert (head["ServerSideEncryption"], head["StorageClass"], head["TagCount"]) == (
        "AES256",
        "GLACIER_IR",
        1,
    )


class VersionedStore(ObjectStore):
    """A store with versions, which locks require."""

    def command(self) -> list[str | Path]:
        return [
            *super().command()[:-1],
            "--versioning-dir",
            self._make_folder("versions"),
            self.folder / "root",
        ]


@pytest.fixture
def versioned_store(tmp_path: Path) -> Iterator[VersionedStore]:
    store = VersionedStore(tmp_path / "versioned")
    store.start()
    yield store
    store.stop()


async def test_a_locked_object_cannot_be_deleted(versioned_store: VersionedStore) -> None:
    client = versioned_store.client()
    bucket = "held"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    single, parts = batch_of(lines_of(10)), batch_in_parts()
    lock = ObjectLock(mode="compliance", retain_days=1)
    async with s3.build(
        options_for(versioned_store.url, bucket=bucket, object_lock=lock, **IN_PARTS)
    ) as sink:
        for batch in (single, parts, single, parts):
            await sink.send(batch)
    for batch in (single, parts):
        key = batch.objects[0].name
        [version] = client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
        with pytest.raises(ClientError, match=r"AccessDenied|ObjectLocked|InvalidRequest"):
            client.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "crc32", "crc32c", "crc64nvme"])
async def test_the_store_holds_the_bytes_against_the_checksum_of_ones_choice(
    object_store: ObjectStore, algorithm: Algorithm
) -> None:
    single, parts = batch_of(lines_of(10)), batch_in_parts()
    async with s3.build(options_for(object_store.url, checksum=algorithm, **IN_PARTS)) as sink:
        for batch in (single, parts, single, parts):
            await sink.send(batch)
        with pytest.raises(SinkStopped):
            await sink.send(replace(batch_of(lines_of(10, mark="other")), id=single.id))
    chosen = checksum(algorithm)
    head = object_store.client().head_object(
        Bucket=BUCKET, Key=single.objects[0].name, ChecksumMode="ENABLED"
    )
    assert head[chosen.field] == chosen.of(single.objects[0].content)
    assert object_store.objects()[parts.objects[0].name] == parts.objects[0].content


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ("crc32", "y/Q5Jg=="),
        ("crc32c", "4waSgw=="),
        ("crc64nvme", "rosUhgp5mIg="),
    ],
)
def test_checksums_are_those_of_their_check_value(algorithm: Algorithm, expected: str) -> None:
    """The checksums of "123456789" are the check values in catalogues of CRCs, big-endian as S3
    writes them.
    """
    assert checksum(algorithm).of(b"123456789") == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kms_key_id": KEY_ID}, "kms_key_id needs encryption"),
        ({"kms_key_id": KEY_ID, "encryption": "AES256"}, "kms_key_id needs encryption"),
        ({"tags": {str(number): "x" for number in range(11)}}, "tags must be at most 10"),
        ({"tags": {"a": "b&c"}}, "tags must be at most 10"),
    ],
)
def test_parameters_that_no_store_supports_are_rejected(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        options_for("http://127.0.0.1:1", **changes)


@pytest.mark.parametrize(
    "make",
    [
        ObjectLock,
        lambda: ObjectLock(mode="governance"),
        lambda: ObjectLock(retain_days=3),
        lambda: ObjectLock(mode="compliance", retain_days=-1),
    ],
)
def test_a_lock_that_locks_nothing_is_rejected(make: Callable[[], ObjectLock]) -> None:
    with pytest.raises(ValueError, match="retain_days"):
        make()
