"""The times of an event as numbers since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def epoch_microseconds(time: str | None) -> int:
    """Exact, of a time as an event has it (RFC 3339 with microseconds and Z); ValueError where
    there is none: an event that is shipped has its times.
    """
    if time is None:
        raise ValueError("the event has no time yet")
    return (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND
