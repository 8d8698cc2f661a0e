"""The compact row of each segment: by it a segment is found, or left alone, without its record."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Collection, Iterable

import msgspec

from tracesidecar.journal.records import PAGE_QUERY, PAGE_ROWS, decode_record
from tracesidecar.tail import BEFORE_ALL_SEGMENTS, SegmentRecord, SegmentState

PREFIX_DIGEST_BITS = 50
"""How many bits of the digest of its first bytes are below their number in a segment's prefix."""

_Keys = tuple[int, str, int | None, int, int, int, int, int]


def number_name(path: str) -> int:
    """Return the number that stands for a path; another path rarely has it by chance."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def number_prefix(length: int, digest: bytes) -> int:
    """Return the number that stands for the first bytes of a file."""
    bits = int.from_bytes(digest[:8].ljust(8, b"\0")) >> (64 - PREFIX_DIGEST_BITS)
    return length << PREFIX_DIGEST_BITS | bits


def as_signed(number: int) -> int:
    """Return a number of 64 bits as SQLite can hold it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def write_keys(db: sqlite3.Connection, records: Collection[SegmentRecord]) -> None:
    """Insert or replace the keys of segments, within the caller's transaction."""
    _remove_entries(db, [(record.id,) for record in records])
    _insert(db, records, {})


def remove_keys(db: sqlite3.Connection, ids: Collection[tuple[int]]) -> None:
    """Remove the keys of segments, within the caller's transaction."""
    _remove_entries(db, ids)
    db.executemany("DELETE FROM segment_key WHERE segment = ?", ids)


def fill_keys(db: sqlite3.Connection) -> None:
    """Make the keys of all segments of an earlier schema, within the caller's transaction.

    Raise DecodeError or ValueError if a record is damaged.
    """
    folders: dict[tuple[str, int, bytes], int] = {}
    last = BEFORE_ALL_SEGMENTS
    while rows := db.execute(PAGE_QUERY, (last, PAGE_ROWS)).fetchall():
        last = rows[-1][0]
        _insert(db, [decode_record(*row[1:]) for row in rows], folders)


def _remove_entries(db: sqlite3.Connection, ids: Collection[tuple[int]]) -> None:
    for column in ("inode", "prefix"):
        db.executemany(
            f"DELETE FROM segment_by_{column} WHERE segment = ?1 AND {column} = "  # noqa: S608 - our own names
            f"(SELECT {column} FROM segment_key WHERE segment = ?1)",
            ids,
        )


def _insert(
    db: sqlite3.Connection,
    records: Iterable[SegmentRecord],
    folders: dict[tuple[str, int, bytes], int],
) -> None:
    rows = [_make_keys(db, record, folders) for record in records]
    db.executemany("INSERT OR REPLACE INTO segment_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows)
    resting = [row for row in rows if row[2] is not None]
    db.executemany(
        "INSERT OR IGNORE INTO segment_by_inode VALUES (?, ?)",
        [(inode, segment) for segment, _, _, _, inode, _, _, _ in resting],
    )
    db.executemany(
        "INSERT OR IGNORE INTO segment_by_prefix VALUES (?, ?)",
        [(prefix, segment) for segment, _, _, _, _, prefix, _, _ in resting],
    )


def _make_keys(
    db: sqlite3.Connection, record: SegmentRecord, folders: dict[tuple[str, int, bytes], int]
) -> _Keys:
    return (
        record.id,
        record.source,
        _find_folder(db, record, folders) if _may_rest(record) else None,
        number_name(record.path),
        as_signed(record.inode),
        number_prefix(record.prefix_length, record.prefix_digest),
        record.size,
        record.modified_ns,
    )


def _may_rest(record: SegmentRecord) -> bool:
    """Return whether a segment need not be loaded, once its file is gone and every sink has it.

    Odd paths are left to those who load the record.
    """
    return (
        record.state is SegmentState.LIVE
        and record.compression == "none"
        and record.prefix_length > 0
        and record.path.isascii()
        and record.path.isprintable()
    )


def _find_folder(
    db: sqlite3.Connection, record: SegmentRecord, folders: dict[tuple[str, int, bytes], int]
) -> int:
    key = (
        os.path.dirname(record.path),
        as_signed(record.device),
        b"" if record.place is None else msgspec.msgpack.encode(record.place),
    )
    if key not in folders:
        db.execute("INSERT OR IGNORE INTO folder (path, device, place) VALUES (?, ?, ?)", key)
        query = "SELECT id FROM folder WHERE path = ? AND device = ? AND place = ?"
        (folders[key],) = db.execute(query, key).fetchone()
    return folders[key]
