"""Scan a long text in windows of bounded size.

The engine takes far longer than linear time for some texts that no single expression is slow on,
such as `?token=` repeated. In windows, the time for a text of any size is that for its windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.engine.interface import Hit, Scanner

WINDOW_BYTES = 16 << 10
OVERLAP_BYTES = 1 << 10
"""How far each window reaches beyond its own part of the text, at both ends. No match is wider,
apart from its runs of token characters or of blanks, and no window begins or ends within one that
is not very long.
"""
RUN_OVERLAP_BYTES = 8 << 10
"""The same where a run of more than `WINDOW_BYTES` is divided. What an expression needs to see of a
token, to tell that it may be there, is shorter; the rule then looks at all of it.
"""


class _Window(NamedTuple):
    """A part [start, end) of a text, and [low, high) around it, which is scanned."""

    low: int
    start: int
    end: int
    high: int


def find_first_hits(scanner: Scanner, text: bytes) -> dict[int, int]:
    """Return what the scanner's `find_first_hits` does, in time linear in the text."""
    if len(text) <= WINDOW_BYTES + OVERLAP_BYTES:
        return scanner.find_first_hits(text)
    found: dict[int, int] = {}
    for low, _, _, high in _windows(text):
        for pattern, hit in scanner.find_first_hits(text[low:high]).items():
            found.setdefault(pattern, low + hit)
    return found


def find_hits(scanner: Scanner, text: bytes) -> Iterable[Hit]:
    """Iterate over what the scanner's `find_hits` returns, in time linear in the text."""
    if len(text) <= WINDOW_BYTES + OVERLAP_BYTES:
        return scanner.find_hits(text)
    return _find_hits_in_windows(scanner, text)


def _find_hits_in_windows(scanner: Scanner, text: bytes) -> Iterator[Hit]:
    for low, start, end, high in _windows(text):
        for hit, pattern in scanner.find_hits(text[low:high]):
            if start < low + hit <= end:
                yield low + hit, pattern


def _windows(text: bytes) -> Iterator[_Window]:
    """Iterate over the windows of a text; none ends within a run, unless that is very long."""
    start, size, before = 0, len(text), OVERLAP_BYTES
    while start < size:
        end, behind = min(size, start + WINDOW_BYTES), OVERLAP_BYTES
        if end < size:
            longest = min(size, end + WINDOW_BYTES)
            run = patterns.UNDIVIDED_RUN.match(text, end - 1, longest)
            if run is not None and run.end() < longest:
                end = run.end()
            elif run is not None:
                behind = RUN_OVERLAP_BYTES
        yield _Window(max(0, start - before), start, end, end + behind)
        start, before = end, behind
