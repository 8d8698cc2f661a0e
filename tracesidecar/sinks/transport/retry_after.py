"""The Retry-After header (RFC 9110, 10.2.3) as seconds from now."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LIMIT_SECONDS = 3600.0
"""No destination is believed when it asks for more than this: a wrong clock there must not stop us
for days.
"""


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read delay-seconds or an HTTP date; None when there is neither."""
    if value is None:
        return None
    try:
        seconds = (
            float(value) if value.strip().isdecimal() else _until(value, now or datetime.now(UTC))
        )
    except ValueError:
        return None
    return min(max(seconds, 0.0), LIMIT_SECONDS)


def _until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
