"""Clean lines into the bytes of an object: newline-delimited JSON, compressed as it comes in."""

from __future__ import annotations

import io
from typing import Protocol

import zstandard
from isal import isal_zlib

from tracesidecar.model import Compression

BLOCK_BYTES = 1 << 20
"""The compressor is fed blocks of exactly this size, so that the output does not depend on how the
lines came in.
"""

COMPRESSOR_BYTES = 256 << 10
"""About what a compressor takes by itself."""

ENTRY_BYTES = 64
"""What a line takes beside its bytes until it is compressed."""

EXTENSIONS: dict[Compression, str] = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}


def compression_of(name: str) -> Compression:
    """Return how the object of that name is compressed."""
    return next(
        (compression for compression, extension in EXTENSIONS.items() if name.endswith(extension)),
        "none",
    )


class _Compressor(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes | memoryview, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def _compressor(compression: Compression) -> _Compressor:
    if compression == "gzip":  # RFC 1952 with an mtime of 0: the same lines give the same bytes
        return isal_zlib.compressobj(level=1, wbits=31)
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    return _Plain()


class LinesEncoder:
    """Lines in, one compressed body out; deterministic for the same lines however they are cut into
    pieces.

    There is no compressor before the first block is full: a batch of many days and dialects has
    many bodies, most of them small.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._compressor: _Compressor | None = None
        self._block: list[bytes] = []  # one that grows in place would take half as much again
        self._block_bytes = 0
        self._body = io.BytesIO()  # getvalue() hands its buffer over without a copy

    def add(self, data: bytes) -> None:
        """Take whole lines."""
        rest = memoryview(data)
        while len(rest) >= BLOCK_BYTES - self._block_bytes:
            room = BLOCK_BYTES - self._block_bytes
            self._compress(b"".join((*self._block, rest[:room])) if self._block else rest[:room])
            self._block.clear()
            self._block_bytes = 0
            rest = rest[room:]
        if rest:
            self._block.append(data if len(rest) == len(data) else bytes(rest))
            self._block_bytes += len(rest)

    @property
    def encoded_bytes(self) -> int:
        """How much memory the body takes so far."""
        return (
            self._body.tell()
            + self._block_bytes
            + ENTRY_BYTES * len(self._block)
            + (COMPRESSOR_BYTES if self._compressor else 0)
        )

    def finish(self) -> bytes:
        """Close the body and return it; the encoder is spent."""
        self._body.write(self._compress(b"".join(self._block)).flush())
        self._block = []
        self._compressor = None  # a batch has many bodies, and is held until it has arrived
        return self._body.getvalue()

    def _compress(self, data: bytes | memoryview) -> _Compressor:
        if self._compressor is None:
            self._compressor = _compressor(self._compression)
        self._body.write(self._compressor.compress(data))
        return self._compressor


def encode_lines(data: bytes, compression: Compression) -> bytes:
    """Encode one body at once."""
    encoder = LinesEncoder(compression)
    encoder.add(data)
    return encoder.finish()


def decode_lines(content: bytes, compression: Compression) -> bytes:
    """Undo `encode_lines`: the newline-delimited JSON of a body that this program made."""
    if compression == "gzip":
        return isal_zlib.decompress(content, wbits=31)
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content
