"""One line under the knife: its raw bytes, its hits, and the edits that will be spliced into it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import OVER_BUDGET_RULE, Budget, OverBudget
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.escapes import decoded, raw_offsets
from tracesidecar.sanitize.markers import MARKER_START, Marker, Span, merge_spans
from tracesidecar.sanitize.rules.allowlist import AllowedPaths
from tracesidecar.sanitize.rules.key_names import KeyMatcher
from tracesidecar.sanitize.rules.value_checks import KeyClass, is_secret

KEY_NAME_RULE = "key-name"
DEEPEST_NEST = 8
"""JSON in strings is parsed down to this level; what lies below and may hold a secret is replaced
whole.
"""
TOO_DEEP_RULE = "too-deep"

_STEPS_A_STRING = 1
_STEPS_A_SPAN = 3
_SHORT_TEXT = 48
_REMEMBERED = 4096
_HIT_SLACK = 3
"""An anchor may end on the quote, colon or blank behind the string that it is about."""


class Edit(NamedTuple):
    """Raw bytes [start, end) are replaced by `new`, cut by `rules`."""

    start: int
    end: int
    new: bytes
    rules: tuple[str, ...]


class EditedLine(NamedTuple):
    """A line after its edits, and the edits in order (none: the line is the same object)."""

    line: bytes
    edits: Sequence[Edit]


def splice(raw: bytes, edits: Sequence[Edit]) -> EditedLine:
    """Make the edits; every other byte stays as it was."""
    if not edits:
        return EditedLine(raw, ())
    pieces: list[bytes] = []
    last = 0
    ordered = sorted(edits)
    for start, end, new, _ in ordered:
        pieces += (raw[last:start], new)
        last = end
    pieces.append(raw[last:])
    return EditedLine(b"".join(pieces), ordered)


def chain(first: EditedLine, second: EditedLine) -> EditedLine:
    """Both edits of a line as one; `second` was made on the line as `first` left it."""
    if not first.edits:
        return second
    shifts = [0, *accumulate(len(new) - (end - start) for start, end, new, _ in first.edits)]
    starts = [edit.start + shift for edit, shift in zip(first.edits, shifts, strict=False)]
    return EditedLine(
        second.line,
        [*first.edits, *(_placed_before(starts, shifts, edit) for edit in second.edits)],
    )


def _placed_before(starts: Sequence[int], shifts: Sequence[int], later: Edit) -> Edit:
    """A later edit with its place in the line before earlier ones, as exactly as can be said; they
    begin at `starts`, each behind its shift.
    """
    shift = shifts[bisect_left(starts, later.start)]
    return Edit(later.start - shift, later.end - shift, later.new, later.rules)


class CleanTextCache:
    """Short texts known to hold nothing, with what it cost to know: names and words come again and
    again.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, bool], int] = {}

    def steps(self, text: str, *, is_encoded: bool) -> int | None:
        """Return the steps that it took to look at the text (and at its views, with `is_encoded`),
        None when it is not known.
        """
        return self._steps.get((text, is_encoded))

    def add(self, text: str, *, is_encoded: bool, steps: int) -> None:
        """Remember a text; forget all others when they become many."""
        if len(self._steps) >= _REMEMBERED:
            self._steps.clear()
        self._steps[text, is_encoded] = steps


class EditTools(NamedTuple):
    """What every cut needs."""

    rules: Detector
    views: EncodedText
    keys: KeyMatcher
    marker: Marker
    budget: Budget
    nested: Callable[[bytes, int], EditedLine]
    """Redact a JSON text that stands inside a string, at the given level."""
    clean: CleanTextCache
    allowed: AllowedPaths = AllowedPaths()


class HitPositions(NamedTuple):
    """Where in a line to look: sorted ends of all hits, and of those on encoded views.

    None: everywhere.
    """

    hits: Sequence[int] | None
    encoded: Sequence[int] | None

    def touch(self, start: int, end: int) -> bool:
        """True when a hit may be about raw[start:end]."""
        return _touches(self.hits, start, end)

    def touch_encoded(self, start: int, end: int) -> bool:
        """True when a hit on an encoded view may be about raw[start:end]."""
        return _touches(self.encoded, start, end)


EVERYWHERE = HitPositions(None, None)


def _touches(ends: Sequence[int] | None, start: int, end: int) -> bool:
    if ends is None:
        return True
    first = bisect_right(ends, start)
    return first < len(ends) and ends[first] <= end + _HIT_SLACK


KnownEdits = dict[tuple[int, int, KeyClass | None], list[Edit]]
"""The edits of strings that were looked at: start, end, and the class of the key above."""


class LineEditor:
    """Collects the edits of one line."""

    def __init__(
        self, tools: EditTools, raw: bytes, heat: HitPositions, nest: int, known: KnownEdits
    ) -> None:
        """`known` is filled, and saves a second attempt at the same line what the first has done."""
        self.tools = tools
        self.raw = raw
        self.heat = heat
        self.edits: list[Edit] = []
        self._nest = nest
        self._known = known

    def splice(self) -> EditedLine:
        """Return the line with all edits made; every other byte stays as it was."""
        if self.tools.allowed and not self._nest:
            self.edits = [
                edit for edit in self.edits if not self.tools.allowed.contain(self.raw, edit.start)
            ]
        return splice(self.raw, self.edits)

    def is_secret(self, value: str, key_class: KeyClass) -> bool:
        """Judge a value under a key; what is marked or allowed already is none."""
        return (
            is_secret(value, key_class)
            and not value.startswith(MARKER_START)
            and not self.tools.rules.is_allowed(value)
        )

    def replace(self, start: int, end: int, rule: str, secret: bytes, kept: str = "") -> None:
        """Put a string with a marker in the place of raw[start:end], behind the text that is
        `kept`.
        """
        marker = self.tools.marker.mark(rule, secret)
        new = msgspec.json.encode(kept + marker.decode()) if kept else b'"' + marker + b'"'
        self.edits.append(Edit(start, end, new, (rule,)))

    def edit_string(self, text: str, start: int, end: int, key_class: KeyClass | None) -> None:
        """Cut in the string token raw[start:end], whose decoded text is given, below a key of this
        class.
        """
        place = (start, end, key_class)
        if place in self._known:
            self.edits += self._known[place]
            return
        count = len(self.edits)
        try:
            self.tools.budget.spend(_STEPS_A_STRING)
            self._cut_string(text, start, end, key_class)
        except OverBudget:
            del self.edits[count:]
            self.tools.budget.count_replaced()
            self.replace(start, end, OVER_BUDGET_RULE, text.encode())
        self._known[place] = self.edits[count:]

    def _cut_string(self, text: str, start: int, end: int, key_class: KeyClass | None) -> None:
        if key_class is not None and self.is_secret(text, key_class):
            self._replace_below_key(text, start, end)
            return
        if not self.heat.touch(start, end) and "\\" not in text:
            return
        is_encoded = self.heat.touch_encoded(start, end)
        known = self.tools.clean.steps(text, is_encoded=is_encoded)
        if known is not None:
            self.tools.budget.spend(known)
            return
        spent = self.tools.budget.spent
        content = text.encode()
        if self._cut_nested(content, start, end):
            return
        plain = self.tools.rules.find_spans(content)
        spans = with_escaped(self.tools.rules, content, plain)
        if is_encoded or _has_views(content):
            spans = merge_spans([*spans, *self.tools.views.find_spans(content, plain)])
        if (
            spans
            and spans[0][2] == "ipv4"
            and spans[0][1] == len(content)
            and self._is_version(start)
        ):
            return
        if spans:
            self._cut_spans(content, start, end, spans)
        elif len(text) <= _SHORT_TEXT:
            self.tools.clean.add(text, is_encoded=is_encoded, steps=self.tools.budget.spent - spent)

    def _is_version(self, start: int) -> bool:
        """True for a string under a key such as `version`: 2.31.0.6 is no address there."""
        before = patterns.PLAIN_KEY_BEFORE.search(self.raw, max(0, start - 96), start)
        return before is not None and before.group(1).lower().endswith((b"version", b"release"))

    def _replace_below_key(self, text: str, start: int, end: int) -> None:
        scheme = patterns.SCHEME.match(text)
        kept = scheme.group(0) if scheme else ""
        secret = text[len(kept) :]
        if not secret.startswith(MARKER_START):
            self.replace(start, end, KEY_NAME_RULE, secret.encode(), kept)

    def _cut_nested(self, content: bytes, start: int, end: int) -> bool:
        """Redact JSON inside the string; False when there is none."""
        if not is_json_container(content):
            return False
        if self._nest >= DEEPEST_NEST:
            self.replace(start, end, TOO_DEEP_RULE, content)
            return True
        edited = self.tools.nested(content, self._nest + 1)
        if edited.edits:
            rules = tuple(rule for edit in edited.edits for rule in edit.rules)
            self.edits.append(Edit(start, end, msgspec.json.encode(edited.line.decode()), rules))
        return True

    def _cut_spans(self, content: bytes, start: int, end: int, spans: Sequence[Span]) -> None:
        """Cut decoded spans out of the raw string: escapes before and behind stay as they were
        written.
        """
        body = self.raw[start + 1 : end - 1]
        self.tools.budget.spend(_STEPS_A_SPAN * len(spans) + body.count(b"\\"))
        to_raw = raw_offsets(body)
        for low, high, rule in spans:
            marker = self.tools.marker.mark(rule, content[low:high])
            self.edits.append(
                Edit(start + 1 + to_raw(low), start + 1 + to_raw(high), marker, (rule,))
            )


def _has_views(content: bytes) -> bool:
    if b"\\u" in content or (b"&" in content and patterns.NAMED_ENTITY.search(content) is not None):
        return True
    return b"%" in content and patterns.PERCENT_EQUALS.search(content) is not None


def is_json_container(content: bytes) -> bool:
    """True for the text of a JSON object or array."""
    if content.lstrip()[:1] not in {b"{", b"["} or len(content) < 2:
        return False
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def with_escaped(rules: Detector, content: bytes, plain: list[Span]) -> list[Span]:
    """What to cut from a text in which the rules find `plain`; JSON that was cut off is no JSON any
    more, but its escapes still are.
    """
    if b"\\" not in content or content.lstrip()[:1] not in {b"{", b"["}:
        return plain
    at = raw_offsets(content)
    return merge_spans(
        [
            *plain,
            *(
                (at(start), at(end), rule)
                for start, end, rule in rules.find_spans(decoded(content))
            ),
        ]
    )
