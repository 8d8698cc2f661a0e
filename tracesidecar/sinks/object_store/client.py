"""What the sink of objects, and the commands that read objects back, need of a store's client."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tracesidecar.model import Payload
from tracesidecar.sinks.object_store.errors import ErrorTable

_PROBE_CONTENT = (
    b"Written by tracesidecar to learn whether it may write here, "
    b"and whether this store honours conditions.\n"
)
PROBE = Payload(
    "_probe/conditional-write",
    _PROBE_CONTENT,
    hashlib.sha256(_PROBE_CONTENT).digest(),
    records=0,
    media_type="text/plain",
)
"""The object that proves the right to write. Every start finds it or writes it."""


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """What a store says about an object.

    `digest` is the SHA-256 in hex that this program stored beside it; `checksum` is the store's own
    over the whole content. Either is None when the store has none.
    """

    size_bytes: int
    digest: str | None
    checksum: str | None

    def matches(self, payload: Payload, checksum: str) -> bool:
        """Return whether the object is this payload, or one that was planned under its name before.

        `checksum` is the payload's. The stored digest alone proves too little: a store may have
        kept our note and lost bytes.
        """
        is_whole = self.size_bytes == len(payload.content)
        if self.digest == payload.sha256.hex():
            return is_whole and self.checksum in {None, checksum}
        return self.digest in {planned.hex() for planned in payload.planned} or (
            is_whole and self.checksum == checksum
        )


class StoreClient(Protocol):
    """The calls of one bucket or container.

    Every call blocks, makes one attempt, and raises StoreError unless the store answers with
    success. One thread at a time. The connection is made by the first call, and again by the first
    call after `close`.
    """

    @property
    def errors(self) -> ErrorTable:
        """What the errors mean."""
        ...

    def prove_access(self, key: str) -> None:
        """Prove, by writing an object under that key, that the credentials may write."""
        ...

    def create(self, key: str, payload: Payload, batch_id: str) -> None:
        """Create an object; return when it is durable and the store's checksum of it agrees.

        Raises NameTaken when there is already an object under that key.
        """
        ...

    def replace(self, key: str, source: str, media_type: str, digest: str) -> None:
        """Write a file's content over what is there, with its SHA-256 in hex beside it."""
        ...

    def head(self, key: str) -> ObjectMetadata | None:
        """Fetch what the store knows about an object; None when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of the objects below a prefix, in the order of their keys."""
        ...

    def read(self, key: str, start: int, length: int) -> bytes:
        """Read part of an object; less than `length` at its end."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error."""
        ...

    def checksum(self, content: bytes) -> str:
        """Compute the checksum that the store reports in `ObjectMetadata.checksum`."""
        ...

    def close(self) -> None:
        """Close connections and forget credentials."""
        ...


def media_type_of(payload: Payload) -> str:
    """Return the media type of the stored bytes.

    Compressed content has the type of its compression. A Content-Encoding would not do: some
    readers then unpack the object, and its digest no longer matches.
    """
    return (
        payload.media_type
        if payload.compression == "none"
        else f"application/{payload.compression}"
    )
