"""A `.gz` or `.zst` file, read at decompressed offsets.

The decompressor stays open and only goes forward.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from tracesidecar.model import CHUNK_BYTES, Compression

BOMB_BYTES = 256 << 20
BOMB_RATIO = 500
"""A stream that expands more than this many times, beyond `BOMB_BYTES`, is not a trace."""

_INPUT_BYTES = 64 * 1024
_OUTPUT_BYTES = 256 * 1024
_ZSTANDARD_INPUT_BYTES = 1024
"""Its decompressor does not limit its output; the most that a KiB can hold is 32 MiB."""

_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression_of(name: str, beginning: bytes) -> Compression:
    """Return how a file is compressed, by its name and its first bytes."""
    if name.endswith((".gz", ".zst")):
        for magic, compression in _MAGIC.items():
            if beginning.startswith(magic):
                return compression
    return "none"


class ArchiveError(Exception):
    """The stream cannot be decompressed further: it is damaged, or a bomb."""

    def __init__(self, reason: Literal["corrupt", "bomb"]) -> None:
        super().__init__(reason)
        self.reason = reason


class ArchiveFile:
    """Reads forward and keeps a window; a step back beyond it decompresses from the beginning."""

    def __init__(self, descriptor: int, compression: Compression, *, window: int) -> None:
        """`window` is the most that is kept, in decompressed bytes."""
        self._descriptor = descriptor
        self._compression: Compression = compression
        self._window = window
        self._floor = 0
        self._restart()

    @property
    def is_complete(self) -> bool:
        """Return whether the stream has been read to its proper end."""
        return self._stream.is_complete

    @property
    def start(self) -> int:
        """Return the lowest offset that can be read without decompressing from the beginning."""
        return self._start

    def keep_from(self, offset: int) -> None:
        """Keep what is read from an offset on, and nothing before it."""
        self._floor = offset
        self._trim(offset)

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` decompressed bytes; fewer only where the file ends for now."""
        if offset < self._start:
            self._restart()
        while self._start + len(self._held) < offset + length and (data := self._stream.inflate()):
            self._held += data
            self._trim(min(offset, max(self._floor, offset - self._window)))
        begin = offset - self._start
        return bytes(self._held[begin : begin + length]) if begin < len(self._held) else b""

    def size(self) -> int:
        """Return how many decompressed bytes are known."""
        return self._start + len(self._held)

    def _trim(self, offset: int) -> None:
        surplus = min(offset - self._start, len(self._held))
        if surplus > CHUNK_BYTES:
            del self._held[:surplus]
            self._start += surplus

    def _restart(self) -> None:
        self._stream = _Stream(self._descriptor, self._compression)
        self._held = bytearray()
        self._start = 0


class _Stream:
    """The decompressed bytes of all members or frames of a file, one after the other.

    A file that ends too early may still grow, and is read again then.
    """

    def __init__(self, descriptor: int, compression: Compression) -> None:
        self._descriptor = descriptor
        self._is_gzip = compression == "gzip"
        self._offset = 0
        self._produced = 0
        self._pending = b""
        self._member = self._begin()

    @property
    def is_complete(self) -> bool:
        """Return whether the last member ends where the file ends."""
        return (
            bool(self._member.eof)
            and not self._pending
            and self._offset >= os.fstat(self._descriptor).st_size
        )

    def inflate(self) -> bytes:
        """Return some more bytes, b"" if there are none for now."""
        while True:
            if not self._pending:
                self._pending = os.pread(self._descriptor, _INPUT_BYTES, self._offset)
                self._offset += len(self._pending)
            if self._member.eof:
                # tools that write to tapes or in blocks pad with zeros
                self._pending = self._pending.lstrip(b"\0")
                self._member = self._begin() if self._pending else self._member
            if not self._pending:
                return b""
            if data := self._step():
                self._produced += len(data)
                if self._produced > BOMB_BYTES and self._produced > BOMB_RATIO * self._offset:
                    raise ArchiveError("bomb")
                return data

    def _begin(self) -> Any:
        return (
            isal_zlib.decompressobj(wbits=31)
            if self._is_gzip
            else zstandard.ZstdDecompressor().decompressobj()
        )

    def _step(self) -> bytes:
        try:
            if self._is_gzip:
                data: bytes = self._member.decompress(self._pending, _OUTPUT_BYTES)
                rest: bytes = self._member.unconsumed_tail
            else:
                data = self._member.decompress(self._pending[:_ZSTANDARD_INPUT_BYTES])
                rest = self._pending[_ZSTANDARD_INPUT_BYTES:]
        # the stub of IsalError has no base class
        except (IsalError, zstandard.ZstdError) as error:  # type: ignore[misc]
            raise ArchiveError("corrupt") from error
        self._pending = (
            self._member.unused_data + (b"" if self._is_gzip else rest)
            if self._member.eof
            else rest
        )
        return data
