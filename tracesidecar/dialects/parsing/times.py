"""Times in traces, however they are written, as RFC 3339 in UTC with microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

SECONDS_OF_YEAR_9999 = 253_402_300_799

_LARGEST = SECONDS_OF_YEAR_9999 * 1e9

_USUAL_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
"""What nearly all agents write. Of the same length and nearly the same form are days of a week."""


def utc(value: object) -> str | None:
    """Return a time as `2026-09-01T10:00:00.123456Z`, None if it is not a time.

    Accepts ISO 8601 text (without a zone it counts as UTC), and seconds, milliseconds,
    microseconds or nanoseconds since the epoch as a number or text. The size of a number shows
    its unit.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _from_number(value)


def milliseconds_between(start: str | None, end: str | None) -> float | None:
    """Return the milliseconds from one result of `utc` to another.

    Return None if one is missing, or the second is earlier.
    """
    if start is None or end is None:
        return None
    gone = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return round(gone.total_seconds() * 1000, 3) if gone.total_seconds() >= 0 else None


def _from_text(text: str) -> str | None:
    if _USUAL_FORM.fullmatch(text):
        return _check_calendar(f"{text[:23]}000Z")
    if text.isascii() and text.isdigit():
        return _from_number(int(text)) if len(text) <= 19 else None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _rfc3339(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _check_calendar(text: str) -> str | None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text


def _from_number(number: float) -> str | None:
    seconds: float = number
    for limit, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if limit <= abs(number) <= _LARGEST:
            seconds = number / unit
            break
    if not 0 < seconds <= SECONDS_OF_YEAR_9999:  # also NaN
        return None
    return _rfc3339(datetime.fromtimestamp(round(seconds, 6), UTC))


def _rfc3339(moment: datetime) -> str | None:
    try:
        return (
            moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            if moment.year >= 1000
            else None
        )
    except OverflowError:
        return None
