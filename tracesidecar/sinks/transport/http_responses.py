"""What an HTTP response means for a batch: it is stored, retried later, or rejected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from tracesidecar.errors import Rejected, RetryLater

CREDENTIALS_REJECTED = frozenset({401, 403})

RETRY_AFTER_LIMIT_SECONDS = 3600.0
"""The longest Retry-After that is honoured.

A server with a wrong clock sends an HTTP date that is days ahead, and must not stop a sink for
days.
"""

_REJECTION_REASONS = {400: "bad_request", 413: "too_large", 422: "unprocessable"}

_RETRY_REASONS = {
    401: (
        "credentials",
        "it rejects the credentials; correct {credential}, or the file that it names",
    ),
    403: (
        "denied",
        "the credentials may not write there; correct {credential}, or grant them the right",
    ),
    404: ("not_found", "nothing accepts records at that address; check url"),
    405: ("not_found", "it accepts no POST at that address; check url"),
    407: ("proxy", "the proxy asks for credentials; put them into HTTPS_PROXY"),
    408: ("timeout", "it waited too long for the request"),
    415: ("media_type", "it does not accept this kind of body; check body and compression"),
    429: ("throttled", "it asks for fewer requests"),
}


class HttpResponse(NamedTuple):
    """What a server answered; `body` holds at most as many bytes as the caller asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def describe(self, where: str) -> str:
        """Return "<where> answered 503 Service Unavailable", the beginning of an error message."""
        return f"{where} answered {self.status} {status_phrase(self.status)}"

    def retry_after_seconds(self) -> float | None:
        """Return how long the server asks to wait, None if it does not say."""
        return parse_retry_after(self.headers.get("Retry-After"))

    def rejection_reason(self, default: str) -> str:
        """Return the reason for which this response rejects content."""
        return _REJECTION_REASONS.get(self.status, default)


def raise_for_status(response: HttpResponse, where: str, *, credential: str = "auth") -> None:
    """Return if the status is 2xx; otherwise raise Rejected or RetryLater.

    400, 413 and 422 judge the content. Every other status is retried: time, or a person, can
    change it. `where` names the destination, and `credential` the option that holds our
    credentials. The response's own text is never repeated, because servers quote what they reject.
    """
    status = response.status
    if 200 <= status < 300:
        return
    answered = response.describe(where)
    if status in _REJECTION_REASONS:
        raise Rejected(_REJECTION_REASONS[status], answered)
    reason, advice = _RETRY_REASONS.get(status, _retry_reason(status))
    raise RetryLater(
        reason,
        f"{answered}: {advice.format(credential=credential)}",
        after_seconds=response.retry_after_seconds(),
    )


def status_phrase(status: int) -> str:
    """Return the standard phrase for a status, such as "Not Found" for 404."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no standard meaning)"


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return a Retry-After header (RFC 9110, 10.2.3) as seconds from now.

    The header holds seconds or an HTTP date. None if it is missing or neither of the two.
    """
    if value is None:
        return None
    try:
        seconds = (
            float(value)
            if value.strip().isdecimal()
            else _seconds_until(value, now or datetime.now(UTC))
        )
    except ValueError:
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)


def _seconds_until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _retry_reason(status: int) -> tuple[str, str]:
    if 300 <= status < 400:
        return (
            "redirected",
            "redirects are not followed for requests with data; set url to the final address",
        )
    if status >= 500:
        return "unavailable", "the server has a problem of its own; see its log if this goes on"
    return (
        "status",
        "it neither confirms nor rejects the records; check url and what the destination expects",
    )
