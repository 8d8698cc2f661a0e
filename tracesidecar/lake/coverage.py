"""Do the ranges of all batches cover each segment from its beginning, without gap or overlap?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tracesidecar.batch import Manifest, ManifestRange


class SegmentKey(NamedTuple):
    """One generation of a segment, as the store knows it: its number is unique per installation."""

    host: str
    sink: str
    source: str
    segment: int
    generation: int


@dataclass(slots=True)
class Coverage:
    """What has arrived of one segment.

    `ranges` and `redriven` are (start, end, batch) with offsets in bytes; `path` is the last one
    that a manifest has. The bytes before `begin` are another segment's. `rejected` counts lines in
    quarantine.
    """

    key: SegmentKey
    path: str = ""
    begin: int = 0
    lines: int = 0
    rejected: int = 0
    ranges: list[tuple[int, int, str]] = field(default_factory=list)
    redriven: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def start(self) -> float:
        """The start of the first range, infinity if there is none."""
        return min((start for start, _, _ in self.ranges), default=math.inf)

    @property
    def end(self) -> int:
        """The end of the last range."""
        return max((end for _, end, _ in self.ranges), default=0)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield start and end of the bytes that no batch has."""
        at = self.begin
        for start, end, _ in sorted(self.ranges):
            if start > at:
                yield at, start
            at = max(at, end)

    def overlaps(self) -> Iterator[tuple[int, int, str, str]]:
        """Yield start and end of the bytes that two batches have, and both batches."""
        for ranges in (self.ranges, self.redriven):
            before: tuple[int, int, str] | None = None
            for start, end, batch in sorted(ranges):
                if before is not None and start < before[1]:
                    yield start, min(end, before[1]), before[2], batch
                if before is None or end > before[1]:
                    before = start, end, batch

    def find_unexpected_redrives(self) -> Iterator[tuple[int, int, str]]:
        """Yield redriven ranges (start, end, batch) that no batch has skipped before."""
        covered = sorted((start, end) for start, end, _ in self.ranges)
        for start, end, batch in self.redriven:
            if not any(first <= start and end <= last for first, last in _join(covered)):
                yield start, end, batch


class Coverages:
    """The coverage of every segment. Add each manifest once."""

    def __init__(self) -> None:
        self._segments: dict[tuple[str, str, int, int], Coverage] = {}
        self._namesakes: defaultdict[tuple[str, int, int], list[Coverage]] = defaultdict(list)
        self.lines = 0
        self.rejected = 0

    def add(self, manifest: Manifest) -> None:
        """Add the ranges of a batch."""
        for each in manifest.ranges:
            coverage = self._coverage_of(manifest, each)
            if manifest.redriven:
                coverage.redriven.append((each.start, each.end, manifest.batch))
                coverage.rejected -= each.lines
                self.rejected -= each.lines
            else:
                coverage.ranges.append((each.start, each.end, manifest.batch))
                coverage.rejected += each.refused
                self.rejected += each.refused
            coverage.lines += each.lines
            self.lines += each.lines

    def __iter__(self) -> Iterator[Coverage]:
        return iter(sorted(self._segments.values(), key=lambda coverage: coverage.key))

    def __len__(self) -> int:
        return len(self._segments)

    def with_former_hosts(self, coverage: Coverage) -> Coverage:
        """Return a coverage together with what came before it under another name of its host.

        A segment whose first range begins in the middle went on there, if there is one with its
        number; otherwise a number is that of one host.
        """
        if coverage.start <= coverage.begin:
            return coverage
        number = coverage.key.sink, coverage.key.segment, coverage.key.generation
        former = [each for each in self._namesakes[number] if each.start < coverage.start]
        return replace(
            coverage,
            ranges=[*coverage.ranges, *(part for each in former for part in each.ranges)],
            redriven=[*coverage.redriven, *(part for each in former for part in each.redriven)],
        )

    def by_source(self) -> dict[tuple[str, str], list[Coverage]]:
        """Return the segments by (host, source)."""
        found: dict[tuple[str, str], list[Coverage]] = defaultdict(list)
        for coverage in self:
            found[coverage.key.host, coverage.key.source].append(coverage)
        return found

    def _coverage_of(self, manifest: Manifest, each: ManifestRange) -> Coverage:
        # A segment's number is unique on its host: it goes on when its source is renamed.
        key = SegmentKey(manifest.host, manifest.sink, each.source, each.segment, each.generation)
        found = manifest.host, manifest.sink, each.segment, each.generation
        coverage = self._segments.get(found)
        if coverage is None:
            coverage = self._segments[found] = Coverage(key)
            self._namesakes[found[1:]].append(coverage)
        coverage.path, coverage.begin = each.path, each.begin
        return coverage


def _join(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges that touch."""
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
