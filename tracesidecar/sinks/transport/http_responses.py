"""What an HTTP answer or failure means for the batch: yes, try later, or a judgment of its content."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Literal

import aiohttp

from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.sinks.transport import tls
from tracesidecar.sinks.transport.retry_after import retry_after

Verdict = Literal["accept", "retry", "reject"]

CREDENTIALS_REFUSED = frozenset({401, 403})

_REJECTIONS = {400: "bad_request", 413: "too_large", 422: "unprocessable"}

_LATER = {
    401: (
        "credentials",
        "it refuses the credentials: mend {credential}, or the file that it names",
    ),
    403: (
        "denied",
        "the credentials are not allowed to write there: mend {credential}, or what they may do",
    ),
    404: ("not_found", "nothing takes records there: check url"),
    405: ("not_found", "it takes no POST there: check url"),
    407: ("proxy", "the proxy wants credentials: mend HTTPS_PROXY"),
    408: ("timeout", "it waited too long for the request"),
    415: ("media_type", "it does not take this body: check body and compression"),
    429: ("throttled", "it asks us to slow down"),
}


def judge(
    status: int, retry_after_header: str | None, where: str, *, credential: str = "auth"
) -> None:
    """Return for a yes.

    `where` names the destination, `credential` the option for who we are there; nothing that the
    server wrote is repeated.
    """
    if 200 <= status < 300:
        return
    said = f"{where} answered {status} {_phrase(status)}"
    if status in _REJECTIONS:
        raise Rejected(_REJECTIONS[status], said)
    reason, advice = _LATER.get(status, _by_class(status))
    raise RetryLater(
        reason,
        f"{said}: {advice.format(credential=credential)}",
        after_seconds=retry_after(retry_after_header),
    )


def judge_as(verdict: Verdict, status: int, retry_after_header: str | None, where: str) -> None:
    """Take the answer for what the configuration says that it means there."""
    if verdict == "accept":
        return
    said = f"{where} answered {status} {_phrase(status)}, which the option status takes for a {verdict}"
    if verdict == "reject":
        raise Rejected(_REJECTIONS.get(status, "refused"), said)
    raise RetryLater("status", said, after_seconds=retry_after(retry_after_header))


def failure(error: Exception, where: str) -> RetryLater:
    """Name what went wrong before there was an answer.

    No text of the library: it may quote the URL.
    """
    if isinstance(error, TimeoutError):
        return RetryLater(
            "timeout",
            f"{where} did not answer in time; it may have stored the batch, which keeps its id",
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return RetryLater(
            "proxy",
            f"the proxy before {where} answered {error.status} {_phrase(error.status)}; check HTTPS_PROXY",
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return RetryLater(
            "proxy",
            f"the proxy before {where} cannot be reached: {_system_says(error)}; check HTTPS_PROXY",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RetryLater(
            "dns", f"the name of {where} could not be resolved; check url and the resolver"
        )
    if (reason := tls.why_it_failed(error)) is not None:
        return RetryLater("tls", f"TLS with {where} failed: {reason}; {tls.what_to_mend(reason)}")
    return RetryLater(
        "network",
        f"the connection to {where} failed: {_system_says(error)}; check url, and whether it is up",
    )


def _system_says(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else type(error).__name__


def _by_class(status: int) -> tuple[str, str]:
    if 300 <= status < 400:
        return (
            "redirected",
            "redirects are not followed with data in hand: set url to the final address",
        )
    if status >= 500:
        return "unavailable", "it is in trouble itself"
    return (
        "status",
        "this is neither a yes nor a judgment of the content: check url and what the destination expects",
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no standard meaning)"
