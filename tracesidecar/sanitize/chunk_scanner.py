"""Which lines of a chunk may hold a secret: every byte is scanned, most lines need nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracesidecar.sanitize.engine import Hit
from tracesidecar.sanitize.prefilter import Candidates, StreamSigns
from tracesidecar.sanitize.rules import CustomRules
from tracesidecar.sanitize.streamed_text import StreamedText
from tracesidecar.sanitize.streams import find_streams

SuspectLine = tuple[int, int, Sequence[Hit] | None]
"""A line [start, end) without its newline, and its hits; None if anything may be anywhere."""


class ScannedLines(NamedTuple):
    """Whole lines, which of them may need redaction (in order), and the messages they stream."""

    data: bytes
    suspects: Sequence[SuspectLine]
    streams: Sequence[StreamedText]


class ChunkScanner:
    """Scans whole chunks for lines that need a closer look. For one thread at a time."""

    def __init__(self, candidates: Candidates, custom_rules: CustomRules) -> None:
        self._candidates = candidates
        self._custom_rules = custom_rules
        self._has_custom_rules = bool(custom_rules)

    def scan(self, data: bytes) -> ScannedLines:
        """Scan whole lines, each ended by a newline."""
        signs = StreamSigns([], [])
        try:
            suspects = _group_by_line(data, self._candidates.find_hits(data, signs))
        except Exception:  # noqa: BLE001 - too many hits or a failed scan: line by line, a failure costs one line
            suspects, signs = self._scan_line_by_line(data)
        if self._has_custom_rules:
            suspects = self._with_custom_rules(data, suspects)
        return ScannedLines(data, suspects, find_streams(data, signs.pieces, signs.broken))

    def _scan_line_by_line(self, data: bytes) -> tuple[list[SuspectLine], StreamSigns]:
        suspects: list[SuspectLine] = []
        all_signs = StreamSigns([], [])
        for start, end in _lines_of(data):
            signs = StreamSigns([], [])
            try:
                hits = self._candidates.find_hits(data[start:end], signs)
                if hits:
                    suspects.append((start, end, [(start + at, kind) for at, kind in hits]))
            except Exception:  # noqa: BLE001 - fail closed: anything may be anywhere in this line
                suspects.append((start, end, None))
                signs = StreamSigns([end - start], [])
            all_signs.pieces.extend(start + at for at in signs.pieces)
            all_signs.broken.extend(start + at for at in signs.broken)
        return suspects, all_signs

    def _with_custom_rules(self, data: bytes, suspects: Sequence[SuspectLine]) -> list[SuspectLine]:
        """Add the lines in which a custom rule may match.

        No anchor can be derived from an arbitrary regex, so the rules run over each line.
        """
        by_start = {start: (start, end, hits) for start, end, hits in suspects}
        for start, end in _lines_of(data):
            if self._custom_rules.may_match(data[start:end]):
                by_start[start] = (start, end, None)
        return [by_start[start] for start in sorted(by_start)]


def _lines_of(data: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over [start, end) of each line that is not empty, without its newline."""
    start = 0
    for line in data.split(b"\n"):
        if line:
            yield start, start + len(line)
        start += len(line) + 1


def _group_by_line(data: bytes, hits: Sequence[Hit]) -> list[SuspectLine]:
    suspects: list[SuspectLine] = []
    i, total = 0, len(hits)
    while i < total:
        at = hits[i][0]
        start = data.rfind(b"\n", 0, at - 1) + 1
        end = data.find(b"\n", at - 1)
        if end < 0:
            end = len(data)
        first = i
        while i < total and hits[i][0] <= end + 1:
            i += 1
        suspects.append((start, end, hits[first:i]))
    return suspects
