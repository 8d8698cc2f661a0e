"""What a store said, as far as it may be shown.

A store may not know our checksums or conditions, and usually says so. Other messages of stores are
not shown: they quote key ids, names of objects, and the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tracesidecar.sinks.transport import HttpRequest, HttpResponse

UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What the SDKs raise if a proxy answers with something else: they take it apart unseen."""

_BODY_LIMIT_BYTES = 16 << 10
_STATUSES = frozenset({400, 405, 411, 417, 422, 501})
"""How stores answer to a header that they do not know."""

_SIGNED_NAMES = re.compile(r"SignedHeaders=[A-Za-z0-9;-]+")
"""The names of headers in S3's Authorization: a store that rejects a header may name it."""

_ABOUT_HEADERS = re.compile(
    r"check ?sum|md5|crc-?32|crc-?64|sha-?1|sha-?256|x-amz|x-ms|x-goog|if-none-match|if-match|"
    r"condition|generation|header|implement|support",
    re.IGNORECASE,
)


def make_answer(
    status: int,
    headers: Mapping[str, object],
    body: bytes,
    *,
    url: str,
    sent_headers: Mapping[str, object],
    sent: Iterable[object] = (),
) -> HttpResponse:
    """Make the response of what an SDK knows of it, with the request that it answers.

    `sent` are the request's body and what it was made of; what is not bytes is left out.
    """
    request = HttpRequest(
        url,
        {name: _SIGNED_NAMES.sub("", _text(value)) for name, value in sent_headers.items()},
        tuple(bytes(content) for content in sent if isinstance(content, bytes | bytearray)),
    )
    return HttpResponse(
        status,
        {name.title(): _text(value) for name, value in headers.items()},
        body[:_BODY_LIMIT_BYTES],
        request,
        is_whole=len(body) <= _BODY_LIMIT_BYTES,
    )


def describe_answer(answer: HttpResponse, message: str, *, is_probe: bool = False) -> str:
    """Return type, length and message of an answer, empty if they may not be shown.

    Shown are pages for people, and what the store says about our headers; with `is_probe`, also
    anything else that it says, because the request held nothing but our own words. Blocks for some
    milliseconds.
    """
    if answer.is_html:
        return answer.describe_body()
    if answer.status in _STATUSES and message and (is_probe or _ABOUT_HEADERS.search(message)):
        return answer.describe_body(message)
    return ""


def is_page(media_type: object) -> bool:
    """Return whether the content of an object is a page for people: none of ours has that type."""
    return str(media_type).partition(";")[0].strip().lower() in {
        "text/html",
        "application/xhtml+xml",
    }


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
