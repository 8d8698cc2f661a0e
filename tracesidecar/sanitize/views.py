"""Encoded views of a text: base64, percent, HTML entities, colours, invisible and look-alike characters."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.markers import Marker, Span
from tracesidecar.sanitize.text_rules import TextRules

BASE64_RULE = "base64"


class Seen(NamedTuple):
    """A text after a cut in one of its views, and the rules that cut."""

    text: bytes
    rules: tuple[str, ...]


def _unicode(match: re.Match[str]) -> str:
    digits = "".join(patterns.UNICODE_ESCAPE_DIGITS.findall(match.group(0)))
    return bytes.fromhex(digits).decode("utf-16-be", "replace")


def _percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group(0).replace("%", "")).decode("utf-8", "replace")


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match.group(0))


def _nothing(_match: re.Match[str]) -> str:
    return ""


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (patterns.UNICODE_ESCAPES, _unicode),
    (patterns.PERCENT_RUN, _percent),
    (patterns.ENTITY, _entity),
    (patterns.ANSI, _nothing),
    (patterns.INVISIBLE, _nothing),
)


class Views:
    """Looks at a text through each decoder; where a rule hits, the decoded text stands in, cut."""

    def __init__(self, rules: TextRules, marker: Marker) -> None:
        self._rules = rules
        self._marker = marker

    def cut(self, text: bytes) -> Seen | None:
        """Return the text after cuts, None when no view holds a secret."""
        original = text.decode()
        rules: list[str] = []
        cut = self._without_base64(original, rules) if len(text) >= 24 else original
        for decoded in self._decoded(cut):
            content = decoded.encode("utf-8", "replace")
            spans = self._rules.spans(content)
            if spans:
                return Seen(self._marker.cut(content, spans), (*rules, *_names(spans)))
        return Seen(cut.encode(), tuple(rules)) if rules else None

    def _decoded(self, text: str) -> list[str]:
        views = [pattern.sub(decode, text) for pattern, decode in _DECODERS if pattern.search(text)]
        if not text.isascii():
            views.append(unicodedata.normalize("NFKC", text))
        return [view for view in views if view != text]

    def _without_base64(self, text: str, rules: list[str]) -> str:
        def replace(match: re.Match[str]) -> str:
            run = match.group(0)
            if not self._hides_a_secret(run, depth=0):
                return run
            rules.append(BASE64_RULE)
            return self._marker.mark(BASE64_RULE, run.encode()).decode()

        return patterns.BASE64_RUN.sub(replace, text)

    def _hides_a_secret(self, run: str, depth: int) -> bool:
        decoded = _base64_text(run)
        if decoded is None:
            return False
        if self._rules.spans(decoded.encode()):
            return True
        if depth > 0:
            return False
        inner = patterns.BASE64_RUN.findall(decoded)
        if inner:
            return any(self._hides_a_secret(each, depth + 1) for each in inner)
        return any(self._rules.spans(view.encode("utf-8", "replace")) for view in self._decoded(decoded))


def _base64_text(run: str) -> str | None:
    """The text that a run encodes, None when it is not text; the first 24 characters decide for nearly every run."""
    standard = run.replace("-", "+").replace("_", "/")
    try:
        head = base64.b64decode(standard[:24])
        if sum(32 <= c < 127 or c >= 128 or c in b"\r\n\t" for c in head) < 17:
            return None
        decoded = base64.b64decode(standard + "=" * (-len(standard.rstrip("=")) % 4)).decode("utf-8")
    except ValueError:
        return None
    printable = sum(c.isprintable() or c in "\r\n\t" for c in decoded)
    return decoded if printable >= 0.95 * len(decoded) else None


def _names(spans: Sequence[Span]) -> tuple[str, ...]:
    return tuple(rule for _, _, rule in spans)
