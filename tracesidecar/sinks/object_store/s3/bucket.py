"""The requests to one S3 bucket: the only module that knows boto3.

Every call blocks, makes one attempt, and raises StoreError unless S3 answers with success.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from tracesidecar.sinks.exposure import Reach, reach_of
from tracesidecar.sinks.object_store.answers import (
    UNREADABLE,
    describe_answer,
    is_page,
    make_answer,
)
from tracesidecar.sinks.object_store.client import ObjectMetadata
from tracesidecar.sinks.object_store.errors import StoreError
from tracesidecar.sinks.object_store.s3.checksums import checksum
from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.sinks.transport import (
    HttpResponse,
    certificate_files,
    parse_retry_after,
    tls_failure,
)

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.client import BaseClient

READ_TIMEOUT_SECONDS = 60.0
DIGEST_KEY = "tracesidecar-sha256"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A part of an open upload, as the store has it."""

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
    """One bucket. The first call makes the SDK's client, also after `close`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._checksum = checksum(options.checksum)
        self._sdk: BaseClient | None = None
        self._wire = _Wire()
        self._is_probing = False

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Mark requests that hold nothing but our own words: errors show what the store says."""
        self._is_probing = True
        try:
            yield
        finally:
            self._is_probing = False

    def close(self) -> None:
        """Close connections and forget credentials."""
        if self._sdk is not None:
            self._sdk.close()
            self._sdk = None

    def put(
        self,
        key: str,
        content: bytes,
        *,
        media_type: str,
        metadata: Mapping[str, str],
        if_absent: bool,
    ) -> str | None:
        """Put an object in one request; return the checksum that the store reports."""
        response = self._call(
            "put_object",
            Key=key,
            Body=content,
            ContentType=media_type,
            Metadata=dict(metadata),
            **self._checksum.algorithm_parameters,
            **self._checksum.parameters(content),
            **self._options.put_parameters(datetime.now(UTC)),
            **_condition(if_absent=if_absent),
        )
        return _text(response.get(self._checksum.field))

    def open_upload(self, key: str, *, media_type: str, metadata: Mapping[str, str]) -> str:
        """Start a multipart upload; return its id."""
        parameters = self._options.put_parameters(datetime.now(UTC))
        response = self._call(
            "create_multipart_upload",
            "UploadId",
            Key=key,
            ContentType=media_type,
            Metadata=dict(metadata),
            **self._checksum.algorithm_parameters,
            **parameters,
        )
        return str(response["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> UploadPart:
        """Upload one part."""
        sent = self._checksum.of(content)
        response = self._call(
            "upload_part",
            "ETag",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=content,
            **self._checksum.parameters(content),
        )
        if response.get(self._checksum.field, sent) != sent:
            raise StoreError("BadDigest", 200)
        return UploadPart(number, str(response["ETag"]), sent)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[UploadPart], *, if_absent: bool
    ) -> str | None:
        """Join the parts to an object; return the checksum that the store reports."""
        listed = [
            {"PartNumber": part.number, "ETag": part.etag}
            | ({self._checksum.field: part.checksum} if part.checksum else {})
            for part in parts
        ]
        response = self._call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
            **_condition(if_absent=if_absent),
        )
        return _text(response.get(self._checksum.field))

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort an open upload and delete its parts."""
        self._call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def list_uploads(self, prefix: str) -> Iterator[Upload]:
        """Yield the open uploads below a prefix."""
        markers: dict[str, object] = {}
        while True:
            response = self._call("list_multipart_uploads", Prefix=prefix, **markers)
            for upload in response.get("Uploads", ()):
                yield Upload(upload["Key"], upload["UploadId"], upload["Initiated"])
            if not response.get("IsTruncated"):
                return
            markers = {
                "KeyMarker": response["NextKeyMarker"],
                "UploadIdMarker": response["NextUploadIdMarker"],
            }

    def head(self, key: str) -> ObjectMetadata | None:
        """Fetch what the store knows about an object; None when there is none."""
        try:
            mode = {"ChecksumMode": "ENABLED"} if self._checksum.name else {}
            response = self._call("head_object", "ContentLength", Key=key, **mode)
        except StoreError as error:
            if error.status == 404 and error.code in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        metadata = {name.lower(): value for name, value in response.get("Metadata", {}).items()}
        stored = _text(response.get(self._checksum.field))
        return ObjectMetadata(
            int(response["ContentLength"]),
            metadata.get(DIGEST_KEY),
            stored if _has_whole_checksum(response) else None,
        )

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of the objects below a prefix, in the order of their keys."""
        token: dict[str, object] = {}
        while True:
            response = self._call("list_objects_v2", Prefix=prefix, **token)
            yield from (
                (str(item["Key"]), int(item["Size"])) for item in response.get("Contents", ())
            )
            if not response.get("IsTruncated"):
                return
            token = {"ContinuationToken": response["NextContinuationToken"]}

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read part of an object; less than `length` at its end."""
        self._wire.begin(None)
        return self._attempt(lambda: self._read(key, f"bytes={start}-{start + length - 1}"))

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        self._call("delete_object", Key=key)

    def _read(self, key: str, span: str) -> bytes:
        response = self._client().get_object(Bucket=self._options.bucket, Key=key, Range=span)
        with closing(response["Body"]) as body:
            if is_page(response.get("ContentType")):
                raise StoreError("UnreadableAnswer", 200)
            return bytes(body.read())

    def _call(self, operation: str, required: str = "", /, **arguments: object) -> dict[str, Any]:
        """Make a request; its response must have the field that is `required`."""
        self._wire.begin(arguments.get("Body"))
        try:
            # the SDK has no types for its responses
            response: dict[str, Any] = self._attempt(
                lambda: getattr(self._client(), operation)(Bucket=self._options.bucket, **arguments)
            )
            answer = self._wire.answer()
            is_html = answer.is_html and (answer.body or operation == "head_object")
            if is_html or (required and required not in response):
                raise StoreError(
                    "UnreadableAnswer", answer.status, detail=describe_answer(answer, "")
                )
            return response
        finally:
            self._wire.begin(None)  # a whole object's content, which the next one needs room for

    def _attempt(self, step: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return step()
        except ClientError as error:
            # not chained: its message is the server's, and may hold the key id
            raise _store_error(
                error.response, self._wire.answer(), is_probe=self._is_probing
            ) from None
        except ResponseParserError:
            raise StoreError("UnreadableAnswer") from None
        except BotoCoreError as error:
            raise StoreError(type(error).__name__, tls_reason=tls_failure(error)) from None
        except OSError as error:
            raise StoreError(error.strerror or type(error).__name__) from error
        except UNREADABLE:
            raise StoreError("UnreadableAnswer") from None  # not chained: it may quote the answer

    def _client(self) -> BaseClient:
        if self._sdk is None:
            self._sdk = _make_client(self._options)
            self._wire.watch(self._sdk)
        return self._sdk


class _Wire:
    """The newest request and its response, as they went over the wire."""

    def __init__(self) -> None:
        self._request: AWSPreparedRequest | None = None
        self._response: AWSResponse | None = None
        self._content: object = None

    def begin(self, content: object) -> None:
        """Forget the last call; `content` is the body of the next one."""
        self._request, self._response, self._content = None, None, content

    def watch(self, sdk: BaseClient) -> None:
        """Have the SDK report what it sends and receives."""
        sdk.meta.events.register("before-send.s3", self._note_request)
        sdk.meta.events.register("after-call.s3", self._note_response)

    def answer(self) -> HttpResponse:
        """Return the response, with as much of its body as may be needed, and the request."""
        sent, received = self._request, self._response
        return make_answer(
            received.status_code if received is not None else 0,
            received.headers if received is not None else {},
            received.content if received is not None else b"",
            url=sent.url if sent is not None else "",
            sent_headers=sent.headers if sent is not None else {},
            sent=(self._content,),
        )

    def _note_request(self, request: AWSPreparedRequest, **_: object) -> None:
        self._request, self._response = request, None

    def _note_response(self, http_response: AWSResponse, **_: object) -> None:
        self._response = http_response


def _has_whole_checksum(response: Mapping[str, object]) -> bool:
    """Return whether an object's checksum is of its content, not of the checksums of its parts.

    The ETag of an object that was uploaded in parts has a dash.
    """
    return response.get("ChecksumType") == "FULL_OBJECT" or "-" not in str(response.get("ETag"))


def _condition(*, if_absent: bool) -> dict[str, object]:
    return {"IfNoneMatch": "*"} if if_absent else {}


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
    if not all(key.isprintable() for key in keys if key):
        raise StoreError("UnusableCredentials")
    session = boto3.session.Session()
    client = session.client(
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
    if options.endpoint_url is None and not options.insecure:
        _require_safe_way(client.meta.endpoint_url)
    return client


def _require_safe_way(endpoint: str) -> None:
    """Raise StoreError if the endpoint of a settings file would get our signatures in clear text.

    Those of the options and of the environment are judged with the configuration.
    """
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and reach_of(parts.hostname or "") is Reach.PUBLIC:
        raise StoreError("EndpointInClear")


def _store_error(
    response: Mapping[str, Any], answer: HttpResponse, *, is_probe: bool
) -> StoreError:
    response_metadata = response.get("ResponseMetadata", {})
    error = response.get("Error", {})
    code = re.sub(r"[^A-Za-z0-9._-]", "", str(error.get("Code", "")))[:64]
    status = int(response_metadata.get("HTTPStatusCode", 0))
    return StoreError(
        code or "Unknown",
        status,
        after_seconds=parse_retry_after(
            response_metadata.get("HTTPHeaders", {}).get("retry-after")
        ),
        detail=describe_answer(answer, str(error.get("Message", "")), is_probe=is_probe),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
