"""Secrets in streamed texts: found in all the pieces put together, cut from the lines that hold
them.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, islice

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect.detector import Detector
from tracesidecar.sanitize.detect.encoded_text import EncodedText
from tracesidecar.sanitize.edit.line_editor import Edit, with_escaped
from tracesidecar.sanitize.escapes import raw_offsets
from tracesidecar.sanitize.markers import Marker, merge_spans
from tracesidecar.sanitize.streams import StreamedText

Line = tuple[int, int]
"""[start, end) of a line in the chunk."""


class AmbiguousStream(Exception):
    """The pieces of a text could not be told apart."""


class StreamEdits:
    """Cuts so that the redacted pieces, put together, are the redacted text."""

    def __init__(self, rules: Detector, views: EncodedText, marker: Marker) -> None:
        self._rules = rules
        self._views = views
        self._marker = marker

    def find_edits(self, data: bytes, stream: StreamedText) -> dict[Line, list[Edit]]:
        """Return the edits of each line that holds a part; the marker stands in the first, which
        alone counts.
        """
        if stream.is_ambiguous:
            raise AmbiguousStream
        contents = [piece.text.encode() for piece in stream.pieces]
        joined = b"".join(contents)
        plain = self._rules.find_spans(joined)
        spans = merge_spans(
            [*with_escaped(self._rules, joined, plain), *self._views.find_spans(joined, plain)]
        )
        if not spans:
            return {}
        starts = [0, *accumulate(map(len, contents))]
        places: dict[int, Callable[[int], int]] = {}
        edits: dict[Line, list[Edit]] = {}
        for start, end, rule in spans:
            new = self._marker.mark(rule, joined[start:end])
            for i in range(bisect_right(starts, start) - 1, len(contents)):
                if starts[i] >= end:
                    break
                low, high = max(start, starts[i]) - starts[i], min(end, starts[i + 1]) - starts[i]
                if low < high:
                    piece = stream.pieces[i]
                    if i not in places:
                        places[i] = _offsets(data[piece.start : piece.end], piece.path)
                    to_raw = places[i]
                    edits.setdefault((piece.start, piece.end), []).append(
                        Edit(to_raw(low), to_raw(high), new, (rule,) if new else ())
                    )
                    new = b""
        return edits


def _offsets(raw: bytes, path: Sequence[str | int]) -> Callable[[int], int]:
    """Map offsets in the bytes of the string at `path` to offsets in the raw line."""
    wanted = _tokens_before(json.loads(raw, object_pairs_hook=_Members), path)
    match = next(islice(patterns.STRING_OR_NUMBER.finditer(raw), wanted, None))
    first = match.start() + 1
    to_raw = raw_offsets(raw[first : match.end() - 1])
    return lambda offset: first + to_raw(offset)


class _Members(list[tuple[str, object]]):
    """The members of an object, in order, doubles too."""


def _tokens_before(value: object, path: Sequence[str | int]) -> int:
    """How many string and number tokens of the line stand before the value at `path`."""
    count = 0
    for step in path:
        if isinstance(value, _Members):
            at = max(
                i for i, (name, _) in enumerate(value) if name == step
            )  # of two equal names a decoder keeps the last
            count += sum(1 + _tokens(below) for _, below in value[:at]) + 1
            value = value[at][1]
        elif isinstance(value, list) and isinstance(step, int):
            count += sum(map(_tokens, value[:step]))
            value = value[step]
        else:
            raise ValueError("path and tree disagree")  # noqa: TRY004 - of the data, not of a caller
    return count


def _tokens(value: object) -> int:
    if isinstance(value, _Members):
        return sum(1 + _tokens(below) for _, below in value)
    if isinstance(value, list):
        return sum(map(_tokens, value))
    return 0 if value is None or isinstance(value, bool) else 1
