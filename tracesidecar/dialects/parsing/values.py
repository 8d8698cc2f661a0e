"""Pieces of decoded JSON as what a mapper wants: text, object, list; None or nothing where they are
something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

JsonObject = Mapping[str, object]
"""The members of a decoded JSON object."""

_encode = msgspec.json.Encoder().encode


def text(value: object) -> str | None:
    """Text that is not empty."""
    return value if isinstance(value, str) and value else None


def fields(value: object) -> JsonObject:
    """The members of an object; of anything else none."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[object]:
    """The items of a list; of anything else none."""
    return value if isinstance(value, list) else ()


def at(value: object, *path: str) -> object:
    """What stands at a path of keys, None where nothing does."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def as_json(value: object) -> str | None:
    """A value as a JSON string column: text stays as it is, None stays None."""
    if value is None or isinstance(value, str):
        return value
    return _encode(value).decode()
