"""Whether the hits of a line can lead to a redaction, decided on a few hundred raw bytes.

Most hits are dismissed here, before anything is decoded.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect.arguments import CLIENTS, LOGIN_LISTS, SECRET_FLAGS
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.engine import Hit
from tracesidecar.sanitize.escapes import unescape
from tracesidecar.sanitize.prefilter import HitRole
from tracesidecar.sanitize.rules import KeyClass, KeyMatcher, checksums, is_secret

BYTES_BEFORE, BYTES_AFTER = 260, 320
"""The window around a hit that is examined."""
SHORT_LINE_BYTES = 2048
"""A shorter line without JSON inside JSON is redacted in the time it takes to examine its windows.
"""
MANY_HITS = 512
"""More hits than this in one line are not worth examining one by one."""
MOST_REMEMBERED = 8192
"""How many windows known to hold no secret are remembered, with the steps it took to examine them:
agents send the same history again and again."""
_LEVELS = 5
_DEEP = b"\\" * 16
"""This many backslashes mean JSON that is nested deeper than the levels examined here."""
_CONFIRMED_ROLES = frozenset({HitRole.CERTAIN, HitRole.COMMAND, HitRole.ENCODED, HitRole.SPLIT})

Verdict = bool | None
"""True: redact the line; False: this hit means nothing; None: examine the window around it."""


class HitConfirmer:
    """Decides whether the hits of a line can lead to a redaction; when in doubt, they can."""

    def __init__(
        self, detector: Detector, keys: KeyMatcher, roles: Sequence[HitRole], budget: Budget
    ) -> None:
        self._detector = detector
        self._keys = keys
        self._roles = roles
        self._budget = budget
        self._clean_windows: dict[bytes, int] = {}
        self._checks: dict[HitRole, Callable[[bytes, int, int, int], Verdict]] = {
            HitRole.NEEDS_BOUNDARY: _examine,
            HitRole.KEYWORD: self._keyword,
            HitRole.LOGIN: self._login,
            HitRole.EMAIL: _email,
            HitRole.PHONE: self._phone,
            HitRole.NUMERIC: self._numeric,
            HitRole.OLD_VAULT: _old_vault,
        }

    def confirms(self, data: bytes, start: int, end: int, hits: Sequence[Hit]) -> bool:
        """Return False only if no hit in the line data[start:end] can lead to a redaction."""
        if len(hits) > MANY_HITS or any(self._roles[kind] in _CONFIRMED_ROLES for _, kind in hits):
            return True
        windows: list[tuple[int, int]] = []
        for at, kind in hits:
            verdict = self._checks[self._roles[kind]](data, start, end, at)
            if verdict:
                return True
            if verdict is None:
                low, high = max(start, at - BYTES_BEFORE), min(end, at + BYTES_AFTER)
                if windows and low <= windows[-1][1]:
                    windows[-1] = (windows[-1][0], high)
                else:
                    windows.append((low, high))
        if not windows:
            return False
        if end - start <= SHORT_LINE_BYTES and data.find(b'\\"', start, end) < 0:
            return True
        return any(self._window_matches(data[low:high]) for low, high in windows)

    def _window_matches(self, window: bytes) -> bool:
        known = self._clean_windows.get(window)
        if known is not None:
            self._budget.spend(known)
            return False
        spent = self._budget.spent
        if b"\\u" in window or _DEEP in window or patterns.PERCENT_EQUALS.search(window):
            return True
        text = window
        for _ in range(_LEVELS):  # the rules see something else at each level of JSON inside JSON
            text, before = unescape(text), text
            if self._detector.find_spans(text):
                return True
            if b"\\" not in text or text == before:
                break
        if patterns.NAMED_ENTITY.search(text) and self._detector.find_spans(
            html.unescape(text.decode("utf-8", "ignore")).encode()
        ):
            return True
        if len(self._clean_windows) >= MOST_REMEMBERED:
            self._clean_windows.clear()
        self._clean_windows[window] = self._budget.spent - spent
        return False

    # -- one method for each role

    def _keyword(self, data: bytes, start: int, _end: int, at: int) -> Verdict:
        if is_paired(self._keys, data, start, at):
            return True
        match = _key_rest(data, start, at)
        if match is not None:
            verdict = self._key(data, start, match)
            if verdict is not None:
                return verdict
        nested = patterns.NESTED_KEY_REST.match(data, at - 1 if data[at - 1] == 92 else at)
        return self._judge_nested_key(data, start, nested) if nested is not None else None

    def _login(self, data: bytes, start: int, end: int, at: int) -> Verdict:
        behind = data[at : at + 160]
        return (
            self._keyword(data, start, end, at)
            if b"assword" in behind or b"ASSWORD" in behind
            else False
        )

    def _phone(self, data: bytes, start: int, end: int, at: int) -> Verdict:
        plus = data.rfind(b"+", start, at)
        return bool(
            self._detector.find_spans(unescape(data[max(start, plus - 2) : min(end, at + 24)]))
        )

    def _numeric(self, data: bytes, start: int, end: int, at: int) -> Verdict:
        window = data[max(start, at - 48) : min(end, at + 48)]
        return b"\\u" in window or bool(self._detector.find_spans(unescape(window)))

    def _key(self, data: bytes, start: int, match: re.Match[bytes]) -> Verdict:
        """Judge a hit in a key of the line's own JSON; None if it is not a key after all."""
        close = data.find(b'"', match.start())
        open_quote = data.rfind(b'"', start, close)
        if open_quote < start or data[open_quote - 1 : open_quote] == b"\\":
            return None
        key = data[open_quote + 1 : close]
        if b"\\" in key or len(key) > 80 or not key.isascii():
            return True
        name = key.decode()
        key_class = self._keys.classify(name)
        if patterns.SIMPLE_KEY.fullmatch(key) is None:
            return True if key_class is not None else None
        if key_class is None:
            return False
        string, container, number = match.groups()
        if string is not None:
            return _is_secret_string(string[1:-1], key_class)
        if container is not None:
            return key_class is KeyClass.STRONG or name in LOGIN_LISTS
        return number is not None and key_class is KeyClass.STRONG and self._keys.is_numeric(name)

    def _judge_nested_key(self, data: bytes, start: int, match: re.Match[bytes]) -> Verdict:
        """Judge a hit in a key of JSON inside a string."""
        key = patterns.NESTED_KEY_BEFORE.search(
            data[max(start, match.start() - 80) : match.start(1)]
        )
        if key is None:
            return None
        name = key.group(1).decode()
        key_class = self._keys.classify(name)
        first = match.group(2)
        if key_class is None or first in b"tfn":
            return False
        if first in b"-0123456789":
            return (self._keys.is_numeric(name) or None) if key_class is KeyClass.STRONG else False
        return key_class is KeyClass.STRONG if first in b"{[" else True


def is_paired(keys: KeyMatcher, data: bytes, start: int, at: int) -> bool:
    """Return True if the hit is in the name of a pair.

    Pairs are {"name": K, "value": V}, [K, V], a field that is typed into, a column of a table, and
    a program or flag with a value in an argument list.
    """
    quote = data.rfind(b'"', max(start, at - 110), at - 2) + 1
    if not quote:
        return False
    close = data.find(b'"', quote, quote + 256)
    if close < 0:
        return False
    name = data[quote:close].rstrip(b"\\").decode("utf-8", "replace")
    match = patterns.PAIR_BEFORE.search(data[max(start, quote - 24) : quote - 1])
    if match is None:
        return False
    key_class = keys.classify(name.lstrip("-"))
    if match.group(1) or match.group(2) or name.startswith("-"):
        return (
            key_class is not None
            or name in SECRET_FLAGS
            or (match.group(2) is not None and name in CLIENTS)
            or (match.group(1) is not None and patterns.FIELD_OF_SECRET.search(name) is not None)
        )
    return (
        key_class is not None
        and patterns.COLUMN_BEFORE.search(data[max(start, quote - 480) : quote - 1]) is not None
    )


def _key_rest(data: bytes, start: int, at: int) -> re.Match[bytes] | None:
    """Match the rest of a key after the hit, its colon and the beginning of its value."""
    if data[at - 1] not in b'":':
        return patterns.KEY_REST.match(data, at)
    quote = data.rfind(b'"', start, at)  # the hit ended on the key's closing quote or colon
    return patterns.KEY_REST.match(data, quote) if quote > start else None


def _is_secret_string(body: bytes, key_class: KeyClass) -> bool:
    if b"\\" in body or body[:1] in {b"{", b"["}:
        return True
    value = body.decode("utf-8", "replace")
    return is_secret(value, key_class) and not value.startswith(MARKER_START)


def _examine(_data: bytes, _start: int, _end: int, _at: int) -> Verdict:
    return None


def _email(data: bytes, start: int, _end: int, at: int) -> Verdict:
    match = patterns.EMAIL_AFTER.match(data, max(start, data.rfind(b"@", start, at)))
    if match is None:
        return None if b"\\" in data[max(start, at - 80) : at + 80] else False
    sign = match.start()
    local = patterns.EMAIL_BEFORE.search(data[max(start, sign - 64) : sign])
    name = local.group(0) if local else b""
    return bool(name) and checksums.is_personal_email((name + match.group(0)).decode())


def _old_vault(data: bytes, start: int, end: int, at: int) -> Verdict:
    window = data[max(start, at - 60) : min(end, at + 4)]
    return (
        b"hv" in window or b"\\u" in window or patterns.OLD_VAULT_TOKEN.search(window) is not None
    )
