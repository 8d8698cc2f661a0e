"""Parts of decoded JSON with the type that a mapper wants.

Each function returns None, or an empty value, if the part has another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

JsonObject = Mapping[str, object]
"""The members of a decoded JSON object."""

_encode = msgspec.json.Encoder().encode


def text(value: object) -> str | None:
    """Return text that is not empty."""
    return value if isinstance(value, str) and value else None


def fields(value: object) -> JsonObject:
    """Return the members of an object."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[object]:
    """Return the items of a list."""
    return value if isinstance(value, list) else ()


def at(value: object, *path: str) -> object:
    """Return the value at a path of keys."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def as_json(value: object) -> str | None:
    """Return a value as a column of JSON text; text stays as it is."""
    if value is None or isinstance(value, str):
        return value
    return _encode(value).decode()
