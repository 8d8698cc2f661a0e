"""Paths as they may be shown, and as they may leave.

People and agents put secrets into names: `token=…/`, a key as the name of a file. One function
redacts them, for screens and for what leaves. Where a `Sanitizer` is at work, it brings the
configured rules; a command that only prints names uses those of the catalogue.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize.engine import Re2Pattern
from tracesidecar.sanitize.markers import Marker, Span, merge_spans
from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules import active_rules, load_catalogue

KEPT_PATHS = 4096

_NOT_A_MARK = rf"(?!{re.escape(MARKER_START)})"
_NAMED = re.compile(
    r"(?i:(?<=password=)|(?<=passwd=)|(?<=secret=)|(?<=token=)|(?<=api_key=)|(?<=apikey=))"
    rf"{_NOT_A_MARK}[^/\s&]{{4,}}|(?<=://){_NOT_A_MARK}[^/@\s]{{1,256}}(?=@)"
)
"""What stands after a word for a secret, up to the next part of the path: a rule, which is made for
texts, would take the name of the file with it.
"""
_TOKEN = re.compile(
    r"(?:sk-|[sr]k_(?:live|test)_|gh[pousr]_|github_pat_|gl(?:pat|rt|dt|ptt)-|xox[a-e]-|xox[oprs]-|A[KS]IA|AIza|ya29\.|hf_|npm_|pypi-|do[opr]_v1_|eyJ"
    r"|gsk_|hv[sb]\.|shp(?:at|ss|ca|pa)_|SG\.|whsec_|AGE-SECRET-KEY-)[A-Za-z0-9_.+=-]{12,}"
)
"""What begins like a well-known token, and is shorter than its rule asks for."""
_MARK = f"{MARKER_START}name]"

_UNUSUAL = re.compile(r"[^A-Za-z0-9/._-]|[A-Za-z0-9_]{20}")
"""A path without any of these matches no rule that has no prefix of its own."""
_PLAIN = re.compile(
    r"(?:https?://[A-Za-z0-9.-]{1,64}(?::[0-9]{1,5})?(?=/|\Z))?"
    r"(?:[A-Za-z0-9._-]{0,16}/)*[A-Za-z0-9._-]{0,16}"
)
"""What is made of short words matches no rule: a start need not load the catalogue for it."""


@lru_cache(maxsize=KEPT_PATHS)  # a list of rejected lines shows the same few paths very often
def printable(path: str) -> str:
    """Return a path, or another text with paths in it, as it may be shown.

    It is redacted, and bytes that are not UTF-8 and control characters are escaped.
    """
    return escape_unprintable(redact_path(path))


def escape_unprintable(text: str) -> str:
    """Return a text in which bytes that are not UTF-8 and control characters are escaped."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def redact_path(path: str, redact: Callable[[str], str] | None = None) -> str:
    """Return a path without secrets; bytes that are not UTF-8 are escaped.

    `redact` is a Sanitizer's, with the configured rules; without it the catalogue's are used.
    """
    text = _NAMED.sub(_MARK, os.fsencode(path).decode("utf-8", "backslashreplace"))
    if redact is not None:
        text = redact(text)
    elif not _PLAIN.fullmatch(text):
        text = _redact_by_catalogue(text)
    return _TOKEN.sub(_MARK, text)


class _NameRule(NamedTuple):
    """A rule for secrets: one of the `prefixes` must be in the text, in any case of letters."""

    id: str
    group: int
    pattern: Re2Pattern
    prefixes: tuple[str, ...]


@cache
def _rules() -> tuple[_NameRule, ...]:
    return tuple(
        _NameRule(rule.id, rule.group, Re2Pattern(rule.regex), tuple(map(str.lower, rule.prefix)))
        for rule in active_rules(load_catalogue(), RedactionOptions())
    )


def _redact_by_catalogue(text: str) -> str:
    lowered, content = text.lower(), text.encode()
    is_unusual = _UNUSUAL.search(text) is not None
    spans: list[Span] = []
    for rule in _rules():
        for prefix in rule.prefixes:
            if prefix in lowered:
                break
        else:
            if rule.prefixes or not is_unusual:
                continue
        spans += (
            (*rule.pattern.find_part(match, rule.group), rule.id)
            for match in rule.pattern.finditer(content)
        )
    return Marker().redact(content, merge_spans(spans)).decode() if spans else text
