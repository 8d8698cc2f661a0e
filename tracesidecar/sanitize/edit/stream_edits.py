"""Secrets in streamed texts: found in the joined pieces, redacted in the lines that hold them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, islice

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect import Detector, EncodedText
from tracesidecar.sanitize.edit.edits import Edit
from tracesidecar.sanitize.edit.json_members import Members, decode_members
from tracesidecar.sanitize.edit.line_editor import add_escaped_spans
from tracesidecar.sanitize.escapes import raw_offsets
from tracesidecar.sanitize.markers import Marker, merge_spans
from tracesidecar.sanitize.streams import StreamedText

LineSpan = tuple[int, int]
"""[start, end) of a line in the chunk."""


class AmbiguousStream(Exception):
    """The pieces could not be assigned to texts."""


class StreamEdits:
    """Redacts pieces so that, joined, they are the redacted text."""

    def __init__(self, detector: Detector, encoded_text: EncodedText, marker: Marker) -> None:
        self._detector = detector
        self._encoded_text = encoded_text
        self._marker = marker

    def find_edits(self, data: bytes, stream: StreamedText) -> dict[LineSpan, list[Edit]]:
        """Return the edits of each line that holds part of a secret.

        The marker replaces the first part, and only that edit names its rule.
        """
        if stream.is_ambiguous:
            raise AmbiguousStream
        contents = [piece.text.encode() for piece in stream.pieces]
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
        offsets: dict[int, Callable[[int], int]] = {}
        edits: dict[LineSpan, list[Edit]] = {}
        for start, end, rule in spans:
            new = self._marker.mark(rule, joined[start:end])
            for i in range(bisect_right(starts, start) - 1, len(contents)):
                if starts[i] >= end:
                    break
                low, high = max(start, starts[i]) - starts[i], min(end, starts[i + 1]) - starts[i]
                if low < high:
                    piece = stream.pieces[i]
                    if i not in offsets:
                        offsets[i] = _offsets(data[piece.start : piece.end], piece.path)
                    to_raw = offsets[i]
                    edits.setdefault((piece.start, piece.end), []).append(
                        Edit(to_raw(low), to_raw(high), new, (rule,) if new else ())
                    )
                    new = b""
        return edits


def _offsets(raw: bytes, path: Sequence[str | int]) -> Callable[[int], int]:
    """Return a map from offsets in the string at `path` to offsets in the raw line."""
    wanted = _tokens_before(decode_members(raw), path)
    match = next(islice(patterns.STRING_OR_NUMBER.finditer(raw), wanted, None))
    first = match.start() + 1
    to_raw = raw_offsets(raw[first : match.end() - 1])
    return lambda offset: first + to_raw(offset)


def _tokens_before(value: object, path: Sequence[str | int]) -> int:
    """Count the string and number tokens of the line before the value at `path`."""
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
    return count


def _tokens(value: object) -> int:
    if isinstance(value, Members):
        return sum(1 + _tokens(below) for _, below in value)
    if isinstance(value, list):
        return sum(map(_tokens, value))
    return 0 if value is None or isinstance(value, bool) else 1
