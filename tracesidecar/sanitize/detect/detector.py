"""Which spans of one decoded string are secrets by the rules?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect import assignments, layouts
from tracesidecar.sanitize.detect.assignments import Assignments
from tracesidecar.sanitize.detect.layouts import Layouts
from tracesidecar.sanitize.detect.rule_conditions import (
    Proposal,
    RuleCondition,
    Surroundings,
    rule_conditions,
)
from tracesidecar.sanitize.engine import (
    Re2Pattern,
    ScanEngine,
    ScanPattern,
    find_first_hits,
)
from tracesidecar.sanitize.markers import Span, merge_spans
from tracesidecar.sanitize.rules import (
    NO_CUSTOM_RULES,
    CustomRules,
    KeyMatcher,
    Rule,
    entropy,
    is_example,
    is_mixed,
    is_placeholder,
)

LOOK_BACK_BYTES = 700
"""No match with blanks in it begins further than this before the end of its prefilter's first hit.
The widest rule is `cli-user-password`."""
LONG_TEXT_BYTES = 1500
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64_BYTES_AROUND = 128
_LEAST_BASE64_AROUND = 40
_LEAST_LETTERS_AROUND = 56
_WRAPPED_SIZES = frozenset({64, 76})
"""How long the lines of wrapped base64 are (RFC 1421, RFC 2045)."""
_DIGITS = b"0123456789"
_STEPS_PER_TEXT = 9
_STEPS_PER_RULE = 3
_STEPS_PER_SPAN = 8
_BYTES_PER_STEP = 150
_ECHO_BYTES_PER_STEP = 1500
MOST_ECHOED = 64
"""How many secrets of a text are searched for elsewhere in it: the time stays linear."""


class _Compiled(NamedTuple):
    rule: Rule
    pattern: Re2Pattern
    condition: RuleCondition | None
    is_token: bool
    """It redacts one token, which has a prefix of its own."""


class Detector:
    """Finds what must be redacted in the UTF-8 bytes of one string."""

    def __init__(
        self,
        rules: Sequence[Rule],
        engine: ScanEngine,
        keys: KeyMatcher,
        budget: Budget,
        *,
        custom_rules: CustomRules = NO_CUSTOM_RULES,
        custom_words: Sequence[str] = (),
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        conditions = rule_conditions(keys)
        self._rules = [
            _Compiled(
                rule,
                Re2Pattern(rule.regex),
                conditions.get(rule.condition),
                rule.is_one_token,
            )
            for rule in rules
        ]
        self._prefilter = (
            engine.compile(
                "rules", [ScanPattern(i, rule.prefilter) for i, rule in enumerate(rules)], once=True
            )
            if rules
            else None
        )
        numbers = {rule.id: i for i, rule in enumerate(rules)}
        self._assignment_rule = numbers.get(assignments.RULE)
        self._layout_rule = numbers.get(layouts.RULE)
        self._assignments = Assignments(engine, keys, budget, custom_words)
        self._layouts = Layouts(keys, budget)
        self._budget = budget
        self._custom_rules = custom_rules
        self._has_custom_rules = bool(custom_rules)
        self._has_custom_words = bool(custom_words)
        self._allowed = allowed

    def find_spans(self, text: bytes) -> list[Span]:
        """Return the spans to redact, sorted and disjoint.

        Raise OverBudget if that needs more steps than the line has left.
        """
        self._budget.spend(_STEPS_PER_TEXT + len(text) // _BYTES_PER_STEP)
        found: list[Span] = []
        known: set[tuple[int, int]] = set()
        first_hits = self._find_first_hits(text)
        # if two rules propose the same span, the first in the catalogue names it
        for i, end in sorted(first_hits.items()):
            if i in (self._assignment_rule, self._layout_rule):
                continue
            compiled = self._rules[i]
            spans = self._rule_spans(compiled, text, end, known)
            if spans and not compiled.rule.in_blob:
                spans = [span for span in spans if not _is_inside_base64(text, span)]
            found += spans
            known.update((low, high) for low, high, _ in spans)
        if self._assignment_rule in first_hits or self._has_custom_words:
            found += self._assignments.find_spans(text)
        if self._layout_rule in first_hits:
            found += self._layouts.find_spans(text, self._assignments.find_words(text))
        if self._has_custom_rules:
            found += self._custom_rules.find_spans(text)
        if found:
            self._budget.spend(
                len(found) + min(len(found), MOST_ECHOED) * len(text) // _ECHO_BYTES_PER_STEP
            )
            found += _echoes(text, found)
        if self._allowed:
            found = [
                span
                for span in found
                if text[span[0] : span[1]].decode("utf-8", "replace") not in self._allowed
            ]
        return merge_spans(found)

    def list_examined(self, text: bytes) -> list[str]:
        """Return the rules whose pattern would be run over the text."""
        return [self._rules[i].rule.id for i in self._find_first_hits(text)]

    def is_allowed(self, value: str) -> bool:
        """Return True for a value that the configuration says is never redacted."""
        return value in self._allowed

    def _find_first_hits(self, text: bytes) -> Mapping[int, int]:
        return find_first_hits(self._prefilter, text) if self._prefilter is not None else {}

    def _rule_spans(
        self, compiled: _Compiled, text: bytes, first_end: int, known: AbstractSet[tuple[int, int]]
    ) -> list[Span]:
        """Return the spans that one rule redacts, without those that are known already."""
        rule = compiled.rule
        # start at a blank: a token may be longer than any window, for example a JWT with
        # certificates in its header
        start = (
            text.rfind(b" ", 0, max(0, first_end - LOOK_BACK_BYTES)) + 1
            if len(text) > LONG_TEXT_BYTES
            else 0
        )
        text_from = text[start:] if start else text
        self._budget.spend(_STEPS_PER_RULE + len(text_from) // _BYTES_PER_STEP)
        found: list[Span] = []
        surroundings = Surroundings(text_from)
        for match in compiled.pattern.finditer(text_from):
            self._budget.spend(_STEPS_PER_SPAN)
            low, high = compiled.pattern.find_part(match, rule.group)
            value = text_from[low:high].decode("utf-8", "replace")
            if MARKER_START in value or is_placeholder(value):
                continue
            if compiled.is_token and is_example(value):
                continue
            if rule.min_entropy and entropy(value) < rule.min_entropy:
                continue
            if (start + low, start + high) in known:
                continue
            whole = match.span()
            if compiled.condition is None or compiled.condition(
                Proposal(text_from, low, high, value, text_from[whole[0] : whole[1]], surroundings)
            ):
                found.append((start + low, start + high, rule.id))
        return found


def _echoes(text: bytes, found: Sequence[Span]) -> list[Span]:
    """Find the same secrets elsewhere in the text, where nothing names them.

    Example: `login: Xy7!abcd, password: Xy7!abcd`.
    """
    echoes: list[Span] = []
    known = {start for start, _, _ in found}
    for value, rule in {text[start:end]: rule for start, end, rule in found[:MOST_ECHOED]}.items():
        if not 7 <= len(value) <= 512 or not is_mixed(value.decode("utf-8", "replace")):
            continue
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            if at not in known and not _is_part_of_word(text, at, end):
                echoes.append((at, end, rule))
            at = text.find(value, end)
    return echoes


def _is_part_of_word(text: bytes, start: int, end: int) -> bool:
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return (before.isalnum() and text[start : start + 1].isalnum()) or (
        after.isalnum() and text[end - 1 : end].isalnum()
    )


def _is_inside_base64(text: bytes, span: Span) -> bool:
    """Return True for a span in the middle of base64, such as a line of a picture or a hash.

    There the beginning of a token occurs by chance. What is around it has letters of both cases and
    digits, unlike the path of a URL.
    """
    start, end, _ = span
    if text[end : end + 1] not in _BASE64 and text[max(0, start - 1) : start] not in _BASE64:
        return False
    before = text[max(0, start - _BASE64_BYTES_AROUND) : start]
    behind = text[end : end + _BASE64_BYTES_AROUND]
    before = before[len(before.rstrip(_BASE64)) :]
    behind = behind[: len(behind) - len(behind.lstrip(_BASE64))]
    around = before + behind
    if len(around) + end - start in _WRAPPED_SIZES and around:
        return _ends_line(text, start - len(before) - 1) and _ends_line(text, end + len(behind))
    least = _LEAST_BASE64_AROUND if b"+" in around or b"/" in around else _LEAST_LETTERS_AROUND
    return (
        len(around) >= least
        and not around.islower()
        and not around.isupper()
        and any(byte in _DIGITS for byte in around)
    )


def _ends_line(text: bytes, at: int) -> bool:
    return not 0 <= at < len(text) or text[at] in b"\r\n"
