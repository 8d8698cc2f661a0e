"""Numbers in traces, however they are written; None for anything that is not a number."""

from __future__ import annotations

import math

LARGEST_EXACT = 1 << 53
"""The largest number that a JSON reader with doubles reads exactly, with all below it."""


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
        return value
    return None


def total(*parts: int | None) -> int | None:
    """Return the sum of the parts that are known, None if none is."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
