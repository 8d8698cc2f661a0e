"""The digest, size and number of rows of one object, computed block by block."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import zstandard

from tracesidecar.encode import compression_of

SLICE_BYTES = {"gzip": 16 << 10, "zstd": 2 << 10}
"""How much is decompressed at a time: of gzip it becomes 16 MiB at most, and of Zstandard, of which
a block of 4 bytes may become 128 KiB.
"""


@dataclass(frozen=True, slots=True)
class ExaminedObject:
    """An object as it is stored. `rows` is None when it cannot be decoded."""

    sha256: str
    bytes: int
    rows: int | None


def examine(name: str, blocks: Iterable[bytes], limit_bytes: int = sys.maxsize) -> ExaminedObject:
    """Read an object to its end; `blocks` is its content. Memory is that of one block.

    Of one that has more than `limit_bytes`, the block that goes beyond is the last one that counts.
    """
    digest = hashlib.sha256()
    size_bytes = 0
    lines = _LineCounter(name)
    with tempfile.TemporaryFile() as copy:
        for block in blocks:
            digest.update(block)
            size_bytes += len(block)
            if name.endswith(".parquet"):
                copy.write(block)  # the number of rows is at its end
            else:
                lines.add(block)
            if size_bytes > limit_bytes:
                break
        rows = _parquet_rows(copy) if name.endswith(".parquet") else lines.count()
    return ExaminedObject(digest.hexdigest(), size_bytes, rows)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _LineCounter:
    """Counts the newlines of an object, decompressed."""

    def __init__(self, name: str) -> None:
        compression = compression_of(name)
        self._decompressor: _Decompressor | None = None
        if compression == "gzip":
            self._decompressor = zlib.decompressobj(wbits=31)
        elif compression == "zstd":
            self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._slice_bytes = SLICE_BYTES.get(compression, 0)
        self._newlines = 0
        self._is_broken = False

    def add(self, block: bytes) -> None:
        if self._decompressor is None:
            self._newlines += block.count(b"\n")
            return
        for start in range(0, len(block), self._slice_bytes):
            if self._is_broken or self._decompressor.eof:
                return
            try:
                self._newlines += self._decompressor.decompress(
                    block[start : start + self._slice_bytes]
                ).count(b"\n")
            except (zlib.error, zstandard.ZstdError):
                self._is_broken = True

    def count(self) -> int | None:
        is_whole = not self._is_broken and (self._decompressor is None or self._decompressor.eof)
        return self._newlines if is_whole else None


def _parquet_rows(file: BinaryIO) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowException, OSError):  # the latter where its description is damaged
        return None
