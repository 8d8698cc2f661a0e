"""An Azure Blob Storage container as a store of objects: the only module that knows Azure's client.

The client retries by itself unless retries are disabled; here every call makes one attempt.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.answers import (
    UNREADABLE,
    describe_answer,
    is_page,
    make_answer,
)
from tracesidecar.sinks.object_store.azure.errors import ERRORS, is_taken
from tracesidecar.sinks.object_store.azure.options import ConnectionString, Options, account_of
from tracesidecar.sinks.object_store.client import PROBE, ObjectMetadata, media_type_of
from tracesidecar.sinks.object_store.errors import NameTaken, StoreError
from tracesidecar.sinks.transport import certificate_files, parse_retry_after, tls_failure

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
    from azure.core.exceptions import AzureError, HttpResponseError
    from azure.storage.blob import BlobProperties, ContainerClient

    Credential = AzureNamedKeyCredential | AzureSasCredential | TokenCredential

DIGEST_KEY = "tracesidecar_sha256"
BATCH_KEY = "tracesidecar_batch"
"""Azure takes only identifiers as names of metadata: no hyphens."""

READ_TIMEOUT_SECONDS = 60.0

T = TypeVar("T")


class AzureContainer:
    """A container, see `StoreClient`."""

    errors = ERRORS

    def __init__(self, options: Options) -> None:
        # While it is imported it walks all modules, and fails for good if another sink's thread
        # imports something meanwhile. A missing extra is reported on entry.
        with suppress(ImportError):
            import requests  # noqa: F401
        self._options = options
        self._sdk: ContainerClient | None = None
        self._is_probing = False
        self._content = b""

    def prove_access(self, key: str) -> None:
        """Prove that the credentials may create blobs."""
        self._is_probing = True
        try:
            self.create(key, PROBE, "probe")
        except NameTaken:
            return
        finally:
            self._is_probing = False

    def create(self, key: str, payload: Payload, batch_id: str) -> None:
        """Create a blob in one request, or of blocks.

        Each request has the MD5 of its bytes; the one that makes the blob has the condition.
        """
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        try:
            self._upload(
                key,
                payload.content,
                media_type_of(payload),
                metadata,
                overwrite=not self._options.conditional,
            )
        except StoreError as error:
            if not is_taken(error):
                raise
            raise NameTaken from error

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Write a file's content over what is there; the file is read whole."""
        self._upload(
            key, Path(source).read_bytes(), media_type, {DIGEST_KEY: digest}, overwrite=True
        )

    def head(self, key: str) -> ObjectMetadata | None:
        """Fetch what the store knows about a blob; None when there is none."""
        try:
            properties = self._attempt(
                lambda: self._container().get_blob_client(key).get_blob_properties()
            )
        except StoreError as error:
            if error.code == "BlobNotFound":
                return None
            raise
        if is_page(properties.content_settings.content_type):
            raise StoreError("UnreadableAnswer", 200)
        return _metadata(properties)

    def checksum(self, content: bytes) -> str:
        """Compute the MD5 as Azure writes it."""
        return base64.b64encode(_md5(content)).decode()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield name and size in bytes of the blobs below a prefix, in the order of their names."""
        found = iter(self._attempt(lambda: self._container().list_blobs(name_starts_with=prefix)))
        while (blob := self._attempt(lambda: next(found, None))) is not None:
            yield str(blob.name), int(blob.size)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read part of a blob; less than `length` at its end."""
        blob = self._attempt(
            lambda: self._container().download_blob(key, offset=start, length=length)
        )
        if is_page(blob.properties.content_settings.content_type):
            raise StoreError("UnreadableAnswer", 200)
        return self._attempt(blob.readall)

    def delete(self, key: str) -> None:
        """Delete a blob; a missing one is no error."""
        try:
            self._attempt(lambda: self._container().delete_blob(key))
        except StoreError as error:
            if error.code != "BlobNotFound":
                raise

    def close(self) -> None:
        """Close connections and forget credentials."""
        if self._sdk is not None:
            self._sdk.close()
            self._sdk = None

    def _upload(
        self,
        key: str,
        content: bytes,
        media_type: str,
        metadata: dict[str, str],
        *,
        overwrite: bool,
    ) -> None:
        self._content = content

        def upload() -> None:
            from azure.storage.blob import ContentSettings

            is_checked = self._options.checksum == "md5"
            about = ContentSettings(
                content_type=media_type,
                content_md5=bytearray(_md5(content)) if is_checked else None,
            )
            self._container().upload_blob(
                key,
                content,
                length=len(content),
                metadata=metadata,
                overwrite=overwrite,
                validate_content=is_checked,
                content_settings=about,
                max_concurrency=1,
            )

        try:
            self._attempt(upload)
        finally:
            self._content = b""

    def _attempt(self, step: Callable[[], T]) -> T:
        from azure.core.exceptions import AzureError

        try:
            return step()
        except AzureError as error:
            # not chained: its message is the server's
            raise _store_error(error, self._content, is_probe=self._is_probing) from None
        except OSError as error:
            raise StoreError(error.strerror or type(error).__name__) from error
        except UNREADABLE:
            raise StoreError("UnreadableAnswer") from None  # not chained: it may quote the answer

    def _container(self) -> ContainerClient:
        if self._sdk is None:
            self._sdk = _make_container(self._options)
        return self._sdk


def _make_container(options: Options) -> ContainerClient:
    from azure.storage.blob import ContainerClient

    return ContainerClient(
        options.address,
        options.container,
        _credential(options),
        retry_total=0,
        max_single_put_size=options.blocks_above,
        max_block_size=options.block_size,
        connection_timeout=options.connect_timeout,
        read_timeout=min(options.timeout, READ_TIMEOUT_SECONDS),
        connection_verify=options.tls.ca_file or options.tls.verify,
        connection_cert=certificate_files(options.tls),
    )


def _credential(options: Options) -> Credential:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    key: str | None = options.account_key
    signature: str | None = options.sas_token
    text: str | None = options.connection_string
    if options.credentials_file is not None:
        text = _read(options.credentials_file)
    if text is not None:
        key, signature = _key_or_signature(text)
    if not all(each.isprintable() for each in (key, signature) if each):
        raise StoreError("UnusableCredentials")
    if key is not None:
        return AzureNamedKeyCredential(account_of(options.address), str(key))
    if signature is not None:
        return AzureSasCredential(str(signature))
    return _identity(options)


def _read(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # not chained: the second one's message quotes the bytes
        raise StoreError("UnusableCredentials") from None
    if not text or not text.isprintable():
        raise StoreError("UnusableCredentials")
    return text


def _key_or_signature(text: str) -> tuple[str | None, str | None]:
    """Return account key or shared access signature, whichever the text is or contains.

    Its shape says which of three it is: a connection string, a signature or a key.
    """
    if "sig=" in text and ";" not in text:
        return None, text
    if ";" not in text:
        return text, None
    try:
        found = ConnectionString.parse(text)
    except ValueError:
        raise StoreError("UnusableCredentials") from None
    return found.key, found.signature


def _identity(options: Options) -> TokenCredential:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise StoreError("IdentityNotInstalled") from None
    return DefaultAzureCredential(managed_identity_client_id=options.client_id)


def _metadata(properties: BlobProperties) -> ObjectMetadata:
    checksum = properties.content_settings.content_md5
    metadata = {name.lower(): value for name, value in (properties.metadata or {}).items()}
    return ObjectMetadata(
        int(properties.size),
        metadata.get(DIGEST_KEY),
        base64.b64encode(checksum).decode() if checksum else None,
    )


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _store_error(error: AzureError, content: bytes, *, is_probe: bool) -> StoreError:
    from azure.core.exceptions import HttpResponseError

    if not isinstance(error, HttpResponseError) or error.response is None:
        reason = (
            tls_failure(error.inner_exception)
            if isinstance(error.inner_exception, BaseException)
            else None
        )
        return StoreError("SSLError" if reason else type(error).__name__, tls_reason=reason)
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    code = re.sub(
        r"[^A-Za-z0-9._-]",
        "",
        str(headers.get("x-ms-error-code") or getattr(error, "error_code", "")),
    )[:64]
    after = parse_retry_after(headers.get("Retry-After"))
    return StoreError(
        code or type(error).__name__,
        int(error.status_code or 0),
        after_seconds=after,
        detail=_describe(error, content, is_probe=is_probe),
    )


def _describe(error: HttpResponseError, content: bytes, *, is_probe: bool) -> str:
    response: Any = error.response  # two kinds in the SDK, and no type for what they share
    answer = make_answer(
        int(error.status_code or 0),
        response.headers,
        response.body(),
        url=response.request.url,
        sent_headers=response.request.headers,
        sent=(response.request.data, content),
    )
    message = next(iter(str(error.message).splitlines()), "")
    return describe_answer(answer, message, is_probe=is_probe)
