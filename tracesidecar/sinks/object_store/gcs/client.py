"""A Google Cloud Storage bucket as a store of objects: the only module that knows Google's client.

The client retries by itself unless retries are disabled; here every call makes one attempt.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.answers import (
    UNREADABLE,
    describe_answer,
    is_page,
    make_answer,
)
from tracesidecar.sinks.object_store.client import PROBE, ObjectMetadata, media_type_of
from tracesidecar.sinks.object_store.errors import NameTaken, StoreError
from tracesidecar.sinks.object_store.gcs.credentials import credentials
from tracesidecar.sinks.object_store.gcs.errors import ERRORS
from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.transport import (
    NOT_JSON,
    TlsOptions,
    certificate_files,
    parse_retry_after,
    tls_failure,
)

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.storage import Bucket as GoogleBucket
    from requests import Response as RequestsResponse
    from requests.adapters import HTTPAdapter

DIGEST_KEY = "tracesidecar-sha256"
BATCH_KEY = "tracesidecar-batch"
MAY_NOT_REPLACE = "mayNotReplace"
"""Our code for a taken name as credentials see it that may only create: Google answers that the
right to delete the existing object is missing.
"""

NO_BUCKET_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Keeps the client from fetching the bucket's metadata in a thread of its own, for trace spans that
nobody records: our credentials need not have that right.
"""

READ_TIMEOUT_SECONDS = 60.0

T = TypeVar("T")


class _Error(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    error: _Error


class GcsBucket:
    """A bucket, see `StoreClient`."""

    errors = ERRORS

    def __init__(self, options: Options) -> None:
        # While it is imported it walks all modules, and fails for good if another sink's thread
        # imports something meanwhile. A missing extra is reported on entry.
        with suppress(ImportError):
            import requests  # noqa: F401
        self._options = options
        self._timeout = (float(options.connect_timeout), min(options.timeout, READ_TIMEOUT_SECONDS))
        self._sdk: GoogleBucket | None = None
        self._newest: RequestsResponse | None = None
        self._content = b""
        self._is_probing = False

    def prove_access(self, key: str) -> None:
        """Prove that the credentials may create objects."""
        self._is_probing = True
        try:
            self.create(key, PROBE, "probe")
        except NameTaken:
            return
        finally:
            self._is_probing = False

    def create(self, key: str, payload: Payload, batch_id: str) -> None:
        """Create an object with our checksum; above 8 MiB the client uses a resumable upload."""
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        try:
            self._upload(
                key,
                payload.content,
                media_type_of(payload),
                metadata,
                if_generation_match=0 if self._options.conditional else None,
            )
        except StoreError as error:
            if error.status != 412 and error.code != MAY_NOT_REPLACE:
                raise
            raise NameTaken from error

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Write a file's content over what is there; the file is read whole."""
        self._upload(
            key,
            Path(source).read_bytes(),
            media_type,
            {DIGEST_KEY: digest},
            if_generation_match=None,
        )

    def head(self, key: str) -> ObjectMetadata | None:
        """Fetch what the store knows about an object; None when there is none."""
        return self._attempt(lambda: self._head(key))

    def checksum(self, content: bytes) -> str:
        """Compute the CRC32C as Google writes it."""
        import google_crc32c

        return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of the objects below a prefix, in the order of their keys."""
        pages = self._attempt(
            lambda: (
                self._bucket().list_blobs(prefix=prefix, retry=None, timeout=self._timeout).pages
            )
        )
        while (page := self._attempt(lambda: next(pages, None))) is not None:
            yield from ((blob.name, int(blob.size or 0)) for blob in page)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read part of an object; less than `length` at its end."""
        span = {"start": start, "end": start + length - 1}
        settings = {"raw_download": True, "checksum": None, "retry": None, "timeout": self._timeout}
        content = self._attempt(
            lambda: bytes(self._bucket().blob(key).download_as_bytes(**span, **settings))
        )
        if self._newest is not None and is_page(self._newest.headers.get("Content-Type")):
            raise StoreError("UnreadableAnswer", self._newest.status_code)
        return content

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        try:
            self._attempt(
                lambda: self._bucket().blob(key).delete(retry=None, timeout=self._timeout)
            )
        except StoreError as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Close connections and forget credentials."""
        if self._sdk is not None:
            self._sdk.client.close()
            self._sdk = None

    def _head(self, key: str) -> ObjectMetadata | None:
        blob = self._bucket().get_blob(key, retry=None, timeout=self._timeout)
        if blob is None:
            return None
        digest = (blob.metadata or {}).get(DIGEST_KEY)
        return ObjectMetadata(int(blob.size or 0), digest, blob.crc32c)

    def _upload(
        self,
        key: str,
        content: bytes,
        media_type: str,
        metadata: dict[str, str],
        *,
        if_generation_match: int | None,
    ) -> None:
        def upload() -> tuple[str | None, int | None]:
            blob = self._bucket().blob(key, chunk_size=self._options.part_size)
            blob.metadata = metadata
            # the store rejects content that does not match; the client's own check, instead, would
            # delete the object afterwards
            if self._options.checksum != "none":
                blob.crc32c = expected
            blob.upload_from_file(
                io.BytesIO(content),
                size=len(content),
                content_type=media_type,
                if_generation_match=if_generation_match,
                checksum=None,
                retry=None,
                timeout=self._timeout,
            )
            return blob.crc32c, blob.size

        self._content = content
        expected = self.checksum(content)
        try:
            stored_checksum, stored_bytes = self._attempt(upload)
        finally:
            self._content, self._newest = b"", None
        is_unchecked = self._options.checksum == "none" and stored_checksum is None
        if (stored_bytes != len(content)) if is_unchecked else (stored_checksum != expected):
            raise StoreError("checksum", 200)

    def _attempt(self, step: Callable[[], T]) -> T:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import JSONDecodeError, RequestException

        self._newest = None
        try:
            return step()
        except GoogleAPICallError as error:
            # not chained: its message is the server's
            raise _store_error(error, self._describe()) from None
        except JSONDecodeError as error:
            raise StoreError(
                type(error).__name__,
                0 if self._newest is None else self._newest.status_code,
                detail=self._describe(),
            ) from None
        except (GoogleAuthError, RequestException) as error:
            raise StoreError(type(error).__name__, tls_reason=tls_failure(error)) from None
        except OSError as error:
            raise StoreError(error.strerror or type(error).__name__) from error
        except UNREADABLE:
            raise StoreError("UnreadableAnswer", detail=self._describe()) from None

    def _describe(self) -> str:
        if (found := self._newest) is None:
            return ""
        try:
            message = msgspec.json.decode(found.content, type=_Answer).error.message
        except NOT_JSON:
            message = found.text
        answer = make_answer(
            found.status_code,
            found.headers,
            found.content,
            url=found.request.url or "",
            sent_headers=found.request.headers,
            sent=(found.request.body, self._content),
        )
        return describe_answer(answer, message, is_probe=self._is_probing)

    def _note(self, response: RequestsResponse, **_: object) -> None:
        self._newest = response

    def _bucket(self) -> GoogleBucket:
        if self._sdk is None:
            self._sdk = _make_bucket(self._options, self._note)
        return self._sdk


def _make_bucket(options: Options, note: Callable[..., None]) -> GoogleBucket:
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    os.environ.setdefault(NO_BUCKET_METADATA, "true")
    is_emulator = options.endpoint_url is not None and options.endpoint_url.startswith("http:")
    made = credentials(options.credentials_file, is_emulator=is_emulator)
    session = AuthorizedSession(made)  # type: ignore[no-untyped-call]
    session.mount("https://", _adapter(options.tls))
    session.hooks["response"].append(note)
    endpoint = {"api_endpoint": options.endpoint_url.rstrip("/")} if options.endpoint_url else None
    # without a project the client would ask for one, the metadata server too; objects need none
    return Client(project="none", credentials=made, _http=session, client_options=endpoint).bucket(
        options.bucket
    )


def _adapter(options: TlsOptions) -> HTTPAdapter:
    """Make an adapter that verifies as configured.

    Settings of the session would not do: requests prefers REQUESTS_CA_BUNDLE to them.
    """
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    class Verifying(HTTPAdapter):
        def send(  # noqa: PLR0917 - the library's signature
            self,
            request: PreparedRequest,
            stream: bool = False,  # noqa: FBT001, FBT002
            timeout: float | tuple[float | None, float | None] | None = None,
            verify: bool | str = True,  # noqa: FBT001, FBT002
            cert: str | tuple[str, str] | None = None,  # noqa: ARG002
            proxies: dict[str, str] | None = None,
        ) -> Response:
            own = (
                (options.ca_file or options.verify)
                if options.ca_file or not options.verify
                else verify
            )
            return super().send(request, stream, timeout, own, certificate_files(options), proxies)

    return Verifying()


def _store_error(error: GoogleAPICallError, detail: str) -> StoreError:
    status = int(error.code or 0)
    if status == 403 and "storage.objects.delete" in str(error.message):
        return StoreError(MAY_NOT_REPLACE, status)
    reasons = [str(entry.get("reason", "")) for entry in error.errors if isinstance(entry, dict)]
    code = re.sub(r"[^A-Za-z0-9._-]", "", reasons[0] if reasons else type(error).__name__)[:64]
    headers = getattr(error.response, "headers", {})
    return StoreError(
        code or "Unknown",
        status,
        after_seconds=parse_retry_after(headers.get("Retry-After")),
        detail=detail,
    )
