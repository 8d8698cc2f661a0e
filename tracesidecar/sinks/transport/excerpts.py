"""What may be shown of a server's answer: a few characters, and nothing that we have sent.

Servers quote what they reject, and a proxy's page may show the whole request. So an excerpt is
redacted, and it is withheld if it repeats a part of the request, also in another encoding.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import unquote, unquote_plus

from tracesidecar.sanitize import contains_any, redact_short_text

SHOWN_CHARACTERS = 80
REPEATED_CHARACTERS = 8
"""So many characters in a row that were in the request make an excerpt a repetition of it."""

_READ_CHARACTERS = 512
"""Redaction sees more than is shown, so that it knows a secret that the end cuts off."""

_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ESCAPED = re.compile(rb"(?:\\u[0-9a-fA-F]{4})+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}")
_WORD = re.compile(rb"[^\x00-\x20\x7f:;,=]{4,}")
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{16,}")
_LETTERS_AND_DIGITS = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
) | frozenset(range(128, 256))
_PUNCTUATION = bytes(sorted(set(range(256)) - _LETTERS_AND_DIGITS))


def make_excerpt(
    text: str, sent: Iterable[bytes], words: Collection[bytes] = frozenset()
) -> str | None:
    """Return the beginning of a server's text as it may be shown, or None if it repeats `sent`.

    At most 80 characters, redacted, on one line. `sent` is everything that the request held:
    address, values of headers, body; `words` are parts of it that are too secret to be shown
    although they are shorter than a repetition. Blocks for about 10 ms for each megabyte.
    """
    line = _BLANKS.sub(" ", text[:_READ_CHARACTERS]).strip()
    shown = redact_short_text(line)[:SHOWN_CHARACTERS]
    return None if repeats(shown, sent, words) else shown


def repeats(text: str, sent: Iterable[bytes], words: Collection[bytes] = frozenset()) -> bool:
    """Return whether a short text has 8 characters in a row that were sent, in whatever encoding.

    Or one of the `words`. Upper and lower case are the same here, and punctuation between letters
    does not count.
    """
    whole = text.encode("utf-8", "replace")
    forms = {whole, html.unescape(text).encode("utf-8", "replace"), *_decode(whole)}
    forms |= {unquote_plus(text, errors="replace").encode(), _unescape(whole)}
    # RE2 knows the two cases of ASCII letters only
    forms |= {text.lower().encode("utf-8", "replace"), text.upper().encode("utf-8", "replace")}
    if words and any(contains_any(form, words) for form in forms):
        return True
    exact = {window for form in forms for window in _windows(form)}
    plain = {window for form in forms for window in _windows(_without_punctuation(form))}
    return any(
        contains_any(form, exact) or contains_any(_without_punctuation(form), plain)
        for content in sent
        for form in {content, _unescape(content)}
    )


def forms_of(value: str) -> Iterator[bytes]:
    """Yield an address or the value of a header as it is sent, and what is encoded in it.

    `Authorization: Basic` has the credentials in base64, an address has them percent-encoded, and
    OAuth2 has both, one around the other.
    """
    whole = value.encode("utf-8", "replace")
    for form in (whole, *_decode(whole)):
        yield form
        yield unquote(form.decode("utf-8", "replace"), errors="replace").encode()


def short_words_of(value: str) -> Iterator[bytes]:
    """Yield the words of a credential that are too short for a repetition: of 4 to 7 characters.

    The first word of `Bearer …` and `Basic …` names the scheme, and is no secret.
    """
    scheme, blank, rest = value.partition(" ")
    for form in forms_of(rest if blank else scheme):
        for word in _WORD.findall(form):
            if len(word) < REPEATED_CHARACTERS:
                yield word


def _windows(form: bytes) -> Iterator[bytes]:
    """Yield every run of 8 characters; of UTF-8, which never cuts a character in two."""
    text = form.decode("utf-8", "surrogateescape")
    for start in range(len(text) - REPEATED_CHARACTERS + 1):
        yield text[start : start + REPEATED_CHARACTERS].encode("utf-8", "surrogateescape")


def _decode(content: bytes) -> Iterator[bytes]:
    """Yield what runs of base64 and hexadecimal digits encode, wherever in them a group begins."""
    for run in _BASE64.findall(content):
        digits = run.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):
            part = digits[start:]
            yield base64.b64decode(part[: len(part) // 4 * 4])
            if len(part) % 4 > 1:
                yield base64.b64decode(part + b"=" * (-len(part) % 4))
    for run in _HEXADECIMAL.findall(content):
        for start in range(2):
            part = run[start:]
            yield binascii.unhexlify(part[: len(part) // 2 * 2])


def _unescape(content: bytes) -> bytes:
    r"""Replace the escapes of JSON for characters (`\u00e9`)."""
    if b"\\u" not in content:
        return content
    return _ESCAPED.sub(
        lambda match: (
            bytes.fromhex(match[0].replace(b"\\u", b"").decode())
            .decode("utf-16-be", "replace")
            .encode()
        ),
        content,
    )


def _without_punctuation(content: bytes) -> bytes:
    return content.translate(None, _PUNCTUATION)
