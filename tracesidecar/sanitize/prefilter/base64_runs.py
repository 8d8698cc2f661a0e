"""Where base64 of text is in a chunk.

The automaton that recognises it is slow, so it usually runs only over long runs of base64
characters.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.engine import Hit, ScanEngine, ScanPattern, TooManyHits
from tracesidecar.sanitize.prefilter import anchors

_RUN_LENGTH = 37
_COMPRESSED_SIGN_LENGTH = 8
_PART_BYTES = 1 << 16
_GATE_HIT_LIMIT = 128
"""The gate fires on each character of a run from the 37th on. In a part full of images or hashes,
running the automaton alone is cheaper."""
_DENSE_PARTS = 8
"""After such a part, this many parts are assumed to be equally dense."""


class Base64Runs:
    """Finds base64 of printable ASCII; its hits carry the given id.

    Hex, base32 and base64 of UTF-16 are found in runs too, but not in dense parts: to look for them
    in pictures would cost as much again.
    """

    def __init__(self, engine: ScanEngine, hit_id: int) -> None:
        gate = [ScanPattern(0, anchors.BASE64_RUN)]
        self._gate = (
            engine.compile("base64-runs", gate, limit=_GATE_HIT_LIMIT)
            if engine.reports_every_end
            else None
        )
        self._text = engine.compile(
            "base64-text",
            [ScanPattern(hit_id, pattern) for pattern in anchors.base64_text_anchor().patterns],
        )
        self._others = engine.compile(
            "encoded-text",
            [ScanPattern(hit_id, pattern) for pattern in anchors.make_encoding_anchor().patterns],
        )

    def find_hits(self, data: bytes) -> list[Hit]:
        """Return where runs in the data encode text; raise TooManyHits like any scanner."""
        if self._gate is None:
            return [*self._text.find_hits(data), *self._others.find_hits(data)]
        found: list[Hit] = []
        start = 0
        while start < len(data):
            stop = start + _PART_BYTES
            try:
                # parts overlap, so that every 37 characters lie wholly in one part
                part = data[start : stop + _RUN_LENGTH]
                ends = [end for end, _ in self._gate.find_hits(part)]
                hits = self._hits_in_runs(part, _runs(ends)) if ends else []
            except TooManyHits:
                stop = start + _DENSE_PARTS * _PART_BYTES
                hits = self._text.find_hits(data[start : stop + _RUN_LENGTH])
            found += [(start + end, kind) for end, kind in hits]
            start = stop
        return found

    def _hits_in_runs(self, data: bytes, runs: list[tuple[int, int]]) -> list[Hit]:
        """Scan all runs at once, joined by newlines."""
        joined = b"\n".join([data[start:end] for start, end in runs])
        hits = [*self._text.find_hits(joined), *self._others.find_hits(joined)]
        if not hits:
            return []
        joined_ends = list(accumulate(end - start + 1 for start, end in runs))
        located = ((hit, kind, bisect_left(joined_ends, hit)) for hit, kind in hits)
        return [(runs[i][1] - (joined_ends[i] - 1 - hit), kind) for hit, kind, i in located]


def _runs(ends: list[int]) -> list[tuple[int, int]]:
    """Return [start, end) of each run, from the sorted hits of the gate."""
    runs: list[tuple[int, int]] = []
    first = last = ends[0]
    for end in ends:
        if end > last + 1:
            runs.append((first - _RUN_LENGTH, last))
            first = end
        last = end
    runs.append((first - _RUN_LENGTH, last))
    return runs


def is_compressed_start(data: bytes, end: int) -> bool:
    """Return True if the letters before `end`, which begin compressed data in base64, begin a run.

    In the middle of a run they occur by chance.
    """
    return (
        patterns.COMPRESSED_START.search(data, max(0, end - _COMPRESSED_SIGN_LENGTH - 3), end)
        is not None
    )
