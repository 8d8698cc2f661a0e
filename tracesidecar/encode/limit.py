"""Keeps a record within its destination's limit by truncating the long texts in it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tracesidecar.dialects import Event, truncate_text
from tracesidecar.encode.formats import RecordEncoder

TEXTS = ("text", "tool_result", "error_message")
JSON_TEXTS = ("tool_arguments", "raw")
"""Columns that hold JSON, and still do after they are truncated."""
ATTEMPTS = 6
SMALLEST_COLUMN_BYTES = 64


def encode_within(
    event: Event, encode: RecordEncoder, dialect: str, limit_bytes: int
) -> bytes | None:
    """Return an event as a record of at most `limit_bytes` (0: any length), or None if impossible.

    If the record is too long, its long columns are truncated to half the limit, then to a quarter
    of that, and so on; each ends in `…[truncated <n> bytes]`, and `truncated` is set. Ids, lineage
    and numbers are never truncated. The same event and limit give the same bytes.
    """
    record = encode(event, dialect)
    if not limit_bytes:
        return record
    column_bytes = limit_bytes // 2
    for _ in range(ATTEMPTS):
        if len(record) <= limit_bytes:
            return record
        record = encode(_truncate(event, max(column_bytes, SMALLEST_COLUMN_BYTES)), dialect)
        column_bytes //= 4
    return record if len(record) <= limit_bytes else None


def _truncate(event: Event, column_bytes: int) -> Event:
    texts = {
        column: truncate_text(value, column_bytes)
        for column in TEXTS
        if (value := getattr(event, column)) is not None
    }
    documents = {
        column: _truncate_json(value, column_bytes)
        for column in JSON_TEXTS
        if (value := getattr(event, column)) is not None
    }
    return replace(event, truncated=True, **texts, **documents)


def _truncate_json(text: str, limit_bytes: int) -> str:
    """Return JSON of about `limit_bytes` at most.

    Its long texts are truncated. If that is not enough, it becomes one JSON string with the
    beginning of the text.
    """
    if len(text.encode()) <= limit_bytes:
        return text
    try:
        short = msgspec.json.encode(
            _truncate_leaves(msgspec.json.decode(text), limit_bytes // 8)
        ).decode()
    except (msgspec.DecodeError, RecursionError):
        short = text
    if len(short.encode()) <= limit_bytes:
        return short
    return msgspec.json.encode(truncate_text(text, limit_bytes // 2)).decode()


def _truncate_leaves(value: object, limit_bytes: int) -> object:
    if isinstance(value, str):
        return truncate_text(value, limit_bytes)
    if isinstance(value, list):
        return [_truncate_leaves(item, limit_bytes) for item in value]
    if isinstance(value, dict):
        return {key: _truncate_leaves(item, limit_bytes) for key, item in value.items()}
    return value
