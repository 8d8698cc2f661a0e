"""The rules on one text: which spans of a decoded string are secrets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect import assignments
from tracesidecar.sanitize.detect.assignments import Assignments
from tracesidecar.sanitize.detect.rule_conditions import Proposal, RuleCondition, rule_conditions
from tracesidecar.sanitize.engine.interface import ScanEngine, ScanPattern
from tracesidecar.sanitize.engine.re2_patterns import Re2Match, Re2Pattern
from tracesidecar.sanitize.markers import MARKER_START, Span, merge_spans
from tracesidecar.sanitize.rules.catalogue import Rule
from tracesidecar.sanitize.rules.custom_rules import NO_CUSTOM_RULES, CustomRules
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.rules.value_checks import entropy, is_mixed, is_placeholder

LOOK_BACK = 700
"""No match with blanks in it begins further before the end of its prefilter's first hit (the widest
is `cli-user-password`).
"""
LONG_TEXT = 1500
_BLOB = Re2Pattern("[A-Za-z0-9+/]{256,}")
LEAF_LIMIT = 32 << 20
"""A longer string with something suspicious in it is cut whole: the work for one string stays
bounded.
"""
TOO_LARGE_RULE = "too-large"
_STEPS_A_TEXT = 1
_STEPS_A_SPAN = 12
_BYTES_A_STEP = 200
ECHOED = 64
"""Of so many secrets in a text other occurrences are looked for: the time stays linear."""


class _Compiled(NamedTuple):
    rule: Rule
    pattern: Re2Pattern
    gate: RuleCondition | None


class Detector:
    """Finds what must be cut in the UTF-8 bytes of one string."""

    def __init__(
        self,
        rules: Sequence[Rule],
        engine: ScanEngine,
        keys: KeyMatcher,
        budget: Budget,
        *,
        own: CustomRules = NO_CUSTOM_RULES,
        custom_words: Sequence[str] = (),
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        by_name = rule_conditions(keys)
        self._rules = [
            _Compiled(rule, Re2Pattern(rule.regex), by_name.get(rule.gate)) for rule in rules
        ]
        self._prefilter = (
            engine.compile(
                "rules", [ScanPattern(i, rule.prefilter) for i, rule in enumerate(rules)], once=True
            )
            if rules
            else None
        )
        self._assignment_rule = next(
            (i for i, rule in enumerate(rules) if rule.id == assignments.RULE), None
        )
        self._assignments = Assignments(engine, keys, budget, custom_words)
        self._budget = budget
        self._own = own
        self._has_custom_words = bool(custom_words)
        self._allowed = allowed

    def find_spans(self, text: bytes) -> list[Span]:
        """Return what to cut, sorted and apart from each other; raise OverBudget when that asks for
        too much.
        """
        if len(text) > LEAF_LIMIT:
            return [(0, len(text), TOO_LARGE_RULE)]
        self._budget.spend(_STEPS_A_TEXT + len(text) // _BYTES_A_STEP)
        found: list[Span] = []
        blobs: list[tuple[int, int]] | None = None
        find_first_hits = (
            self._prefilter.find_first_hits(text) if self._prefilter is not None else {}
        )
        for i, end in sorted(
            find_first_hits.items()
        ):  # the catalogue's order names a span that two rules propose
            if i == self._assignment_rule:
                continue
            compiled = self._rules[i]
            spans = self._rule_spans(compiled, text, end)
            if spans and len(text) > 256 and not compiled.rule.in_blob:
                if blobs is None:
                    blobs = [match.span() for match in _BLOB.finditer(text)]
                spans = [span for span in spans if not _is_inside(blobs, span)]
            found += spans
        if self._assignment_rule in find_first_hits or self._has_custom_words:
            found += self._assignments.find_spans(text)
        found += self._own.find_spans(text)
        if found:
            self._budget.spend(_STEPS_A_SPAN * len(found))
            found += _echoes(text, found)
        if self._allowed:
            found = [
                span
                for span in found
                if text[span[0] : span[1]].decode("utf-8", "replace") not in self._allowed
            ]
        return merge_spans(found)

    def is_allowed(self, value: str) -> bool:
        """True for a value that the configuration says is never cut."""
        return value in self._allowed

    def _rule_spans(self, compiled: _Compiled, text: bytes, first_end: int) -> list[Span]:
        rule = compiled.rule
        # back to a blank: a token may be longer than any window (a JWT with certificates in its
        # header)
        start = (
            text.rfind(b" ", 0, max(0, first_end - LOOK_BACK)) + 1 if len(text) > LONG_TEXT else 0
        )
        text_from = text[start:] if start else text
        self._budget.spend(_STEPS_A_TEXT + len(text_from) // _BYTES_A_STEP)
        found: list[Span] = []
        for match in compiled.pattern.finditer(text_from):
            self._budget.spend(_STEPS_A_SPAN)
            low, high = _cut_part(match, rule.group, compiled.pattern)
            value = text_from[low:high].decode("utf-8", "replace")
            if MARKER_START in value or is_placeholder(value):
                continue
            if rule.min_entropy and entropy(value) < rule.min_entropy:
                continue
            whole = match.span()
            if compiled.gate is None or compiled.gate(
                Proposal(text_from, low, high, value, text_from[whole[0] : whole[1]])
            ):
                found.append((start + low, start + high, rule.id))
        return found


def _echoes(text: bytes, found: Sequence[Span]) -> list[Span]:
    """The same secret again in the same text, where nothing names it: `login: Xy7!abcd, password:
    Xy7!abcd`.
    """
    echoes: list[Span] = []
    known = {start for start, _, _ in found}
    for value, rule in {text[start:end]: rule for start, end, rule in found[:ECHOED]}.items():
        if not 7 <= len(value) <= 512 or not is_mixed(value.decode("utf-8", "replace")):
            continue
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            if at not in known and not _is_part_of_a_word(text, at, end):
                echoes.append((at, end, rule))
            at = text.find(value, end)
    return echoes


def _is_part_of_a_word(text: bytes, start: int, end: int) -> bool:
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return (before.isalnum() and text[start : start + 1].isalnum()) or (
        after.isalnum() and text[end - 1 : end].isalnum()
    )


def _cut_part(match: Re2Match, group: int, pattern: Re2Pattern) -> tuple[int, int]:
    """The span of the group that the rule cuts, or of the last one that took part (alternatives
    have a group each).
    """
    if not group:
        return match.span()
    for candidate in (group, *range(pattern.groups, 0, -1)):
        if candidate <= pattern.groups and _is_real(span := match.span(candidate)):
            return span
    return match.span()


def _is_real(span: tuple[int, int]) -> bool:
    return 0 <= span[0] < span[1]


def _is_inside(blobs: list[tuple[int, int]], span: Span) -> bool:
    last = bisect_right(blobs, span[0], key=itemgetter(0)) - 1
    return last >= 0 and span[1] < blobs[last][1]
