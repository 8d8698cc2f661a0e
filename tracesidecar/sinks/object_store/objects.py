"""The stored objects of a cloud sink, for `verify` and `compact`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from tracesidecar.sinks.object_store.client import StoreClient
from tracesidecar.sinks.object_store.errors import StoreError
from tracesidecar.sinks.object_store.options import ObjectStoreOptions

BLOCK_BYTES = 8 << 20
ATTEMPTS = 5
"""A person is waiting: after five attempts, about 15 s, the command ends with an error."""

T = TypeVar("T")


class RemoteObjects:
    """Objects by their names relative to the sink's prefix. See `sinks.sink.StoredObjects`."""

    def __init__(self, client: StoreClient, options: ObjectStoreOptions, where: str) -> None:
        """`where` names the store in errors."""
        self._client = client
        self._prefix = options.key_prefix
        self._where = where

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield name and size in bytes of each object below a prefix."""
        try:
            for key, size_bytes in self._client.list(self._prefix + prefix):
                yield key.removeprefix(self._prefix), size_bytes
        except StoreError as error:
            raise self._client.errors.retry_later(error, self._where) from error

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content in blocks. Raises FileNotFoundError when there is no such object."""
        found = self._retry(lambda: self._client.head(self._prefix + name))
        if found is None:
            raise FileNotFoundError(name)
        for start in range(0, found.size_bytes, BLOCK_BYTES):
            yield self._retry(partial(self._client.read, self._prefix + name, start, BLOCK_BYTES))

    def put(self, name: str, source: str) -> None:
        """Store a file's content under a name, replacing what is there."""
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        media_type = (
            "application/json" if name.endswith(".json") else "application/vnd.apache.parquet"
        )
        self._retry(lambda: self._client.replace(self._prefix + name, source, media_type, digest))

    def remove(self, name: str) -> None:
        """Remove an object; a missing one is no error."""
        self._retry(lambda: self._client.delete(self._prefix + name))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _retry(self, step: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return step()
            except StoreError as error:
                is_temporary = error.status in {0, 429} or error.status >= 500
                if attempt == ATTEMPTS or not is_temporary:
                    raise self._client.errors.retry_later(error, self._where) from error
                time.sleep(2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")
