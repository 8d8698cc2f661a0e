"""Base64 of text in a chunk: the automaton that knows it is slow, so as a rule it sees only the
long runs of base64 characters.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.engine.interface import Hit, ScanEngine, ScanPattern, TooManyHits
from tracesidecar.sanitize.prefilter import anchors

_RUN_LENGTH = 37
_PACKED_LENGTH = 8
_PART_BYTES = 1 << 16
_MANY = 128
"""The gate fires once a character of a run behind its 37th: in a part full of images or hashes the
automaton alone is cheaper.
"""
_CROWDED_PARTS = 8
"""Behind such a part so many are taken for equally full."""


class Base64Runs:
    """Finds where base64 of printable ASCII stands; its hits carry the given id."""

    def __init__(self, engine: ScanEngine, hit_id: int) -> None:
        gate = [ScanPattern(0, anchors.BASE64_RUN)]
        self._gate = (
            engine.compile("base64-runs", gate, limit=_MANY) if engine.reports_every_end else None
        )
        self._text = engine.compile(
            "base64-text",
            [ScanPattern(hit_id, pattern) for pattern in anchors.base64_text_anchor().patterns],
        )

    def find_hits(self, data: bytes) -> list[Hit]:
        """Where in the data runs encode text; raise TooManyHits like any scanner."""
        if self._gate is None:
            return self._text.find_hits(data)
        found: list[Hit] = []
        start = 0
        while start < len(data):
            stop = start + _PART_BYTES
            try:
                part = data[
                    start : stop + _RUN_LENGTH
                ]  # every 37 characters lie wholly in one part
                ends = [end for end, _ in self._gate.find_hits(part)]
                hits = self._hits_in_runs(part, _runs(ends)) if ends else []
            except TooManyHits:
                stop = start + _CROWDED_PARTS * _PART_BYTES
                hits = self._text.find_hits(data[start : stop + _RUN_LENGTH])
            found += [(start + end, kind) for end, kind in hits]
            start = stop
        return found

    def _hits_in_runs(self, data: bytes, runs: list[tuple[int, int]]) -> list[Hit]:
        """One scan over all runs, put together with newlines between."""
        hits = self._text.find_hits(b"\n".join([data[start:end] for start, end in runs]))
        if not hits:
            return []
        joined_ends = list(accumulate(end - start + 1 for start, end in runs))
        located = ((hit, kind, bisect_left(joined_ends, hit)) for hit, kind in hits)
        return [(runs[i][1] - (joined_ends[i] - 1 - hit), kind) for hit, kind, i in located]


def _runs(ends: list[int]) -> list[tuple[int, int]]:
    """[start, end) of each run, from the gate's sorted hits."""
    runs: list[tuple[int, int]] = []
    first = last = ends[0]
    for end in ends:
        if end > last + 1:
            runs.append((first - _RUN_LENGTH, last))
            first = end
        last = end
    runs.append((first - _RUN_LENGTH, last))
    return runs


def is_packed_start(data: bytes, end: int) -> bool:
    """True when the letters in front of `end`, with which packed data begins in base64, do not
    stand in the midst of a run.
    """
    return patterns.PACKED_START.search(data, max(0, end - _PACKED_LENGTH - 3), end) is not None
