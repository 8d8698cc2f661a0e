"""Words that were wrapped over several lines, joined again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from tracesidecar.sanitize import patterns

_SHORTEST_WORD = 12
"""Shorter words are no tokens."""
_SEPARATOR = b"\n\0\n"


class _Break(NamedTuple):
    """A line break [start, end) and the words on both sides of it: text[low:high]."""

    start: int
    end: int
    low: int
    high: int


class JoinedLines:
    """Words of a text with some of the line breaks between them removed."""

    def __init__(self, text: bytes, pieces: Sequence[tuple[int, int]]) -> None:
        """Join the parts [start, end) of the text; an empty part separates its neighbours."""
        shown = [text[start:end] if start < end else _SEPARATOR for start, end in pieces]
        self.text = b"".join(shown)
        self._starts = [0, *accumulate(map(len, shown))]
        self._sources = [start for start, _ in pieces]

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the text that the joined bytes [start, end) come from."""
        return self._source(start), self._source(end - 1) + 1

    def _source(self, offset: int) -> int:
        piece = bisect_right(self._starts, offset) - 1
        return self._sources[piece] + offset - self._starts[piece]


def join_wrapped_words(text: bytes) -> Iterator[JoinedLines]:
    """Join the words around line breaks: first at every other break, then at all of them.

    The text after a token must not hide where the token ends.
    """
    breaks = _breaks(text)
    if not breaks:
        return
    for chosen in (breaks[::2], breaks[1::2], breaks) if len(breaks) > 1 else (breaks,):
        yield JoinedLines(text, _pieces(breaks, {each.start for each in chosen}))


def _pieces(breaks: Sequence[_Break], removed: set[int]) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    low, high = breaks[0].low, breaks[0].low
    for each in breaks:
        if each.low > high:
            pieces += ((low, high), (high, high))
            low = each.low
        if each.start in removed:
            pieces.append((low, each.start))
            low = each.end
        high = each.high
    return [*pieces, (low, high)]


def _breaks(text: bytes) -> list[_Break]:
    """Return where lines may have been wrapped.

    A line that is shorter than the one above it was not wrapped.
    """
    found: list[_Break] = []
    wraps = [match.span() for match in patterns.LINE_WRAP.finditer(text)]
    line_ends = [*(start for start, _ in wraps[1:]), len(text)]
    above = last = 0
    for (start, end), line_end in zip(wraps, line_ends, strict=False):
        line, following = text[last:start], text[end:line_end]
        size, word_before = len(line), len(line.rsplit(None, 1)[-1])
        word_after = len(following.split(None, 1)[0])
        is_long = (
            word_before + word_after >= _SHORTEST_WORD
            or word_before == size
            or word_after == len(following)
        )
        if is_long and size >= above:
            found.append(_Break(start, end, start - word_before, end + word_after))
        above = size if word_before == size else 0
        last = end
    return found
