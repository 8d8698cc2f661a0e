"""One line being redacted: its raw bytes, where its hits are, and the edits collected for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from tracesidecar.redaction_marker import MARKER_START
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.budget import Budget
from tracesidecar.sanitize.detect import Detector, EncodedText
from tracesidecar.sanitize.edit.edits import Edit, EditedLine, splice
from tracesidecar.sanitize.engine import Re2Pattern
from tracesidecar.sanitize.escapes import decode_escapes, raw_offsets
from tracesidecar.sanitize.markers import Marker, Span, merge_spans
from tracesidecar.sanitize.rules import AllowedPaths, KeyClass, KeyMatcher, is_secret

KEY_NAME_RULE = "key-name"
DEEPEST_NEST = 8
"""JSON inside strings is parsed down to this level; a string below it that may hold a secret is
replaced whole."""
TOO_DEEP_RULE = "too-deep"

_JOINT = Re2Pattern(patterns.JOINT)
_STEPS_PER_STRING = 6
_STEPS_PER_SPAN = 4
_SHORT_TEXT = 48
_MOST_REMEMBERED = 4096
_HIT_SLACK = 3
"""An anchor may end on the quote, colon or blank after the string that it is about."""


class CleanTextCache:
    """Short texts known to hold no secret, with the steps it took to examine them.

    Names and words occur again and again.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, bool], int] = {}

    def get_steps(self, text: str, *, is_encoded: bool) -> int | None:
        """Return the steps that examining the text took, None if it is not known.

        With `is_encoded` its encoded content was examined too.
        """
        return self._steps.get((text, is_encoded))

    def add(self, text: str, *, is_encoded: bool, steps: int) -> None:
        """Remember a text; forget all others when there are too many."""
        if len(self._steps) >= _MOST_REMEMBERED:
            self._steps.clear()
        self._steps[text, is_encoded] = steps


class EditTools(NamedTuple):
    """What every edit needs."""

    detector: Detector
    encoded_text: EncodedText
    keys: KeyMatcher
    marker: Marker
    budget: Budget
    edit_json: Callable[[bytes, int], EditedLine]
    """Redact a JSON text found inside a string, at the given nesting level."""
    clean_texts: CleanTextCache
    allowed_paths: AllowedPaths | None


class HitPositions(NamedTuple):
    """Where in a line to look: the sorted end offsets of all hits, and of those on encoded text.

    None means everywhere.
    """

    ends: Sequence[int] | None
    encoded_ends: Sequence[int] | None

    def has_any_in(self, start: int, end: int) -> bool:
        """Return True if a hit may be about raw[start:end]."""
        return _has_end_in(self.ends, start, end)

    def has_encoded_in(self, start: int, end: int) -> bool:
        """Return True if a hit on encoded text may be about raw[start:end]."""
        return _has_end_in(self.encoded_ends, start, end)


EVERYWHERE = HitPositions(None, None)


def _has_end_in(ends: Sequence[int] | None, start: int, end: int) -> bool:
    if ends is None:
        return True
    first = bisect_right(ends, start)
    return first < len(ends) and ends[first] <= end + _HIT_SLACK


KnownEdits = dict[tuple[int, int, KeyClass | None], list[Edit]]
"""The edits of strings already examined, by start, end and the class of the key above."""


class LineEditor:
    """Collects the edits of one line."""

    def __init__(
        self, tools: EditTools, raw: bytes, hits: HitPositions, nest: int, known: KnownEdits
    ) -> None:
        """Fill `known` too, so that a second attempt at the line repeats no work of the first."""
        self.tools = tools
        self.raw = raw
        self.hits = hits
        self.edits: list[Edit] = []
        self._nest = nest
        self._known = known

    def splice(self) -> EditedLine:
        """Apply the edits, except those at paths that the configuration allows."""
        allowed = self.tools.allowed_paths
        if allowed is not None and not self._nest:
            self.edits = [edit for edit in self.edits if not allowed.contain(self.raw, edit.start)]
        return splice(self.raw, self.edits)

    def is_secret(self, value: str, key_class: KeyClass) -> bool:
        """Judge a value under a key; a marker or an allowed value is not a secret."""
        return (
            is_secret(value, key_class)
            and not value.startswith(MARKER_START)
            and not self.tools.detector.is_allowed(value)
        )

    def replace(self, start: int, end: int, rule: str, secret: bytes, kept: str = "") -> None:
        """Replace raw[start:end] by a string that holds a marker, after the text `kept`."""
        marker = self.tools.marker.mark(rule, secret)
        new = msgspec.json.encode(kept + marker.decode()) if kept else b'"' + marker + b'"'
        self.edits.append(Edit(start, end, new, (rule,)))

    def edit_string(self, text: str, start: int, end: int, key_class: KeyClass | None) -> None:
        """Redact the string token raw[start:end], given its text and the class of its key."""
        token = (start, end, key_class)
        if token in self._known:
            self.edits += self._known[token]
            return
        count = len(self.edits)
        self.tools.budget.spend(_STEPS_PER_STRING)
        self._edit_string(text, start, end, key_class)
        self._known[token] = self.edits[count:]

    def _edit_string(self, text: str, start: int, end: int, key_class: KeyClass | None) -> None:
        if key_class is not None and self.is_secret(text, key_class):
            self._replace_below_key(text, start, end)
            return
        if not self.hits.has_any_in(start, end) and "\\" not in text:
            return
        is_encoded = self.hits.has_encoded_in(start, end)
        known = self.tools.clean_texts.get_steps(text, is_encoded=is_encoded)
        if known is not None:
            self.tools.budget.spend(known)
            return
        spent = self.tools.budget.spent
        content = text.encode()
        if self._edit_nested(content, start, end):
            return
        plain = self.tools.detector.find_spans(content)
        spans = add_escaped_spans(self.tools.detector, content, plain)
        if is_encoded or _may_be_encoded(content):
            spans = merge_spans([*spans, *self.tools.encoded_text.find_spans(content, plain)])
        if (
            spans
            and spans[0][2] == "ipv4"
            and spans[0][1] == len(content)
            and self._is_version(start)
        ):
            return
        if spans:
            self._replace_spans(content, start, end, spans)
        elif len(text) <= _SHORT_TEXT:
            self.tools.clean_texts.add(
                text, is_encoded=is_encoded, steps=self.tools.budget.spent - spent
            )

    def _is_version(self, start: int) -> bool:
        """Return True for a string under a key such as `version`: 2.31.0.6 is no address there."""
        before = patterns.PLAIN_KEY_BEFORE.search(self.raw, max(0, start - 96), start)
        return before is not None and before.group(1).lower().endswith((b"version", b"release"))

    def _replace_below_key(self, text: str, start: int, end: int) -> None:
        scheme = patterns.SCHEME.match(text)
        kept = scheme.group(0) if scheme else ""
        secret = text[len(kept) :]
        if not secret.startswith(MARKER_START):
            self.replace(start, end, KEY_NAME_RULE, secret.encode(), kept)

    def _edit_nested(self, content: bytes, start: int, end: int) -> bool:
        """Redact JSON inside the string; False if it holds none."""
        if not is_json_container(content):
            return False
        if self._nest >= DEEPEST_NEST:
            self.replace(start, end, TOO_DEEP_RULE, content)
            return True
        edited = self.tools.edit_json(content, self._nest + 1)
        if edited.edits:
            rules = tuple(rule for edit in edited.edits for rule in edit.rules)
            self.edits.append(Edit(start, end, msgspec.json.encode(edited.line.decode()), rules))
        return True

    def _replace_spans(self, content: bytes, start: int, end: int, spans: Sequence[Span]) -> None:
        """Replace spans of the decoded text in the raw string.

        Escapes before and after them stay as they were written.
        """
        body = self.raw[start + 1 : end - 1]
        self.tools.budget.spend(_STEPS_PER_SPAN * len(spans) + body.count(b"\\"))
        to_raw = raw_offsets(body)
        for low, high, rule in spans:
            marker = self.tools.marker.mark(rule, content[low:high])
            self.edits.append(
                Edit(start + 1 + to_raw(low), start + 1 + to_raw(high), marker, (rule,))
            )


def _may_be_encoded(content: bytes) -> bool:
    if b"\\u" in content or (b"&" in content and patterns.NAMED_ENTITY.search(content) is not None):
        return True
    if _JOINT.search(content) is not None:
        return True
    return b"%" in content and patterns.PERCENT_EQUALS.search(content) is not None


def is_json_container(content: bytes) -> bool:
    """Return True for the text of a JSON object or array."""
    if content.lstrip()[:1] not in {b"{", b"["} or len(content) < 2:
        return False
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def add_escaped_spans(detector: Detector, content: bytes, plain: list[Span]) -> list[Span]:
    """Return `plain` and what the rules find in the text with its JSON escapes decoded.

    A JSON text that was truncated is not valid JSON any more, but its escapes still are escapes.
    """
    if b"\\" not in content or content.lstrip()[:1] not in {b"{", b"["}:
        return plain
    at = raw_offsets(content)
    return merge_spans(
        [
            *plain,
            *(
                (at(start), at(end), rule)
                for start, end, rule in detector.find_spans(decode_escapes(content))
            ),
        ]
    )
