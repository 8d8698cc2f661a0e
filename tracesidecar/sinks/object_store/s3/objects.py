"""The objects of an S3 sink, to look at and to rewrite."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tracesidecar.sinks.object_store.errors import StoreFailure
from tracesidecar.sinks.object_store.objects import RemoteObjects
from tracesidecar.sinks.object_store.s3.client import DIGEST_KEY, Bucket
from tracesidecar.sinks.object_store.s3.errors import MEANINGS
from tracesidecar.sinks.object_store.s3.options import Options
from tracesidecar.sinks.object_store.stored import Stored


def objects(options: Options) -> RemoteObjects:
    """Look at what a sink of these options keeps; needs the rights to list and to read, and to
    delete where objects are rewritten.
    """
    return RemoteObjects(_Objects(options), options, options.where)


class _Objects:
    meanings = MEANINGS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._bucket = Bucket(options)

    def look(self, key: str) -> Stored | None:
        return self._bucket.head(key)

    def objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        return self._bucket.objects(prefix)

    def read(self, key: str, start: int, length: int) -> bytes:
        return self._bucket.read(key, start, length)

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        metadata = {DIGEST_KEY: digest}
        if os.stat(source).st_size > self._options.multipart_above:
            self._put_in_parts(key, source, media_type, metadata)
            return
        with open(source, "rb") as file:
            self._bucket.put(
                key, file.read(), media_type=media_type, metadata=metadata, conditionally=False
            )

    def delete(self, key: str) -> None:
        self._bucket.delete(key)

    def close(self) -> None:
        self._bucket.close()

    def _put_in_parts(
        self, key: str, source: str, media_type: str, metadata: dict[str, str]
    ) -> None:
        upload = self._bucket.open_upload(key, media_type=media_type, metadata=metadata)
        try:
            with open(source, "rb") as file:
                contents = iter(lambda: file.read(self._options.part_size), b"")
                parts = [
                    self._bucket.put_part(key, upload, number, content)
                    for number, content in enumerate(contents, start=1)
                ]
            self._bucket.complete_upload(key, upload, parts, conditionally=False)
        except (StoreFailure, OSError):
            self._bucket.abort_upload(key, upload)
            raise
