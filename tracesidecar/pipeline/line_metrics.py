"""Metrics of what was read: each byte is counted once, however many sinks read it."""

from __future__ import annotations

from collections.abc import Container

from tracesidecar.metrics import Metrics
from tracesidecar.model import CleanChunk


class LineMetrics:
    """Counts clean chunks, up to the furthest offset that any sink has read of a segment."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counted: dict[int, int] = {}

    def count(self, clean: CleanChunk) -> None:
        """Count a chunk, unless a sink that lags reads it again."""
        segment = clean.segment
        if clean.end <= self._counted.get(segment.id, 0):
            return
        self._counted[segment.id] = clean.end
        metrics = self._metrics
        metrics.read_bytes.labels(segment.source).inc(clean.end - clean.start)
        metrics.lines.labels(segment.source).inc(clean.lines)
        if clean.blank_lines:
            metrics.blank_lines.labels(segment.source).inc(clean.blank_lines)
        if clean.repaired:
            metrics.repaired_lines.labels(segment.source).inc(len(clean.repaired))
        if clean.open_messages:
            metrics.open_messages.labels(segment.source).inc(clean.open_messages)
        for rejection in clean.rejected:
            metrics.quarantined_lines.labels(segment.source, rejection.reason).inc()
        for rule, count in clean.redactions:
            metrics.redactions.labels(rule).inc(count)

    def forget_all_but(self, known: Container[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self._counted = {segment: end for segment, end in self._counted.items() if segment in known}
