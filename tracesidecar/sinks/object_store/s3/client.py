"""The calls that a sink makes of one bucket.

The only module that knows boto3; everything here blocks, and nothing is tried twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from tracesidecar.sinks.object_store.errors import StoreFailure
from tracesidecar.sinks.object_store.s3.checksums import checksum
from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.sinks.object_store.stored import Stored
from tracesidecar.sinks.transport import certificate_files, parse_retry_after, tls_failure

if TYPE_CHECKING:
    from botocore.client import BaseClient

READ_TIMEOUT_SECONDS = 60.0
DIGEST_KEY = "tracesidecar-sha256"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an open upload that the store has."""

    number: int
    etag: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is still open."""

    key: str
    upload_id: str
    initiated: datetime


class Bucket:
    """One bucket; the client is made at the first call and again after `close`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._checksum = checksum(options.checksum)
        self._made: BaseClient | None = None

    def close(self) -> None:
        """Let go of connections and credentials; both are made anew for the next call."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def put(
        self,
        key: str,
        content: bytes,
        *,
        media_type: str,
        metadata: Mapping[str, str],
        conditionally: bool,
    ) -> str | None:
        """Put an object in one request; return the checksum that the store gives for it."""
        answer = self._call(
            "put_object",
            Key=key,
            Body=content,
            ContentType=media_type,
            Metadata=dict(metadata),
            ChecksumAlgorithm=self._checksum.name,  # Object Lock asks for it by this header
            **{self._checksum.field: self._checksum.of(content)},
            **self._options.wishes(datetime.now(UTC)),
            **_condition(conditionally),
        )
        return _text(answer.get(self._checksum.field))

    def open_upload(self, key: str, *, media_type: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload; return its id."""
        wishes = self._options.wishes(datetime.now(UTC))
        answer = self._call(
            "create_multipart_upload",
            Key=key,
            ContentType=media_type,
            Metadata=dict(metadata),
            ChecksumAlgorithm=self._checksum.name,
            **wishes,
        )
        return str(answer["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> Part:
        """Put one part."""
        sent = self._checksum.of(content)
        answer = self._call(
            "upload_part",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=content,
            **{self._checksum.field: sent},
        )
        if answer.get(self._checksum.field, sent) != sent:
            raise StoreFailure("BadDigest", 200)
        return Part(number, str(answer["ETag"]), sent)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[Part], *, conditionally: bool
    ) -> str | None:
        """Make the object of its parts; return the checksum that the store gives for it."""
        listed = [
            {"PartNumber": part.number, "ETag": part.etag, self._checksum.field: part.checksum}
            for part in parts
        ]
        answer = self._call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            **_condition(conditionally),
        )
        return _text(answer.get(self._checksum.field))

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Throw away an open upload and its parts."""
        self._call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """List the open uploads below a prefix."""
        markers: dict[str, object] = {}
        while True:
            answer = self._call("list_multipart_uploads", Prefix=prefix, **markers)
            for upload in answer.get("Uploads", ()):
                yield Upload(upload["Key"], upload["UploadId"], upload["Initiated"])
            if not answer.get("IsTruncated"):
                return
            markers = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"],
            }

    def head(self, key: str) -> Stored | None:
        """Ask for an object without its content; None when there is none."""
        try:
            answer = self._call("head_object", Key=key, ChecksumMode="ENABLED")
        except StoreFailure as failure:
            if failure.status == 404 and failure.code in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        stored = _text(answer.get(self._checksum.field))
        return Stored(
            int(answer["ContentLength"]),
            metadata.get(DIGEST_KEY),
            stored if _is_of_the_whole(answer) else None,
        )

    def objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List the objects below a prefix in the order of their keys: key and size in bytes."""
        token: dict[str, object] = {}
        while True:
            answer = self._call("list_objects_v2", Prefix=prefix, **token)
            yield from (
                (str(item["Key"]), int(item["Size"])) for item in answer.get("Contents", ())
            )
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object, less at its end."""
        return self._guarded(lambda: self._read(key, f"bytes={start}-{start + length - 1}"))

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good."""
        self._call("delete_object", Key=key)

    def _read(self, key: str, span: str) -> bytes:
        with closing(
            self._client().get_object(Bucket=self._options.bucket, Key=key, Range=span)["Body"]
        ) as body:
            return bytes(body.read())

    def _call(
        self, operation: str, **arguments: object
    ) -> dict[str, Any]:  # the shape of each answer is the SDK's
        return self._guarded(
            lambda: getattr(self._client(), operation)(Bucket=self._options.bucket, **arguments)
        )

    def _guarded(self, step: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return step()
        except ClientError as error:
            raise _refusal(
                error.response
            ) from None  # its message is the server's, and may hold the key id
        except ResponseParserError:
            raise StoreFailure("UnreadableAnswer") from None
        except BotoCoreError as error:
            raise StoreFailure(type(error).__name__, tls_reason=tls_failure(error)) from None
        except OSError as error:
            raise StoreFailure(error.strerror or type(error).__name__) from error

    def _client(self) -> BaseClient:
        if self._made is None:
            self._made = _make_client(self._options)
        return self._made


def _is_of_the_whole(answer: Mapping[str, object]) -> bool:
    """Tell whether an object's checksum is of its content, and not of the checksums of its parts:
    an ETag of parts has a dash.
    """
    return answer.get("ChecksumType") == "FULL_OBJECT" or "-" not in str(answer.get("ETag"))


def _condition(conditionally: bool) -> dict[str, object]:  # noqa: FBT001 it is the whole question
    return {"IfNoneMatch": "*"} if conditionally else {}


def _make_client(options: Options) -> BaseClient:
    import boto3
    from botocore.config import Config
    from botocore.credentials import SharedCredentialProvider
    from botocore.exceptions import NoCredentialsError

    keys = (options.access_key, options.secret_key, options.session_token)
    if options.credentials_file is not None:
        found = SharedCredentialProvider(
            creds_filename=options.credentials_file, profile_name=options.profile
        ).load()
        if found is None:
            raise NoCredentialsError
        keys = (found.access_key, found.secret_key, found.token)
    session = boto3.session.Session()
    return session.client(
        "s3",
        region_name=options.region or session.region_name or "us-east-1",
        endpoint_url=options.endpoint_url,
        verify=options.tls.ca_file or options.tls.verify,
        aws_access_key_id=keys[0] and str(keys[0]),
        aws_secret_access_key=keys[1] and str(keys[1]),
        aws_session_token=keys[2] and str(keys[2]),
        config=Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"} if options.path_style else {},
            connect_timeout=options.connect_timeout,
            read_timeout=min(options.timeout, READ_TIMEOUT_SECONDS),
            client_cert=certificate_files(options.tls),
            request_checksum_calculation="when_required",
            max_pool_connections=2,
        ),
    )


def _refusal(response: Mapping[str, Any]) -> StoreFailure:
    about = response.get("ResponseMetadata", {})
    code = re.sub(r"[^A-Za-z0-9._-]", "", str(response.get("Error", {}).get("Code", "")))[:64]
    status = int(about.get("HTTPStatusCode", 0))
    return StoreFailure(
        code or "Unknown",
        status,
        after_seconds=parse_retry_after(about.get("HTTPHeaders", {}).get("retry-after")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
