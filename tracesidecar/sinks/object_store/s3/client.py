"""An S3 bucket as a store of objects: one request or parts, and aborting what a crash left open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.client import PROBE, ObjectMetadata, media_type_of
from tracesidecar.sinks.object_store.errors import NameTaken, StoreError
from tracesidecar.sinks.object_store.s3.bucket import DIGEST_KEY, Bucket, UploadPart
from tracesidecar.sinks.object_store.s3.checksums import checksum
from tracesidecar.sinks.object_store.s3.errors import ERRORS, is_condition_unsupported, is_taken
from tracesidecar.sinks.object_store.s3.options import Options

log = structlog.get_logger(__name__)

BATCH_KEY = "tracesidecar-batch"
ORPHANED_AFTER = timedelta(days=1)
"""An upload comes from memory in one go. One that is still open after a day has lost its process,
whichever machine that was on.
"""


class S3Client:
    """A bucket, see `StoreClient`."""

    errors = ERRORS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._bucket = Bucket(options)
        self._checksum = checksum(options.checksum)
        self._is_conditional = True  # what the probe found out about the store

    def prove_access(self, key: str) -> None:
        """Prove that the credentials may write, and learn whether the store honours conditions.

        Abort the uploads that crashes left open.
        """
        with self._bucket.probing():
            self._is_conditional = self._honours_condition(key)
        if not self._is_conditional and self._options.conditional:
            log.warning(
                "sink.unconditional",
                destination=self._options.where,
                meaning="the store ignores If-None-Match: a repeat overwrites the object with the "
                "same bytes, and another writer's object of that name is not noticed",
            )
        self._abort_uploads(self._options.key_prefix, datetime.now(UTC) - ORPHANED_AFTER)

    def create(self, key: str, payload: Payload, batch_id: str) -> None:
        """Create an object in one request or in parts; neither leaves an upload open."""
        content, media_type = payload.content, media_type_of(payload)
        metadata = {DIGEST_KEY: payload.sha256.hex(), BATCH_KEY: batch_id}
        try:
            if len(content) > self._options.multipart_above:
                self._create_in_parts(key, content, media_type, metadata)
                return
            returned = self._bucket.put(
                key,
                content,
                media_type=media_type,
                metadata=metadata,
                if_absent=self._is_conditional,
            )
            self._confirm(key, content, self._checksum.of(content), returned)
        except StoreError as error:
            if not is_taken(error):
                raise
            raise NameTaken from error

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Write a file's content over what is there, in one request or in parts."""
        metadata = {DIGEST_KEY: digest}
        with open(source, "rb") as file:
            if os.fstat(file.fileno()).st_size > self._options.multipart_above:
                contents = iter(lambda: file.read(self._options.part_size), b"")
                self._upload(key, contents, media_type, metadata, if_absent=False)
            else:
                self._bucket.put(
                    key, file.read(), media_type=media_type, metadata=metadata, if_absent=False
                )

    def head(self, key: str) -> ObjectMetadata | None:
        """Fetch what the store knows about an object; None when there is none."""
        return self._bucket.head(key)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of the objects below a prefix, in the order of their keys."""
        return self._bucket.list(prefix)

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read part of an object; less than `length` at its end."""
        return self._bucket.read(key, start, length)

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        self._bucket.delete(key)

    def checksum(self, content: bytes) -> str:
        """Compute the checksum of the configured algorithm."""
        return self._checksum.of(content)

    def close(self) -> None:
        """Close connections and forget credentials."""
        self._bucket.close()

    def _honours_condition(self, key: str) -> bool:
        """Write the probe until the store rejects it as taken.

        The first conditional write may create it; a store that accepts the second one, too, ignores
        the condition. One that answers that it does not know conditions must take it without.
        """
        for if_absent in (True, True, False) if self._options.conditional else (False,):
            try:
                self._bucket.put(
                    key,
                    PROBE.content,
                    media_type=PROBE.media_type,
                    metadata={},
                    if_absent=if_absent,
                )
            except StoreError as error:
                if is_taken(error):
                    return True
                if not is_condition_unsupported(error):
                    raise
        return False

    def _create_in_parts(
        self, key: str, content: bytes, media_type: str, metadata: dict[str, str]
    ) -> None:
        self._abort_uploads(key, datetime.max.replace(tzinfo=UTC))
        size = self._options.part_size
        contents = (content[at : at + size] for at in range(0, len(content), size))
        parts, returned = self._upload(
            key, contents, media_type, metadata, if_absent=self._is_conditional
        )
        expected = self._checksum.of_parts(content, [part.checksum for part in parts])
        self._confirm(key, content, expected, returned)

    def _upload(
        self,
        key: str,
        contents: Iterable[bytes],
        media_type: str,
        metadata: dict[str, str],
        *,
        if_absent: bool,
    ) -> tuple[Sequence[UploadPart], str | None]:
        upload = self._bucket.open_upload(key, media_type=media_type, metadata=metadata)
        try:
            parts = [
                self._bucket.put_part(key, upload, number, content)
                for number, content in enumerate(contents, start=1)
            ]
            return parts, self._bucket.complete_upload(key, upload, parts, if_absent=if_absent)
        except (StoreError, OSError):
            self._abort(key, upload)
            raise

    def _confirm(self, key: str, content: bytes, expected: str, returned: str | None) -> None:
        """Compare the checksum that the store reports with that of what was sent.

        A store that reports none is asked for the object's size instead.
        """
        if returned is not None and expected and returned != expected:
            raise StoreError("BadDigest", 200)
        if returned is None and self._find_size(key) not in {None, len(content)}:
            raise StoreError("BadDigest", 200)

    def _find_size(self, key: str) -> int | None:
        """Return the object's size; -1 when it is missing, None when we may not read it."""
        try:
            found = self._bucket.head(key)
        except StoreError as error:
            if error.status == 403:
                return None
            raise
        return -1 if found is None else found.size_bytes

    def _abort_uploads(self, prefix: str, before: datetime) -> None:
        """Abort the open uploads that a crash left behind.

        With credentials that may only put, the bucket's own lifecycle rule has to do this.
        """
        try:
            left = [
                upload for upload in self._bucket.list_uploads(prefix) if upload.initiated < before
            ]
        except StoreError as error:
            log.debug("sink.uploads_unlisted", destination=self._options.where, code=error.code)
            return
        for upload in left:
            self._abort(upload.key, upload.upload_id)

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self._bucket.abort_upload(key, upload_id)
        except StoreError as error:
            log.warning(
                "sink.upload_left_open",
                key=key,
                code=error.code,
                meaning="its parts cost money until the upload is aborted",
            )
