"""Parts of decoded JSON with the type that a mapper wants: text, numbers, objects and lists.

Each function returns None, or an empty value, if the part has another type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

JsonObject = Mapping[str, object]
"""The members of a decoded JSON object."""

LARGEST_EXACT = 1 << 53
"""The largest number that a JSON reader with doubles reads exactly, with all below it."""

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


def count(value: object) -> int | None:
    """Return a count of tokens, bytes or the like: a whole number from 0 to 2^53.

    It may be written as a float or as text.
    """
    number = real(value)
    if number is None or number < 0 or number > LARGEST_EXACT or number != int(number):
        return None
    return int(number)


def real(value: object) -> float | None:
    """Return a finite number, which may be written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= 40 else None
        except ValueError:
            return None
    if isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value):
        return value if abs(value) <= LARGEST_EXACT else float(value)
    return None


def total(*parts: int | None) -> int | None:
    """Return the sum of the parts that are known, None if none is, or if it is no `count`."""
    known = [part for part in parts if part is not None]
    return count(sum(known)) if known else None
