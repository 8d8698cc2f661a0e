"""The calls that a sink makes of one bucket of Google Cloud Storage.

The only module that knows its client; nothing is tried twice.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.errors import NameTaken, StoreFailure
from tracesidecar.sinks.object_store.gcs.credentials import credentials
from tracesidecar.sinks.object_store.gcs.errors import MEANINGS
from tracesidecar.sinks.object_store.gcs.options import Options
from tracesidecar.sinks.object_store.sink import PROBE, media_type_of
from tracesidecar.sinks.object_store.stored import Stored
from tracesidecar.sinks.transport import (
    TlsOptions,
    certificate_files,
    parse_retry_after,
    tls_failure,
)

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.storage import Blob
    from google.cloud.storage import Bucket as GoogleBucket
    from requests.adapters import HTTPAdapter

DIGEST_KEY = "tracesidecar-sha256"
BATCH_KEY = "tracesidecar-batch"
MAY_NOT_REPLACE = "mayNotReplace"
"""Our word for how who may only create hears of a taken name: that the right to delete what is
there is missing.
"""

NO_BUCKET_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Switches off that the client asks, in a thread of its own, about the bucket for spans that nobody
records: it may not, and not at the same time.
"""

READ_TIMEOUT_SECONDS = 60.0

T = TypeVar("T")


class GcsBucket:
    """One bucket, as a sink of objects needs it; the client is made at the first call and again
    after `close`.
    """

    meanings = MEANINGS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._timeout = (float(options.connect_timeout), min(options.timeout, READ_TIMEOUT_SECONDS))
        self._made: GoogleBucket | None = None

    def prove(self, key: str) -> None:
        """Prove that the credentials may create objects."""
        try:
            self.put(key, PROBE, "probe")
        except NameTaken:
            return

    def put(self, key: str, payload: Payload, batch_id: str) -> None:
        """Create an object that has our checksum; above 8 MiB the client does it by a resumable
        upload.
        """
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        try:
            self._upload(
                key, payload.content, media_type_of(payload), metadata, if_generation_match=0
            )
        except StoreFailure as failure:
            if failure.status != 412 and failure.code != MAY_NOT_REPLACE:
                raise
            raise NameTaken from failure

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Put a file's content in place of what was there; it is read whole."""
        self._upload(
            key,
            Path(source).read_bytes(),
            media_type,
            {DIGEST_KEY: digest},
            if_generation_match=None,
        )

    def look(self, key: str) -> Stored | None:
        """Ask for an object without its content."""
        blob = self._guarded(
            lambda: self._bucket().get_blob(key, retry=None, timeout=self._timeout)
        )
        return (
            None
            if blob is None
            else Stored(int(blob.size or 0), (blob.metadata or {}).get(DIGEST_KEY), blob.crc32c)
        )

    def checksum_of(self, content: bytes) -> str:
        """Compute the CRC32C as Google writes it."""
        import google_crc32c

        return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()

    def objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List the objects below a prefix in the order of their keys: key and size in bytes."""
        pages = self._guarded(
            lambda: (
                self._bucket().list_blobs(prefix=prefix, retry=None, timeout=self._timeout).pages
            )
        )
        while (page := self._guarded(lambda: next(pages, None))) is not None:
            yield from ((blob.name, int(blob.size or 0)) for blob in page)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object, less at its end."""
        span = {"start": start, "end": start + length - 1}
        settings = {"raw_download": True, "checksum": None, "retry": None, "timeout": self._timeout}
        return self._guarded(
            lambda: bytes(self._bucket().blob(key).download_as_bytes(**span, **settings))
        )

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good."""
        try:
            self._guarded(
                lambda: self._bucket().blob(key).delete(retry=None, timeout=self._timeout)
            )
        except StoreFailure as failure:
            if failure.status != 404:
                raise

    def close(self) -> None:
        """Let go of connections and credentials; both are made anew for the next call."""
        if self._made is not None:
            self._made.client.close()
            self._made = None

    def _upload(
        self,
        key: str,
        content: bytes,
        media_type: str,
        metadata: dict[str, str],
        *,
        if_generation_match: int | None,
    ) -> None:
        def upload() -> Blob:
            blob = self._bucket().blob(key, chunk_size=self._options.part_size)
            blob.metadata = metadata
            # the store refuses what does not agree; the client's own check would delete the object
            # afterwards
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
            return blob

        expected = self.checksum_of(content)
        if self._guarded(upload).crc32c != expected:
            raise StoreFailure("checksum", 200)

    def _guarded(self, step: Callable[[], T]) -> T:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            return step()
        except GoogleAPICallError as error:
            raise _refusal(error) from None  # its message is the server's
        except (GoogleAuthError, RequestException) as error:
            raise StoreFailure(type(error).__name__, tls_reason=tls_failure(error)) from None
        except OSError as error:
            raise StoreFailure(error.strerror or type(error).__name__) from error

    def _bucket(self) -> GoogleBucket:
        if self._made is None:
            self._made = _make_bucket(self._options)
        return self._made


def _make_bucket(options: Options) -> GoogleBucket:
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.storage import Client

    os.environ.setdefault(NO_BUCKET_METADATA, "true")
    is_emulator = options.endpoint_url is not None and options.endpoint_url.startswith("http:")
    made = credentials(options.credentials_file, is_emulator=is_emulator)
    session = AuthorizedSession(made)  # type: ignore[no-untyped-call]
    session.mount("https://", _adapter(options.tls))
    endpoint = {"api_endpoint": options.endpoint_url.rstrip("/")} if options.endpoint_url else None
    # Without a project named the client would look for one, at the metadata server too; objects
    # have none.
    return Client(project="none", credentials=made, _http=session, client_options=endpoint).bucket(
        options.bucket
    )


def _adapter(options: TlsOptions) -> HTTPAdapter:
    """Verify as configured: to what a session says of it the environment is preferred
    (REQUESTS_CA_BUNDLE).
    """
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter

    class Verifying(HTTPAdapter):
        def send(  # noqa: PLR0917 - the signature is the library's
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


def _refusal(error: GoogleAPICallError) -> StoreFailure:
    status = int(error.code or 0)
    if status == 403 and "storage.objects.delete" in str(error.message):
        return StoreFailure(MAY_NOT_REPLACE, status)
    reasons = [str(entry.get("reason", "")) for entry in error.errors if isinstance(entry, dict)]
    code = re.sub(r"[^A-Za-z0-9._-]", "", reasons[0] if reasons else type(error).__name__)[:64]
    headers = getattr(error.response, "headers", {})
    return StoreFailure(
        code or "Unknown", status, after_seconds=parse_retry_after(headers.get("Retry-After"))
    )
