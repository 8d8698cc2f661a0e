"""Holes in files: an agent can make one of terabytes, and there is nothing in it to be read."""

from __future__ import annotations

import errno
import hashlib
import os

from tracesidecar.model import CHUNK_BYTES

_ZEROS = bytes(CHUNK_BYTES)
_COUNT_BYTES = 8


def find_data(descriptor: int, offset: int) -> int:
    """Return where a hole at an offset ends, perhaps at the end of the file."""
    size = os.fstat(descriptor).st_size
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) if offset < size else offset
    except OSError as error:
        if error.errno == errno.ENXIO:  # the rest is a hole
            return size
        if error.errno == errno.EINVAL:  # this file system knows no holes
            return offset
        raise


def is_zeros(piece: bytes) -> bool:
    """Return whether a piece is a MiB of zeros, as a hole has them."""
    return piece == _ZEROS


def may_become_zeros(piece: bytes, offset: int) -> bool:
    """Return whether a piece at an offset may be a MiB of zeros on the grid once the file grows."""
    return offset % CHUNK_BYTES == 0 and len(piece) < CHUNK_BYTES and not piece.strip(b"\0")


class LongDigest:
    """The keyed digest of a line or document that is too long to be taken into memory.

    Of each MiB of zeros, on the grid of MiB of the file, it has the number only, so that a hole
    need not be read. It is the same whether these zeros are a hole or not.
    """

    def __init__(self, key: bytes) -> None:
        self._hasher = hashlib.blake2b(key=key, digest_size=16)
        self._zeros = 0

    def add(self, piece: bytes) -> None:
        """Add what follows; a MiB of zeros is one only if it begins on the grid."""
        if is_zeros(piece):
            self._zeros += 1
            return
        self._add_zeros()
        self._hasher.update(piece)

    def skip(self, blocks: int) -> None:
        """Add so many MiB of zeros."""
        self._zeros += blocks

    def digest(self) -> bytes:
        """Return the digest of all of it."""
        self._add_zeros()
        return self._hasher.digest()

    def _add_zeros(self) -> None:
        if self._zeros:
            self._hasher.update(self._zeros.to_bytes(_COUNT_BYTES, "big"))
            self._zeros = 0
