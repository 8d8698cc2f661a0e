"""A segment's record as the journal keeps it."""

from __future__ import annotations

import os
from dataclasses import replace

import msgspec

from tracesidecar.collect.records import SegmentRecord


def encode_record(record: SegmentRecord) -> bytes:
    """MessagePack; the path's bytes go as Latin-1, because MessagePack text cannot hold a name that is not UTF-8."""
    return msgspec.msgpack.encode(replace(record, path=os.fsencode(record.path).decode("latin-1")))


def decode_record(body: bytes) -> SegmentRecord:
    """Undo `encode_record`."""
    record = msgspec.msgpack.decode(body, type=SegmentRecord)
    return replace(record, path=os.fsdecode(record.path.encode("latin-1")))
