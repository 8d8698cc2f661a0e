"""A segment's record as the journal keeps it."""

from __future__ import annotations

import os
from dataclasses import replace

import msgspec

from tracesidecar.tail.segments import SegmentRecord


def encode_record(record: SegmentRecord) -> bytes:
    """MessagePack; the bytes of paths go as Latin-1, because MessagePack text cannot hold a name
    that is not UTF-8.
    """
    return msgspec.msgpack.encode(
        replace(record, path=_packed(record.path), origin=_packed(record.origin))
    )


def decode_record(body: bytes) -> SegmentRecord:
    """Undo `encode_record`."""
    record = msgspec.msgpack.decode(body, type=SegmentRecord)
    return replace(record, path=_unpacked(record.path), origin=_unpacked(record.origin))


def _packed(path: str) -> str:
    return os.fsencode(path).decode("latin-1")


def _unpacked(path: str) -> str:
    return os.fsdecode(path.encode("latin-1"))
