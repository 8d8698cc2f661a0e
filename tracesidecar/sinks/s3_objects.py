"""The objects of an S3 sink, to look at and to rewrite."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.s3_answers import MEANINGS
from tracesidecar.sinks.s3_bucket import DIGEST_KEY, Bucket, Part
from tracesidecar.sinks.s3_options import Options
from tracesidecar.sinks.store_failures import StoreFailure

BLOCK_BYTES = 8 << 20
ATTEMPTS = 5
"""A person waits: what a store in trouble does not give within about 15 s is an error."""

T = TypeVar("T")


def objects(options: SinkOptions) -> S3Objects:
    """Look at what a sink of these options keeps; needs the rights to list and to read, and to delete where objects are rewritten."""
    return S3Objects(cast("Options", options))


class S3Objects:
    """Objects by their names below the prefix. Every method blocks, and may raise RetryLater, for what the store refuses."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._prefix = options.key_prefix
        self._bucket = Bucket(options)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each object below a prefix that ends in a slash or is empty."""
        try:
            for key, size_bytes in self._bucket.objects(self._prefix + prefix):
                yield key.removeprefix(self._prefix), size_bytes
        except StoreFailure as failure:
            raise MEANINGS.later(failure, self._options.where) from failure

    def read(self, name: str) -> Iterator[bytes]:
        """The content in blocks; raises FileNotFoundError where there is none."""
        stored = self._patiently(lambda: self._bucket.head(self._prefix + name))
        if stored is None:
            raise FileNotFoundError(name)
        for start in range(0, stored.size_bytes, BLOCK_BYTES):
            yield self._patiently(lambda start=start: self._bucket.read(self._prefix + name, start, BLOCK_BYTES))  # type: ignore[misc]

    def local(self, _name: str) -> str | None:
        """Nothing lies on this machine."""
        return None

    def put(self, name: str, source: str) -> None:
        """Keep a file's content under a name, in place of what was there."""
        key = self._prefix + name
        with open(source, "rb") as file:
            metadata = {DIGEST_KEY: hashlib.file_digest(file, "sha256").hexdigest()}
        media_type = "application/json" if name.endswith(".json") else "application/vnd.apache.parquet"
        if os.stat(source).st_size > self._options.multipart_above:
            self._put_in_parts(key, source, media_type, metadata)
            return
        with open(source, "rb") as file:
            content = file.read()
        self._patiently(lambda: self._bucket.put(key, content, media_type=media_type, metadata=metadata, conditionally=False))

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is as good."""
        self._patiently(lambda: self._bucket.delete(self._prefix + name))

    def close(self) -> None:
        """Let go of the connections."""
        self._bucket.close()

    def _put_in_parts(self, key: str, source: str, media_type: str, metadata: dict[str, str]) -> None:
        upload = self._patiently(lambda: self._bucket.open_upload(key, media_type=media_type, metadata=metadata))
        parts: list[Part] = []
        try:
            with open(source, "rb") as file:
                while content := file.read(self._options.part_size):
                    number = len(parts) + 1
                    parts.append(self._patiently(lambda number=number, content=content: self._bucket.put_part(key, upload, number, content)))  # type: ignore[misc]
            self._patiently(lambda: self._bucket.complete_upload(key, upload, parts, conditionally=False))
        except BaseException:
            self._patiently(lambda: self._bucket.abort_upload(key, upload))
            raise

    def _patiently(self, step: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return step()
            except StoreFailure as failure:
                if attempt == ATTEMPTS or not (failure.status in {0, 429} or failure.status >= 500):
                    raise MEANINGS.later(failure, self._options.where) from failure
                time.sleep(2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")
