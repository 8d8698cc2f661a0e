"""Whether a planned range of a file still holds the bytes that were planned."""

from __future__ import annotations

import hashlib
import struct

from isal import isal_zlib


class RangeDigest:
    """A keyed digest over CRC-32, Adler-32 and length of the bytes given, in pieces of any size.

    It detects a file that happened to be rewritten under a plan, not an adversary, and costs a
    tenth of an HMAC over every byte: each batch pays for it, and only a crash needs it. A range
    that was rewritten on purpose is detected by the SHA-256 of the planned object.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._crc = 0
        self._adler = 1
        self._length = 0

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self._crc = isal_zlib.crc32(data, self._crc)
        self._adler = isal_zlib.adler32(data, self._adler)
        self._length += len(data)

    def digest(self) -> bytes:
        """Return the digest, 16 bytes."""
        return hashlib.blake2b(
            struct.pack("<IIQ", self._crc, self._adler, self._length), key=self._key, digest_size=16
        ).digest()
