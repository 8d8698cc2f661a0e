"""Columns of an event that several formats convert: times and labels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_LONGEST_COUNT = 1 << 62
"""A number of 64 bits also has room for the sum of a time and this; 146 years in nanoseconds."""


def epoch_microseconds(time: str | None) -> int:
    """Return a time of an event (RFC 3339 with microseconds and Z) as exact microseconds.

    Raise ValueError if there is none; an event that is shipped always has its times.
    """
    if time is None:
        raise ValueError("the event has no time yet")
    return (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=256)
def parse_labels(column: str | None) -> Mapping[str, str]:
    """Return the labels of the source from the `labels` column, a JSON object."""
    return MappingProxyType(msgspec.json.decode(column, type=dict[str, str]) if column else {})


def count_duration(milliseconds: float | None, units_per_millisecond: int = 1) -> int | None:
    """Return a duration as a whole number of smaller units.

    None if it is unknown, or so long that a destination has no number for it: one field of 64 bits
    that does not fit would have the whole event rejected.
    """
    if milliseconds is None:
        return None
    count = round(milliseconds * units_per_millisecond)
    return count if abs(count) <= _LONGEST_COUNT else None
