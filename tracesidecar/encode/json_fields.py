"""JSON text as the value of a `flattened` field of Elasticsearch, which takes objects only and has
limits of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tracesidecar.dialects import truncate_text

LEAF_BYTES = 32_000
"""A term of Lucene has at most 32,766 bytes, key and separator included; the rest is for the mark
of what was cut.
"""
MOST_LEVELS = 20
"""`depth_limit` of the field type, by default."""

_object = msgspec.json.Decoder(dict[str, object]).decode


def flattened(column: str | None) -> dict[str, object] | None:
    """Return the object that the text is; of anything else, or what the field would refuse,
    `{"value": text}`. None stays None.

    Refused are more than 20 levels, NUL in a key, and a text so long that one of its leaves could
    be over the limit.
    """
    if column is None:
        return None
    if column.startswith("{") and not is_cut(column):
        try:
            found = _object(column)
        except (msgspec.DecodeError, RecursionError):
            found = {}
        if found and _is_taken(found):
            return found
    return {"value": truncate_text(column, LEAF_BYTES)}


def is_cut(column: str | None) -> bool:
    """Tell whether the text is too long to stand there whole."""
    return column is not None and len(column) * 4 > LEAF_BYTES and len(column.encode()) > LEAF_BYTES


def _is_taken(root: dict[str, object]) -> bool:
    level: list[object] = [root]
    for _ in range(MOST_LEVELS):
        if any(
            "\0" in key for container in level if isinstance(container, dict) for key in container
        ):
            return False
        level = [
            value
            for container in level
            for value in _within(container)
            if isinstance(value, dict | list)
        ]
        if not level:
            return True
    return False


def _within(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        return container.values()
    return container if isinstance(container, list) else ()
