"""The rules that a user adds by configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tracesidecar.errors import ConfigurationError
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern, compile_pattern
from tracesidecar.sanitize.escapes import unescape
from tracesidecar.sanitize.markers import MARKER_START, Span
from tracesidecar.sanitize.options import CustomRule

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PIECE = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\.|.", re.DOTALL)
_ZERO_WIDTH = frozenset({r"\b", r"\B", r"\A", r"\z", "^", "$"})
_LEVELS = 3


class _Own(NamedTuple):
    id: str
    pattern: Re2Pattern
    loose: Re2Pattern
    group: int


class CustomRules:
    """Compiled and checked when made: raises ConfigurationError with RE2's reason."""

    def __init__(self, options: Iterable[CustomRule] = (), taken: Iterable[str] = ()) -> None:
        self._rules: list[_Own] = []
        names = set(taken)
        for option in options:
            if _ID.fullmatch(option.id) is None:
                raise ConfigurationError(
                    f'redaction.rule: the id "{option.id}" is not a name; allowed are lower-case letters, digits and "-"'
                )
            if option.id in names:
                raise ConfigurationError(f'redaction.rule: the id "{option.id}" is taken')
            names.add(option.id)
            self._rules.append(_compiled(option))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find_spans(self, text: bytes) -> list[Span]:
        """Return what to cut in the UTF-8 bytes of one string."""
        found: list[Span] = []
        for rule in self._rules:
            for match in rule.pattern.finditer(text):
                start, end = match.span(rule.group)
                if 0 <= start < end and MARKER_START.encode() not in text[start:end]:
                    found.append((start, end, rule.id))
        return found

    def may_match(self, line: bytes) -> bool:
        """False only when no rule can match a string of this raw line."""
        for _ in range(_LEVELS):
            if b"\\u" in line or any(rule.loose.search(line) is not None for rule in self._rules):
                return True
            if b"\\" not in line:
                return False
            line = unescape(line)
        return True


NO_CUSTOM_RULES = CustomRules()


def _of_keyword(keyword: str) -> str:
    """The keyword as a word of its own, in any case; blanks in it match any run of blanks."""
    words = r"\s+".join(re.escape(word) for word in keyword.split())
    return (
        "(?i)"
        + (r"\b" if keyword[0].isascii() and keyword[0].isalnum() else "")
        + words
        + (r"\b" if keyword[-1].isascii() and keyword[-1].isalnum() else "")
    )


def _compiled(option: CustomRule) -> _Own:
    where = f'redaction.rule "{option.id}"'
    if bool(option.regex) == bool(option.keyword.strip()):
        raise ConfigurationError(f'{where}: give either a "regex" or a "keyword"')
    regex = option.regex or _of_keyword(option.keyword.strip())
    pattern = compile_pattern(regex, where=where)
    if not 0 <= option.group <= pattern.groups:
        raise ConfigurationError(
            f"{where}: group {option.group} does not exist; the pattern has {pattern.groups}"
        )
    if pattern.search(b"") is not None:
        raise ConfigurationError(
            f"{where}: the pattern matches the empty text, so it would cut everywhere"
        )
    # the raw line shows no edges of strings: a pattern without its edges matches wherever the whole
    # one does
    loose = "".join(piece for piece in _PIECE.findall(regex) if piece not in _ZERO_WIDTH)
    return _Own(option.id, pattern, compile_pattern(loose, where=where), option.group)
