"""The rules that the configuration adds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tracesidecar.errors import ConfigurationError
from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize.engine import Re2Pattern, compile_pattern
from tracesidecar.sanitize.escapes import unescape
from tracesidecar.sanitize.markers import Span
from tracesidecar.sanitize.options import CustomRule

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_REGEX_PIECE = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\.|.", re.DOTALL)
_ZERO_WIDTH = frozenset({r"\b", r"\B", r"\A", r"\z", "^", "$"})
_NESTING_LEVELS = 3


class _CompiledRule(NamedTuple):
    id: str
    pattern: Re2Pattern
    loose: Re2Pattern
    group: int


class CustomRules:
    """Compiles and checks all rules at once; raises ConfigurationError with the reason."""

    def __init__(self, options: Iterable[CustomRule] = (), taken: Iterable[str] = ()) -> None:
        self._rules: list[_CompiledRule] = []
        names = set(taken)
        for option in options:
            if _ID.fullmatch(option.id) is None:
                raise ConfigurationError(
                    f'redaction.rule: the id "{option.id}" is not a name; '
                    'allowed are lower-case letters, digits and "-"'
                )
            if option.id in names:
                raise ConfigurationError(
                    f'redaction.rule: the id "{option.id}" is taken by another rule'
                )
            names.add(option.id)
            self._rules.append(_compile(option))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find_spans(self, text: bytes) -> list[Span]:
        """Return the spans to redact in the UTF-8 bytes of one string."""
        found: list[Span] = []
        for rule in self._rules:
            for match in rule.pattern.finditer(text):
                start, end = match.span(rule.group)
                if 0 <= start < end and MARKER_START.encode() not in text[start:end]:
                    found.append((start, end, rule.id))
        return found

    def may_match(self, line: bytes) -> bool:
        """Return False only if no rule can match any string of this raw line."""
        for _ in range(_NESTING_LEVELS):
            if b"\\u" in line or any(rule.loose.search(line) is not None for rule in self._rules):
                return True
            if b"\\" not in line:
                return False
            line = unescape(line)
        return True


NO_CUSTOM_RULES = CustomRules()


def _keyword_pattern(keyword: str) -> str:
    """Match the keyword as a whole word in any case; a blank in it matches any run of blanks."""
    words = r"\s+".join(re.escape(word) for word in keyword.split())
    return (
        "(?i)"
        + (r"\b" if keyword[0].isascii() and keyword[0].isalnum() else "")
        + words
        + (r"\b" if keyword[-1].isascii() and keyword[-1].isalnum() else "")
    )


def _compile(option: CustomRule) -> _CompiledRule:
    where = f'redaction.rule "{option.id}"'
    if bool(option.regex) == bool(option.keyword.strip()):
        raise ConfigurationError(f'{where}: give either a "regex" or a "keyword"')
    regex = option.regex or _keyword_pattern(option.keyword.strip())
    pattern = compile_pattern(regex, where=where)
    if not 0 <= option.group <= pattern.groups:
        raise ConfigurationError(
            f"{where}: group {option.group} does not exist; the pattern has {pattern.groups}"
        )
    if pattern.search(b"") is not None:
        raise ConfigurationError(
            f"{where}: the pattern matches the empty text, so it would redact everywhere"
        )
    # string boundaries are not visible in the raw line; without its zero-width assertions the
    # pattern matches wherever the complete one does
    loose = "".join(piece for piece in _REGEX_PIECE.findall(regex) if piece not in _ZERO_WIDTH)
    return _CompiledRule(option.id, pattern, compile_pattern(loose, where=where), option.group)
