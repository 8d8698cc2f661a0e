"""What an HTTP response means for a batch: it is stored, retried later, or rejected."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from tracesidecar.encode import decode_lines
from tracesidecar.errors import Rejected, RetryAdvice, RetryLater
from tracesidecar.model import Compression
from tracesidecar.sinks.transport.excerpts import forms_of, make_excerpt, repeats, short_words_of

CREDENTIALS_REJECTED = frozenset({401, 403})

RETRY_AFTER_LIMIT_SECONDS = 3600.0
"""The longest Retry-After that is honoured.

A server with a wrong clock sends an HTTP date that is days ahead, and must not stop a sink for
days.
"""

_REJECTION_REASONS = {400: "bad_request", 413: "too_large", 422: "unprocessable"}

_RETRY_REASONS: Mapping[int, RetryAdvice] = {
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


_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._-]{1,30})")
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_HTML_BEGINNING = re.compile(
    r"(?:<\?xml[^>]*>\s*)?(?:(?><!--.*?-->)\s*)*+"
    r"<(?:!doctype\s+html|html|head|title|body|script|style|meta|link|noscript|frameset|iframe"
    r"|h[1-6]|a|b|br|hr|p|div|span|pre|center|font|form|table|img|ul|ol|section|main|article|header|nav|svg|template)[\s/>]",
    re.IGNORECASE | re.DOTALL,
)
"""The tags by which the MIME Sniffing Standard (7.1) knows a page, and more of the same kind."""

NOT_JSON = (msgspec.MsgspecError, RecursionError)
"""What decoding JSON raises that is not what was expected; the latter for thousands of brackets."""

_COMMENT = "<!--"  # by the same standard, whatever follows
_HTML_SEARCH_CHARACTERS = 2048
_BLANKS = re.compile(r"\A[\s\ufeff]+")
_SMALL_REQUEST_BYTES = 8 << 10
"""No server or proxy has a limit as low as this: a page that calls less too large is not about it.
"""
_COMMON_TYPES = {
    *_HTML_TYPES,
    *("application/json", "application/problem+json", "application/x-protobuf", "text/plain"),
    *("application/xml", "text/xml", "application/octet-stream"),
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSETS: Mapping[str, str] = {
    **dict.fromkeys(("us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"), "latin-1"),
    **{name: name for name in ("utf-16", "utf-16le", "utf-16be")},
}
"""The charsets that a body is read by, all others as UTF-8.

Python knows codecs that take 20 s for a MiB (`punycode`), or that turn any text into another
(`utf-7`, `unicode_escape`), and a server may name each of them.
"""
_COMPRESSIONS: Mapping[Compression, bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_PUBLIC_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length"),
        *("content-type", "date", "host", "idempotency-key", "user-agent", "webhook-timestamp"),
    }
)
_WITHOUT_CONTENT = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What was sent, so that nothing of it is shown when a server repeats it.

    `contents` are the body as it was sent, also compressed, and what else it was made of.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    contents: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def size_bytes(self) -> int:
        """The size of the contents."""
        return sum(len(each) for each in self.contents)

    def secrets(self) -> Iterator[bytes]:
        """Yield all that may not be shown: the address, the values of the headers, the body.

        Names of headers may be shown: a store that rejects a header names it.
        """
        for value in (self.url, *self.headers.values()):
            yield from forms_of(value)
        for content in self.contents:
            yield _plain(content)

    def short_words(self) -> frozenset[bytes]:
        """Return the words of credentials that are shorter than what counts as a repetition."""
        return frozenset(
            word
            for name, value in self.headers.items()
            if name.lower() not in _PUBLIC_HEADERS
            for word in short_words_of(value)
        )


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server answered.

    `body` holds at most as many bytes as the caller asked for, unpacked; `is_whole` says whether
    that is all of it. `request` is what it answers.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: HttpRequest = field(repr=False)
    is_whole: bool = True

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The media type of the body without parameters, in lower case; empty if it has none."""
        return next(self._media_types(), "")

    def _media_types(self) -> Iterator[str]:
        """Yield every media type: two headers were seen, and one with two ("text/html, text/html").

        A proxy that answers itself may leave the header of the server behind it in place.
        """
        for value in self.header_values("Content-Type"):
            for each in value.split(","):
                yield each.partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text, by its byte order mark or its charset; wrong bytes are replaced."""
        declared = _CHARSET.search(self.headers.get("Content-Type", ""))
        charset = next(
            (name for mark, name in _BYTE_ORDER_MARKS if self.body.startswith(mark)),
            _CHARSETS.get(declared[1].lower() if declared else "", "utf-8"),
        )
        return self.body.decode(charset, "replace")

    @property
    def is_empty(self) -> bool:
        """Whether there is no body but blanks."""
        return self.is_whole and not self.body.strip()

    @property
    def is_html(self) -> bool:
        """Whether the body is a page for people, by its type or by how it begins."""
        if self.status in _WITHOUT_CONTENT and self.is_empty:
            return False  # the type of nothing: some frameworks declare HTML whatever they send
        if any(each.startswith(_HTML_TYPES) for each in self._media_types()):
            return True
        text = self.text.replace("\0", "")  # UTF-16 that has neither mark nor charset
        beginning = _BLANKS.sub("", text, count=1)[:_HTML_SEARCH_CHARACTERS]
        return beginning.startswith(_COMMENT) or _HTML_BEGINNING.match(beginning) is not None

    def describe(self, where: str) -> str:
        """Return "<where> answered 503 Service Unavailable", the beginning of an error message."""
        return f"{where} answered {self.status} {status_phrase(self.status)}"

    def describe_with_body(self, where: str) -> str:
        """Return what `describe` does, and the type, length and beginning of the body.

        Blocks for some milliseconds: the beginning is withheld if it repeats what was sent.
        """
        return f"{self.describe(where)} ({self.describe_body()})"

    def describe_body(self, message: str = "") -> str:
        """Return type, length and beginning of the body, or of the `message` that is in it.

        Blocks as `describe_with_body` does.
        """
        if not self.body:
            return f"{self._describe_type()}, empty body"
        text, verb = (message, "saying") if message else (self.text, "beginning")
        length = f"{'' if self.is_whole else 'at least '}{len(self.body)} bytes"
        shown = make_excerpt(text, self.request.secrets(), self.request.short_words())
        said = f"{verb} {shown!r}" if shown else "not shown, because it repeats what was sent"
        return f"{self._describe_type()}, {length}, {said}"

    def header_values(self, name: str) -> list[str]:
        """Return the values of a header, which may be there more than once."""
        return [value for key, value in self.headers.items() if key.lower() == name.lower()]

    def retry_after_seconds(self) -> float | None:
        """Return how long the server asks to wait, None if it does not say."""
        return parse_retry_after(self.headers.get("Retry-After"))

    def rejection_reason(self, default: str) -> str:
        """Return the reason for which this response rejects content."""
        return _REJECTION_REASONS.get(self.status, default)

    def _describe_type(self) -> str:
        media_type = self.media_type
        if not media_type:
            return "no content type"
        is_shown = media_type in _COMMON_TYPES or (
            _MEDIA_TYPE.fullmatch(media_type) is not None
            and not repeats(media_type, self.request.secrets(), self.request.short_words())
        )
        return media_type if is_shown else "an odd content type"


def raise_for_page(response: HttpResponse, where: str, advice: str = "") -> None:
    """Raise RetryLater if the response is a page for people where a verdict is expected.

    A destination whose protocol has no such pages did not answer: a login page, or the page of a
    proxy, neither acknowledges records nor rejects them. Only with 413 it is about the request,
    which nginx and other proxies call too large with a page, unless the request is small. Blocks
    for some milliseconds then.
    """
    if not response.is_html:
        return
    if (
        response.is_success
        or response.status in {400, 422}
        or (response.status == 413 and response.request.size_bytes <= _SMALL_REQUEST_BYTES)
    ):
        raise unlike(response, where, "a page for people says nothing about the records", advice)


def unlike(response: HttpResponse, where: str, problem: str, advice: str = "") -> RetryLater:
    """Make the error for a response that is not one of the destination's protocol."""
    return RetryLater(
        "answer",
        f"{response.describe_with_body(where)}: {problem}; "
        f"{advice or 'check url, and the proxies and logins between'}",
        after_seconds=response.retry_after_seconds(),
    )


def raise_for_status(response: HttpResponse, where: str, *, credential: str = "auth") -> None:
    """Return if the status is 2xx; otherwise raise Rejected or RetryLater.

    203 is the answer of a proxy, not of the destination (RFC 9110, 15.3.4). 400, 413 and 422 judge
    the content. Every other status is retried: time, or a person, can change it. `where` names the
    destination, and `credential` the option that holds our credentials. The response's own text is
    not shown: servers quote what they reject.
    """
    status = response.status
    answered = response.describe(where)
    if status == HTTPStatus.NON_AUTHORITATIVE_INFORMATION:
        raise RetryLater(
            "answer",
            f"{answered}: a proxy has changed the answer, so it is not the destination's; "
            "check url, and the proxies between",
            after_seconds=response.retry_after_seconds(),
        )
    if response.is_success:
        return
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


def _plain(content: bytes) -> bytes:
    """Return a body unpacked; as it is if it is none of ours, such as a part of an object."""
    for compression, beginning in _COMPRESSIONS.items():
        if content.startswith(beginning):
            with suppress(Exception):  # the libraries have an error each, and EOFError
                return decode_lines(content, compression)
    return content


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
    except (ValueError, OverflowError):  # a year of twenty digits
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT_SECONDS)


def _seconds_until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _retry_reason(status: int) -> RetryAdvice:
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
