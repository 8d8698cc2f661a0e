"""Scan a long text in windows of bounded size.

The engine takes far longer than linear time for some texts that no single expression is slow on,
such as `?token=` repeated. In windows, the time for a text of any size is that for its windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.engine.interface import Hit, Scanner

WINDOW_BYTES = 16 << 10
OVERLAP_BYTES = 1 << 10
"""How far each window reaches beyond its own part of the text, at both ends. No match is wider,
apart from its runs of token characters or of blanks, and no window begins or ends within one."""


def find_first_hits(scanner: Scanner, text: bytes) -> dict[int, int]:
    """Return what the scanner's `find_first_hits` does, in time linear in the text."""
    if len(text) <= WINDOW_BYTES + OVERLAP_BYTES:
        return scanner.find_first_hits(text)
    found: dict[int, int] = {}
    for start, end in _windows(text):
        low = max(0, start - OVERLAP_BYTES)
        for pattern, hit in scanner.find_first_hits(text[low : end + OVERLAP_BYTES]).items():
            found.setdefault(pattern, low + hit)
    return found


def find_hits(scanner: Scanner, text: bytes) -> Iterable[Hit]:
    """Iterate over what the scanner's `find_hits` returns, in time linear in the text."""
    if len(text) <= WINDOW_BYTES + OVERLAP_BYTES:
        return scanner.find_hits(text)
    return _find_hits_in_windows(scanner, text)


def _find_hits_in_windows(scanner: Scanner, text: bytes) -> Iterator[Hit]:
    for start, end in _windows(text):
        low = max(0, start - OVERLAP_BYTES)
        for hit, pattern in scanner.find_hits(text[low : end + OVERLAP_BYTES]):
            if start < low + hit <= end:
                yield low + hit, pattern


def _windows(text: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over the parts [start, end) of the text, none of which ends within a run."""
    start, size = 0, len(text)
    while start < size:
        end = min(size, start + WINDOW_BYTES)
        if end < size and (run := patterns.UNDIVIDED_RUN.match(text, end - 1)) is not None:
            end = run.end()
        yield start, end
        start = end
