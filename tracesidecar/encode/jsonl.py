"""Bodies of newline-delimited records, compressed while lines or events are added."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

import zstandard
from isal import isal_zlib

from tracesidecar.dialects import Event
from tracesidecar.encode.displaced import mark_displaced
from tracesidecar.encode.formats import RecordEncoder
from tracesidecar.encode.limit import encode_within
from tracesidecar.encode.rejection import RejectedEvent, reject_event
from tracesidecar.model import Compression

BLOCK_BYTES = 1 << 20
"""The compressor gets blocks of exactly this size, so that its output does not depend on how the
lines were split into calls.
"""

COMPRESSOR_BYTES = 256 << 10
"""Roughly the memory of a compressor itself."""

ENTRY_BYTES = 64
"""The memory that a buffered line takes in addition to its bytes."""

TOGETHER = 1024
"""How many records are encoded at a time: a record has at most 1 MiB, but most have far less."""

EXTENSIONS: dict[Compression, str] = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}


def compression_of(name: str) -> Compression:
    """Return the compression of an object by its name."""
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
    if compression == "gzip":  # RFC 1952, with an mtime of 0: equal lines give equal bytes
        return isal_zlib.compressobj(level=1, wbits=31)
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    return _Plain()


class LinesEncoder:
    """Makes one compressed body of lines.

    The same lines give the same bytes, however they are split into calls of `add`.
    The compressor is made when the first block is full: a batch of many days and dialects has many
    bodies, most of them small.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._compressor: _Compressor | None = None
        self._block: list[bytes] = []  # a bytearray that grows would take half as much again
        self._block_bytes = 0
        self._body = io.BytesIO()  # getvalue() returns its buffer without a copy

    def add(self, data: bytes) -> None:
        """Add whole lines."""
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
        """The memory that the body takes so far."""
        return (
            self._body.tell()
            + self._block_bytes
            + ENTRY_BYTES * len(self._block)
            + (COMPRESSOR_BYTES if self._compressor else 0)
        )

    def finish(self) -> bytes:
        """Return the finished body; the encoder cannot be used again."""
        self._body.write(self._compress(b"".join(self._block)).flush())
        self._block = []
        self._compressor = None  # a batch is kept until it is delivered, with all its bodies
        return self._body.getvalue()

    def _compress(self, data: bytes | memoryview) -> _Compressor:
        if self._compressor is None:
            self._compressor = _compressor(self._compression)
        self._body.write(self._compressor.compress(data))
        return self._compressor


class EventLinesEncoder:
    """Makes one compressed body of events, each as a record on its own line."""

    def __init__(
        self, encode: RecordEncoder, record_format: str, compression: Compression, limit_bytes: int
    ) -> None:
        """`limit_bytes` is the most that one record may have, 0 for no limit.

        `encode` writes records of the format.
        """
        self._encode = encode
        self._format = record_format
        self._compression: Compression = compression
        self._limit = limit_bytes
        self._lines = LinesEncoder(compression)
        self.records = 0
        self.size_bytes = 0
        self.held_bytes = 0

    def add(self, events: Sequence[Event], dialect: str) -> list[RejectedEvent]:
        """Add events of a dialect; return those that become no record.

        They are encoded some at a time: short lines may become long records.
        """
        rejected: list[RejectedEvent] = []
        for start in range(0, len(events), TOGETHER):
            rejected += self._add(events[start : start + TOGETHER], dialect)
        return rejected

    def _add(self, events: Sequence[Event], dialect: str) -> list[RejectedEvent]:
        encode, limit = self._encode, self._limit
        records: list[bytes] = []
        rejected: list[RejectedEvent] = []
        for event in events:
            try:
                record: bytes | None = encode(event, dialect)
                if record is not None and limit and len(record) > limit:
                    record = encode_within(event, encode, dialect, limit)
            except Exception as error:  # noqa: BLE001 - a bug in one record stays in it
                rejected.append(reject_event(event, error))
                continue
            if record is None:
                rejected.append(RejectedEvent(event))
            else:
                records.append(record)
        if records:
            self._take(b"\n".join((*records, b"")), len(records))
        return rejected

    def move_to(self, other: EventLinesEncoder) -> None:
        """Add all records to another body, marked as displaced; this one cannot be used again."""
        lines = decode_lines(self._lines.finish(), self._compression)
        other.take(mark_displaced(lines, self._format), self.records)

    def take(self, lines: bytes, records: int) -> None:
        """Add records that are encoded already."""
        self._take(lines, records)

    def _take(self, lines: bytes, records: int) -> None:
        self._lines.add(lines)
        self.records += records
        self.size_bytes += len(lines)
        self.held_bytes = self._lines.encoded_bytes

    def finish(self) -> bytes:
        """Return the finished body; the encoder cannot be used again."""
        return self._lines.finish()


def encode_lines(data: bytes, compression: Compression) -> bytes:
    """Return the body of these lines."""
    encoder = LinesEncoder(compression)
    encoder.add(data)
    return encoder.finish()


def decode_lines(content: bytes, compression: Compression) -> bytes:
    """Return the lines of a body that `encode_lines` or `LinesEncoder` made."""
    if compression == "gzip":
        return isal_zlib.decompress(content, wbits=31)
    if compression == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return content
