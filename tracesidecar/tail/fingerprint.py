"""How a file is recognized: keyed digests of its first bytes, and of those before a checkpoint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from tracesidecar.model import BEGINNING, TAIL_BYTES, Checkpoint


class ByteSource(Protocol):
    """An open file, read at (decompressed) offsets."""

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only where the file ends for now."""
        ...

    def find_data(self, offset: int) -> int:
        """Return where a hole at an offset ends, the offset itself if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first bytes of a file: how many (up to 4 KiB), and their keyed digest."""

    length: int
    digest: bytes


class Fingerprinter:
    """Makes and compares keyed digests.

    The key belongs to this installation and stays in its journal: a hash without a key would
    identify a short secret.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key

    def digest(self, data: bytes | memoryview) -> bytes:
        """Return the keyed digest of some bytes."""
        return hashlib.blake2b(data, key=self.key, digest_size=16).digest()

    def prefix(self, source: ByteSource) -> Prefix:
        """Return the prefix of a file as it is now."""
        data = source.pread(TAIL_BYTES, 0)
        return Prefix(len(data), self.digest(data))

    def begins_with(self, source: ByteSource, prefix: Prefix) -> bool:
        """Return whether the file still begins with these bytes."""
        data = source.pread(prefix.length, 0)
        return len(data) == prefix.length and self.digest(data) == prefix.digest

    def checkpoint(self, source: ByteSource, offset: int, before: bytes = b"") -> Checkpoint:
        """Return the checkpoint at an offset of a file as it is now.

        `before` was just read up to the offset: if it is long enough, it is not read again.
        """
        if not offset:
            return BEGINNING
        length = min(offset, TAIL_BYTES)
        if len(before) >= length:
            return Checkpoint(offset, self.digest(before[-length:]))
        return Checkpoint(offset, self._tail(source, offset))

    def matches(self, source: ByteSource, checkpoint: Checkpoint) -> bool:
        """Return whether the bytes before the checkpoint are still those that were there."""
        return checkpoint.offset == 0 or self._tail(source, checkpoint.offset) == checkpoint.digest

    def _tail(self, source: ByteSource, offset: int) -> bytes:
        start = max(0, offset - TAIL_BYTES)
        data = source.pread(offset - start, start)
        return self.digest(data) if len(data) == offset - start else b""
