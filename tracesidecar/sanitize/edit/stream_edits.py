"""Secrets in streamed texts: found in the joined pieces, redacted in the lines that hold them."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect import Detector, EncodedText
from tracesidecar.sanitize.edit.edits import Edit
from tracesidecar.sanitize.edit.json_members import Members, decode_members
from tracesidecar.sanitize.edit.line_editor import add_escaped_spans
from tracesidecar.sanitize.escapes import raw_offsets
from tracesidecar.sanitize.markers import Marker, merge_spans
from tracesidecar.sanitize.streamed_text import StreamedText, StreamPiece

LineSpan = tuple[int, int]
"""[start, end) of a line in the chunk."""


class AmbiguousStream(Exception):
    """The pieces could not be assigned to texts."""


class StreamEdits:
    """Redacts pieces so that, joined, they are the redacted text."""

    def __init__(
        self,
        detector: Detector,
        encoded_text: EncodedText,
        marker: Marker,
        *,
        tokens: Collection[str],
    ) -> None:
        """`tokens`: the rules that count in guessed texts. A prefix makes these certain."""
        self._tokens = tokens
        self._detector = detector
        self._encoded_text = encoded_text
        self._marker = marker

    def find_edits(self, data: bytes, stream: StreamedText) -> dict[LineSpan, list[Edit]]:
        """Return the edits of each line that holds part of a secret.

        The marker replaces the first part, and only that edit names its rule.
        """
        if stream.is_ambiguous:
            raise AmbiguousStream
        contents = [piece.text for piece in stream.pieces]
        joined = b"".join(contents)
        plain = self._detector.find_spans(joined)
        spans = merge_spans(
            [
                *add_escaped_spans(self._detector, joined, plain),
                *self._encoded_text.find_spans(joined, plain),
            ]
        )
        if not spans:
            return {}
        starts = [0, *accumulate(map(len, contents))]
        found: dict[int, list[_Cut]] = {}
        for start, end, rule in spans:
            first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1
            if stream.is_guessed and (
                rule not in self._tokens
                or first == last
                or self._is_found_alone(contents[first], start - starts[first])
            ):
                continue
            new = self._marker.mark(rule, joined[start:end])
            for i in range(first, last + 1):
                low, high = max(start, starts[i]) - starts[i], min(end, starts[i + 1]) - starts[i]
                if low < high:
                    found.setdefault(i, []).append(_Cut(low, high, new, rule if new else None))
                    new = b""
        edits: dict[LineSpan, list[Edit]] = {}
        for i, cuts in found.items():
            piece = stream.pieces[i]
            edits.setdefault((piece.start, piece.end), []).extend(
                _edit_piece(data[piece.start : piece.end], piece, cuts)
            )
        return edits

    def _is_found_alone(self, piece: bytes, start: int) -> bool:
        """Return whether the rules find something in a piece without those that follow it."""
        return any(end > start for _, end, _ in self._detector.find_spans(piece))


class _Cut(NamedTuple):
    """What of a piece [start, end) is replaced, and the rule, unless an earlier piece names it."""

    start: int
    end: int
    new: bytes
    rule: str | None


def _edit_piece(raw: bytes, piece: StreamPiece, cuts: Sequence[_Cut]) -> Iterator[Edit]:
    """Iterate over the edits of a line that replace parts of its piece."""
    if piece.codec == "text":
        to_raw = _offsets(raw, piece.path)
        for cut in cuts:
            rules = () if cut.rule is None else (cut.rule,)
            yield Edit(to_raw(piece.skip + cut.start), to_raw(piece.skip + cut.end), cut.new, rules)
        return
    text = piece.text
    for cut in reversed(cuts):
        text = text[: cut.start] + cut.new + text[cut.end :]
    start, end = _find_value(raw, piece.path)
    new = (
        b'"' + base64.b64encode(text) + b'"'
        if piece.codec == "base64"
        else msgspec.json.encode(list(text))
    )
    yield Edit(start, end, new, tuple(cut.rule for cut in cuts if cut.rule is not None))


def _find_value(raw: bytes, path: Sequence[str | int]) -> tuple[int, int]:
    """Return where the string, or the list of numbers, at `path` is in the raw line."""
    tree = decode_members(raw)
    before = _tokens_before(tree, path)
    tokens = _tokens_before(tree, path, is_after=True) - before
    spans = [
        match.span()
        for match in islice(patterns.STRING_OR_NUMBER.finditer(raw), before, before + tokens)
    ]
    start, end = spans[0][0], spans[-1][1]
    if raw[start : start + 1] == b'"':
        return start, end
    return raw.rindex(b"[", 0, start), raw.index(b"]", end) + 1


def _offsets(raw: bytes, path: Sequence[str | int]) -> Callable[[int], int]:
    """Return a map from offsets in the string at `path` to offsets in the raw line."""
    wanted = _tokens_before(decode_members(raw), path)
    match = next(islice(patterns.STRING_OR_NUMBER.finditer(raw), wanted, None))
    first = match.start() + 1
    to_raw = raw_offsets(raw[first : match.end() - 1])
    return lambda offset: first + to_raw(offset)


def _tokens_before(value: object, path: Sequence[str | int], *, is_after: bool = False) -> int:
    """Count the string and number tokens of the line before the value at `path`.

    `is_after`: those of the value, too.
    """
    count = 0
    for step in path:
        if isinstance(value, Members):
            # a decoder keeps the last of several equal names
            at = max(i for i, (name, _) in enumerate(value) if name == step)
            count += sum(1 + _tokens(below) for _, below in value[:at]) + 1
            value = value[at][1]
        elif isinstance(value, list) and isinstance(step, int):
            count += sum(map(_tokens, value[:step]))
            value = value[step]
        else:
            raise ValueError("path and tree disagree")  # noqa: TRY004 - wrong data, not a wrong argument
    return count + _tokens(value) if is_after else count


def _tokens(value: object) -> int:
    if isinstance(value, Members):
        return sum(1 + _tokens(below) for _, below in value)
    if isinstance(value, list):
        return sum(map(_tokens, value))
    return 0 if value is None or isinstance(value, bool) else 1
