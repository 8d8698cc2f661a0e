"""How the record and the landmarks of a segment are written in their rows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import msgspec

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail import Protection, SegmentRecord

_COLUMNS = frozenset({"protection", "can_link"})
"""Fields with a column of their own; all others are in the record."""

_RECORDED = [field.name for field in fields(SegmentRecord) if field.name not in _COLUMNS]


PAGE_QUERY = "SELECT id, record, protection, can_link FROM segment WHERE id > ? ORDER BY id LIMIT ?"
"""A page of the rows of all segments: those after an id, so many at most."""

PAGE_ROWS = 1000


def write_records(db: sqlite3.Connection, records: Iterable[SegmentRecord]) -> None:
    """Insert or replace records, within the caller's transaction."""
    rows = map(encode_record, records)
    db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?)", rows)


def write_landmarks(db: sqlite3.Connection, landmarks: Mapping[int, bytes]) -> None:
    """Insert or replace the landmarks of segments, within the caller's transaction."""
    db.executemany("INSERT OR REPLACE INTO landmark VALUES (?, ?)", landmarks.items())


def encode_record(record: SegmentRecord) -> tuple[int, bytes, str, bool | None]:
    """Return the row of a segment."""
    packed = replace(record, path=_pack_path(record.path), origin=_pack_path(record.origin))
    body = msgspec.msgpack.encode({name: getattr(packed, name) for name in _RECORDED})
    return record.id, body, record.protection or "", record.can_link


def decode_record(body: bytes, protection: str, can_link: int | None) -> SegmentRecord:
    """Return what a row says; raise DecodeError, UnicodeError or ValueError if it is damaged."""
    record = msgspec.msgpack.decode(body, type=SegmentRecord)
    numbers = (record.inode, record.generation, record.size, record.prefix_length, record.length)
    if min(numbers) < 0 or record.prefix_length > TAIL_BYTES or "\0" in record.path + record.origin:
        raise ValueError("a value is out of its range")
    return replace(
        record,
        path=_unpack_path(record.path),
        origin=_unpack_path(record.origin),
        protection=msgspec.convert(protection, Protection) if protection else None,
        can_link=None if can_link is None else bool(can_link),
    )


def _pack_path(path: str) -> str:
    """Return a path as Latin-1: MessagePack text cannot hold a name that is not UTF-8."""
    return os.fsencode(path).decode("latin-1")


def _unpack_path(path: str) -> str:
    return os.fsdecode(path.encode("latin-1"))
