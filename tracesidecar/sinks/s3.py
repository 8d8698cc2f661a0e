"""The S3 sink: each object put once under a name of its own, on the condition that the name is free."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar, cast

import structlog

from tracesidecar.errors import RetryLater, SinkHalted
from tracesidecar.model import Batch, Payload
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.s3_answers import is_condition_refused, is_forbidden, is_taken, later
from tracesidecar.sinks.s3_bucket import Bucket, S3Failure, Stored, checksum_of, checksum_of_parts
from tracesidecar.sinks.s3_options import Options
from tracesidecar.sinks.worker import Worker

__all__ = ["Options", "S3Sink", "build", "destination"]

log = structlog.get_logger(__name__)

DIGEST_KEY = "tracesidecar-sha256"
BATCH_KEY = "tracesidecar-batch"
PROBE_NAME = "_probe/conditional-write"
PROBE_CONTENT = b"Written by tracesidecar to learn whether this store honours If-None-Match.\n"
ORPHANED_AFTER = timedelta(days=1)
"""An upload is made from memory in one go: one that is still open after a day has lost its process, whoever's it was."""

T = TypeVar("T")


def build(options: SinkOptions) -> S3Sink:
    """Make the sink; boto3 is imported on entry."""
    return S3Sink(cast("Options", options))


def destination(options: SinkOptions) -> str:
    """Name endpoint, bucket and prefix."""
    options = cast("Options", options)
    return f"s3:{options.endpoint_url or 'aws'}/{options.bucket}/{options.prefix.strip('/')}"


class S3Sink:
    """Exactly once: by the condition, and where the store ignores it because the same name always gets the same bytes.

    All calls are made in one thread of its own: a call that was given up is still awaited before the next one is made.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prefix = f"{prefix}/" if (prefix := options.prefix.strip("/")) else ""
        self._bucket = Bucket(options)
        self._worker: Worker | None = None
        self.is_conditional = True

    async def __aenter__(self) -> Self:
        if not self._options.tls.verify:
            log.warning("sink.tls_unverified", destination=self._options.where, meaning="anyone on the way can read; set tls.verify")
        self._worker = Worker("s3")
        try:
            self.is_conditional = await self._in_thread(self._probe)
            await self._in_thread(lambda: self._abort_uploads(self._prefix, datetime.now(UTC) - ORPHANED_AFTER))
        except BaseException:
            self._close()
            raise
        if not self.is_conditional:
            log.warning("sink.unconditional", destination=self._options.where, meaning="a repeat replaces its equal; others are not noticed")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    async def send(self, batch: Batch) -> None:
        """Put all objects, then the manifest."""
        for payload in (*batch.objects, *((batch.manifest,) if batch.manifest is not None else ())):
            await self._in_thread(lambda payload=payload: self._keep(payload, batch.id))  # type: ignore[misc]

    async def exists(self, name: str) -> bool:
        """Tell whether an object of that name is there; needs the right to read, and to list for a no."""
        return await self._in_thread(lambda: self._bucket.head(self._prefix + name)) is not None

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        self._bucket.close()

    async def _in_thread(self, step: Callable[[], T]) -> T:
        if self._worker is None:
            raise RuntimeError("the sink is used outside of its async with")
        try:
            async with asyncio.timeout(self._options.timeout):
                return await self._worker.run(step)
        except TimeoutError as error:
            raise RetryLater("timeout", f"{self._options.where} did not answer in time; the object keeps its name") from error
        except S3Failure as failure:
            if is_forbidden(failure):
                self._bucket.renew()
            raise later(failure, self._options.where) from failure

    def _probe(self) -> bool:
        for is_conditional in (True, True, False):
            try:
                self._bucket.put(self._prefix + PROBE_NAME, PROBE_CONTENT, media_type="text/plain", metadata={}, conditionally=is_conditional)
            except S3Failure as failure:
                if is_taken(failure):
                    return True
                if not is_condition_refused(failure):
                    raise
        return False

    def _keep(self, payload: Payload, batch_id: str) -> None:
        key = self._prefix + payload.name
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        media_type = payload.media_type if payload.compression == "none" else f"application/{payload.compression}"
        try:
            if len(payload.content) > self._options.multipart_above:
                self._put_in_parts(key, payload.content, media_type, metadata)
            else:
                returned = self._bucket.put(key, payload.content, media_type=media_type, metadata=metadata, conditionally=self.is_conditional)
                self._confirm(key, payload.content, checksum_of(payload.content), returned)
        except S3Failure as failure:
            if not is_taken(failure):
                raise
            self._accept_equal(key, payload)

    def _put_in_parts(self, key: str, content: bytes, media_type: str, metadata: dict[str, str]) -> None:
        self._abort_uploads(key, datetime.max.replace(tzinfo=UTC))
        upload = self._bucket.open_upload(key, media_type=media_type, metadata=metadata)
        size = self._options.part_size
        starts = range(0, len(content), size)
        try:
            parts = [self._bucket.put_part(key, upload, number, content[at : at + size]) for number, at in enumerate(starts, start=1)]
            returned = self._bucket.complete_upload(key, upload, parts, conditionally=self.is_conditional)
        except S3Failure:
            self._abort(key, upload)
            raise
        self._confirm(key, content, checksum_of_parts(parts), returned)

    def _confirm(self, key: str, content: bytes, expected: str, returned: str | None) -> None:
        """Hold what the store says that it has against what was sent; a store that gives no checksum is asked for the size."""
        if returned is None:
            stored = self._look(key)
            if stored is None or stored.size_bytes == len(content):
                return
        elif returned == expected:
            return
        raise S3Failure("BadDigest", 200)

    def _accept_equal(self, key: str, payload: Payload) -> None:
        stored = self._look(key)
        if stored is None:
            log.warning("sink.repeat_unread", key=key, meaning="the name is taken, and the credentials may not read whether the content is ours")
            return
        if not _is_ours(stored, payload):
            said = f"{self._options.where} already has {key} with other content; find out who wrote it, then move it away"
            raise SinkHalted("other_content", said)

    def _look(self, key: str) -> Stored | None:
        """Return what is stored under the key, None when that may not be read."""
        try:
            stored = self._bucket.head(key)
        except S3Failure as failure:
            if failure.status == 403:
                return None
            raise
        if stored is None:
            raise RetryLater("conflict", f"{self._options.where} said that it has {key}, and then that it has not")
        return stored

    def _abort_uploads(self, prefix: str, before: datetime) -> None:
        """Throw away what a crash left open; with credentials that may only put, the bucket's own lifecycle rule has to."""
        try:
            left = [upload for upload in self._bucket.uploads(prefix) if upload.initiated < before]
        except S3Failure as failure:
            log.debug("sink.uploads_unlisted", destination=self._options.where, code=failure.code)
            return
        for upload in left:
            self._abort(upload.key, upload.upload_id)

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._bucket.abort_upload(key, upload_id)
        except S3Failure as failure:
            log.warning("sink.upload_left_open", key=key, code=failure.code, meaning="its parts cost money until they are aborted")


def _is_ours(stored: Stored, payload: Payload) -> bool:
    """Tell whether what is stored is this payload or one that was planned under its name; our own note of it is not proof enough."""
    whole = base64.b64encode(payload.sha256).decode()
    checksum = None if stored.checksum is None or "-" in stored.checksum else stored.checksum  # with a dash it is one of parts
    noted = stored.metadata.get(DIGEST_KEY)
    if noted == payload.sha256.hex():
        return stored.size_bytes == len(payload.content) and checksum in {None, whole}
    return noted in {planned.hex() for planned in payload.planned} or checksum == whole
