"""The objects that a sink keeps in a cloud, to look at and to rewrite."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from tracesidecar.sinks.object_store.errors import ErrorTable, StoreFailure
from tracesidecar.sinks.object_store.options import ObjectStoreOptions
from tracesidecar.sinks.object_store.stored import Stored

BLOCK_BYTES = 8 << 20
ATTEMPTS = 5
"""A person waits: what a store in trouble does not give within about 15 s is an error."""

T = TypeVar("T")


class ObjectsClient(Protocol):
    """The calls of one bucket or container; all block and may raise StoreFailure."""

    @property
    def meanings(self) -> ErrorTable:
        """What the failures mean."""
        ...

    def look(self, key: str) -> Stored | None:
        """Ask for an object without its content; None when there is none."""
        ...

    def objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        """List the objects below a prefix in the order of their keys: key and size in bytes."""
        ...

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object, less at its end."""
        ...

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Put a file's content in place of what was there, with its SHA-256 in hex beside it."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class RemoteObjects:
    """Objects by their names below the prefix.

    Every method blocks, and may raise RetryLater, for what the store refuses.
    """

    def __init__(self, client: ObjectsClient, options: ObjectStoreOptions, where: str) -> None:
        self._client = client
        self._prefix = options.key_prefix
        self._where = where

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each object below a prefix that ends in a slash or is empty."""
        try:
            for key, size_bytes in self._client.objects(self._prefix + prefix):
                yield key.removeprefix(self._prefix), size_bytes
        except StoreFailure as failure:
            raise self._client.meanings.later(failure, self._where) from failure

    def read(self, name: str) -> Iterator[bytes]:
        """The content in blocks; raises FileNotFoundError where there is none."""
        stored = self._patiently(lambda: self._client.look(self._prefix + name))
        if stored is None:
            raise FileNotFoundError(name)
        for start in range(0, stored.size_bytes, BLOCK_BYTES):
            yield self._patiently(
                partial(self._client.read, self._prefix + name, start, BLOCK_BYTES)
            )

    def local(self, _name: str) -> str | None:
        """Nothing lies on this machine."""
        return None

    def put(self, name: str, source: str) -> None:
        """Keep a file's content under a name, in place of what was there."""
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        media_type = (
            "application/json" if name.endswith(".json") else "application/vnd.apache.parquet"
        )
        self._patiently(
            lambda: self._client.replace(self._prefix + name, source, media_type, digest)
        )

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is as good."""
        self._patiently(lambda: self._client.delete(self._prefix + name))

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _patiently(self, step: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return step()
            except StoreFailure as failure:
                if attempt == ATTEMPTS or not (failure.status in {0, 429} or failure.status >= 500):
                    raise self._client.meanings.later(failure, self._where) from failure
                time.sleep(2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")
