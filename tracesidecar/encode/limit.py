"""A record within the limit of its destination, by shortening what is long in it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tracesidecar.dialects import Event, truncate_text
from tracesidecar.encode.formats import RecordEncoder

TEXTS = ("text", "tool_result", "error_message")
JSON_TEXTS = ("tool_arguments", "raw")
"""Columns that are JSON: they still are when they are shortened."""
ATTEMPTS = 6
SMALLEST = 64


def within(event: Event, encode: RecordEncoder, dialect: str, limit_bytes: int) -> bytes | None:
    """Encode an event in at most `limit_bytes`; None where that cannot be.

    Where the record is too long, its long columns are cut to a half of the limit, to a quarter of
    that, and so on, each ending in `…[truncated <n> bytes]`, and `truncated` is set. Ids, lineage
    and numbers are never cut. The same event and limit give the same bytes.
    """
    record = encode(event, dialect)
    column_bytes = limit_bytes // 2
    for _ in range(ATTEMPTS):
        if len(record) <= limit_bytes:
            return record
        record = encode(_shortened(event, max(column_bytes, SMALLEST)), dialect)
        column_bytes //= 4
    return record if len(record) <= limit_bytes else None


def _shortened(event: Event, column_bytes: int) -> Event:
    texts = {
        column: truncate_text(value, column_bytes)
        for column in TEXTS
        if (value := getattr(event, column)) is not None
    }
    documents = {
        column: _shortened_json(value, column_bytes)
        for column in JSON_TEXTS
        if (value := getattr(event, column)) is not None
    }
    return replace(event, truncated=True, **texts, **documents)


def _shortened_json(text: str, limit_bytes: int) -> str:
    """JSON of at most about `limit_bytes`: with its long texts cut; where that is not enough, one
    JSON string with the beginning of the text.
    """
    if len(text.encode()) <= limit_bytes:
        return text
    try:
        short = msgspec.json.encode(_cut(msgspec.json.decode(text), limit_bytes // 8)).decode()
    except (msgspec.DecodeError, RecursionError):
        short = text
    if len(short.encode()) <= limit_bytes:
        return short
    return msgspec.json.encode(truncate_text(text, limit_bytes // 2)).decode()


def _cut(value: object, limit_bytes: int) -> object:
    if isinstance(value, str):
        return truncate_text(value, limit_bytes)
    if isinstance(value, list):
        return [_cut(item, limit_bytes) for item in value]
    if isinstance(value, dict):
        return {key: _cut(item, limit_bytes) for key, item in value.items()}
    return value
