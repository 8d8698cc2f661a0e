"""The rows of the segment table: the tailer's record, and beside it what protects the file."""

from __future__ import annotations

import os
from dataclasses import fields, replace

import msgspec

from tracesidecar.tail import Protection, SegmentRecord

_COLUMNS = frozenset({"protection", "can_link"})
"""Fields with a column of their own; all others are in the record."""

_RECORDED = [field.name for field in fields(SegmentRecord) if field.name not in _COLUMNS]


def encode_row(record: SegmentRecord) -> tuple[int, bytes, str, bool | None]:
    """Return the values of a row.

    The record is MessagePack. The bytes of paths go as Latin-1, because MessagePack text cannot
    hold a name that is not UTF-8.
    """
    packed = replace(record, path=_packed(record.path), origin=_packed(record.origin))
    body = msgspec.msgpack.encode({name: getattr(packed, name) for name in _RECORDED})
    return record.id, body, record.protection or "", record.can_link


def decode_row(body: bytes, protection: str, can_link: object) -> SegmentRecord:
    """Return the record of a row, from the columns that follow its id."""
    record = msgspec.msgpack.decode(body, type=SegmentRecord)
    return replace(
        record,
        path=_unpacked(record.path),
        origin=_unpacked(record.origin),
        protection=msgspec.convert(protection, Protection) if protection else None,
        can_link=None if can_link is None else bool(can_link),
    )


def _packed(path: str) -> str:
    return os.fsencode(path).decode("latin-1")


def _unpacked(path: str) -> str:
    return os.fsdecode(path.encode("latin-1"))
