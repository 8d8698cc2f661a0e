"""Numbers of traces, whatever they are written as; None where they are no numbers."""

from __future__ import annotations

import math

LARGEST_EXACT = 1 << 53
"""Above it, a JSON reader with doubles reads another number."""


def count(value: object) -> int | None:
    """A count of tokens, bytes or the like: a whole number from 0 to 2^53, also written as float or
    text.
    """
    number = real(value)
    if number is None or number < 0 or number > LARGEST_EXACT or number != int(number):
        return None
    return int(number)


def real(value: object) -> float | None:
    """A finite number, also written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= 40 else None
        except ValueError:
            return None
    if isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value):
        return value
    return None


def total(*parts: int | None) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
