"""Whether the ranges of all batches cover each segment from its beginning, without gaps and without
overlaps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tracesidecar.batch.manifest import Manifest, ManifestRange


class SegmentKey(NamedTuple):
    """A segment in one generation, as a store knows it: its number is unique for one installation."""

    host: str
    sink: str
    source: str
    segment: int
    generation: int


@dataclass(slots=True)
class Coverage:
    """What arrived of one segment.

    `ranges` are (start, end, batch); `path` is the last label that it had.
    """

    key: SegmentKey
    path: str = ""
    lines: int = 0
    refused: int = 0
    ranges: list[tuple[int, int, str]] = field(default_factory=list)
    redriven: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The furthest byte that arrived."""
        return max((end for _, end, _ in self.ranges), default=0)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Bytes that no batch has."""
        at = 0
        for start, end, _ in sorted(self.ranges):
            if start > at:
                yield at, start
            at = max(at, end)

    def overlaps(self) -> Iterator[tuple[int, int, str, str]]:
        """Bytes that two batches have: from, to, and which."""
        for ranges in (self.ranges, self.redriven):
            before: tuple[int, int, str] | None = None
            for start, end, batch in sorted(ranges):
                if before is not None and start < before[1]:
                    yield start, min(end, before[1]), before[2], batch
                if before is None or end > before[1]:
                    before = start, end, batch

    def strangers(self) -> Iterator[tuple[int, int, str]]:
        """Lines delivered after all that no batch has passed over."""
        covered = sorted((start, end) for start, end, _ in self.ranges)
        for start, end, batch in self.redriven:
            if not any(first <= start and end <= last for first, last in _joined(covered)):
                yield start, end, batch


class Coverages:
    """The coverage of every segment; give it each manifest once."""

    def __init__(self) -> None:
        self._segments: dict[SegmentKey, Coverage] = {}
        self.lines = 0
        self.refused = 0

    def add(self, manifest: Manifest) -> None:
        """Note the ranges of a batch."""
        for each in manifest.ranges:
            coverage = self._of(manifest, each)
            if manifest.redriven:
                coverage.redriven.append((each.start, each.end, manifest.batch))
                coverage.refused -= each.lines
                self.refused -= each.lines
            else:
                coverage.ranges.append((each.start, each.end, manifest.batch))
                coverage.refused += each.refused
                self.refused += each.refused
            coverage.lines += each.lines
            self.lines += each.lines

    def __iter__(self) -> Iterator[Coverage]:
        return iter(sorted(self._segments.values(), key=lambda coverage: coverage.key))

    def __len__(self) -> int:
        return len(self._segments)

    def by_source(self) -> dict[tuple[str, str], list[Coverage]]:
        """(host, source) → its segments."""
        found: dict[tuple[str, str], list[Coverage]] = defaultdict(list)
        for coverage in self:
            found[coverage.key.host, coverage.key.source].append(coverage)
        return found

    def _of(self, manifest: Manifest, each: ManifestRange) -> Coverage:
        key = SegmentKey(manifest.host, manifest.sink, each.source, each.segment, each.generation)
        coverage = self._segments.setdefault(key, Coverage(key))
        coverage.path = each.path
        return coverage


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges that touch, as one."""
    joined: tuple[int, int] | None = None
    for start, end in ranges:
        if joined is not None and start <= joined[1]:
            joined = joined[0], max(joined[1], end)
            continue
        if joined is not None:
            yield joined
        joined = start, end
    if joined is not None:
        yield joined
