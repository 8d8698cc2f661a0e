"""The S3 sink: in one request, or in parts; what a crash left open is aborted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.errors import NameTaken, StoreFailure
from tracesidecar.sinks.object_store.s3.checksums import checksum
from tracesidecar.sinks.object_store.s3.client import DIGEST_KEY, Bucket
from tracesidecar.sinks.object_store.s3.errors import MEANINGS, is_condition_refused, is_taken
from tracesidecar.sinks.object_store.s3.objects import objects
from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.sinks.object_store.sink import PROBE, ObjectStoreSink, media_type_of
from tracesidecar.sinks.object_store.stored import Stored
from tracesidecar.sinks.sink import LAKE_ROW_BYTES, SinkType

__all__ = ["SINK_TYPE", "Options", "build"]

log = structlog.get_logger(__name__)

BATCH_KEY = "tracesidecar-batch"
ORPHANED_AFTER = timedelta(days=1)
"""An upload is made from memory in one go: one that is still open after a day has lost its process,
whoever's it was.
"""


def build(options: Options) -> ObjectStoreSink:
    """Make the sink; boto3 is imported on entry."""
    return ObjectStoreSink(S3Client(options), options, options.where)


def destination(options: Options) -> str:
    """Name endpoint, bucket and prefix."""
    return f"s3:{options.endpoint_url or 'aws'}/{options.bucket}/{options.prefix.strip('/')}"


def lake_location(options: Options) -> str:
    """Name bucket and prefix as a URL."""
    return f"s3://{options.bucket}/{options.key_prefix}".rstrip("/")


class S3Client:
    """A bucket as a sink of objects needs it.

    `is_conditional` is what the probe found out about the store.
    """

    meanings = MEANINGS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._bucket = Bucket(options)
        self._checksum = checksum(options.checksum)
        self.is_conditional = True

    def prove(self, key: str) -> None:
        """Prove that the credentials may write, learn whether the store honours conditions, and
        throw away what crashes left open.
        """
        self.is_conditional = self._probe(key)
        if not self.is_conditional:
            log.warning(
                "sink.unconditional",
                destination=self._options.where,
                meaning="a repeat replaces its equal; others are not noticed",
            )
        self._abort_uploads(self._options.key_prefix, datetime.now(UTC) - ORPHANED_AFTER)

    def put(self, key: str, payload: Payload, batch_id: str) -> None:
        """Put an object in one request or in parts; both leave no upload open."""
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        try:
            if len(payload.content) > self._options.multipart_above:
                self._put_in_parts(key, payload.content, media_type_of(payload), metadata)
            else:
                media_type, content = media_type_of(payload), payload.content
                returned = self._bucket.put(
                    key,
                    content,
                    media_type=media_type,
                    metadata=metadata,
                    conditionally=self.is_conditional,
                )
                self._confirm(key, content, self._checksum.of(content), returned)
        except StoreFailure as failure:
            if not is_taken(failure):
                raise
            raise NameTaken from failure

    def look(self, key: str) -> Stored | None:
        """Ask for an object without its content."""
        return self._bucket.head(key)

    def checksum_of(self, content: bytes) -> str:
        """Compute the checksum of the configured algorithm."""
        return self._checksum.of(content)

    def close(self) -> None:
        """Let go of connections and credentials."""
        self._bucket.close()

    def _probe(self, key: str) -> bool:
        for is_conditional in (True, True, False):
            try:
                self._bucket.put(
                    key,
                    PROBE.content,
                    media_type=PROBE.media_type,
                    metadata={},
                    conditionally=is_conditional,
                )
            except StoreFailure as failure:
                if is_taken(failure):
                    return True
                if not is_condition_refused(failure):
                    raise
        return False

    def _put_in_parts(
        self, key: str, content: bytes, media_type: str, metadata: dict[str, str]
    ) -> None:
        self._abort_uploads(key, datetime.max.replace(tzinfo=UTC))
        upload = self._bucket.open_upload(key, media_type=media_type, metadata=metadata)
        size = self._options.part_size
        starts = range(0, len(content), size)
        try:
            parts = [
                self._bucket.put_part(key, upload, number, content[at : at + size])
                for number, at in enumerate(starts, start=1)
            ]
            returned = self._bucket.complete_upload(
                key, upload, parts, conditionally=self.is_conditional
            )
        except StoreFailure:
            self._abort(key, upload)
            raise
        self._confirm(
            key,
            content,
            self._checksum.of_parts(content, [part.checksum for part in parts]),
            returned,
        )

    def _confirm(self, key: str, content: bytes, expected: str, returned: str | None) -> None:
        """Hold what the store says that it has against what was sent; a store that gives no
        checksum is asked for the size.
        """
        if returned is not None and returned != expected:
            raise StoreFailure("BadDigest", 200)
        if returned is None and self._size(key) not in {None, len(content)}:
            raise StoreFailure("BadDigest", 200)

    def _size(self, key: str) -> int | None:
        try:
            stored = self._bucket.head(key)
        except StoreFailure as failure:
            if failure.status == 403:
                return None
            raise
        return -1 if stored is None else stored.size_bytes

    def _abort_uploads(self, prefix: str, before: datetime) -> None:
        """Throw away what a crash left open; with credentials that may only put, the bucket's own
        lifecycle rule has to.
        """
        try:
            left = [upload for upload in self._bucket.uploads(prefix) if upload.initiated < before]
        except StoreFailure as failure:
            log.debug("sink.uploads_unlisted", destination=self._options.where, code=failure.code)
            return
        for upload in left:
            self._abort(upload.key, upload.upload_id)

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._bucket.abort_upload(key, upload_id)
        except StoreFailure as failure:
            log.warning(
                "sink.upload_left_open",
                key=key,
                code=failure.code,
                meaning="its parts cost money until they are aborted",
            )


SINK_TYPE = SinkType(
    name="s3",
    options=Options,
    build=build,
    destination=destination,
    delivery_unit="objects",
    promise="exactly once",
    record_limit_bytes=LAKE_ROW_BYTES,
    keeps_content=True,
    lake_location=lake_location,
    stored_objects=objects,
    extra="s3",
    needs="boto3",
)
