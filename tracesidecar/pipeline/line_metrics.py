"""Metrics of what was read: each byte is counted once, however many sinks read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping

from tracesidecar.metrics import CounterKey, Metrics
from tracesidecar.model import Checkpoint, CleanChunk


class LineMetrics:
    """Counts clean chunks, up to the furthest offset that any sink has read of a segment.

    The counts of a chunk are kept until the first sink commits it: then they go into the journal
    with the commit. After a crash, the chunks that no sink had committed are read and counted
    again. Lives in the worker thread; it outlives a reload.
    """

    def __init__(self, metrics: Metrics, frontier: Mapping[int, Checkpoint] | None = None) -> None:
        """`frontier` is the furthest checkpoint of each segment that is committed."""
        self._metrics = metrics
        self._counted = {segment: at.offset for segment, at in (frontier or {}).items()}
        self._uncommitted: dict[int, list[tuple[int, dict[CounterKey, float]]]] = {}

    def recall(self, frontier: Mapping[int, Checkpoint]) -> None:
        """Note the furthest committed checkpoints of segments that become known."""
        for segment, at in frontier.items():
            self._counted.setdefault(segment, at.offset)

    def count(self, clean: CleanChunk) -> None:
        """Count a chunk, unless a sink that lags reads it again."""
        segment = clean.segment
        if clean.end <= self._counted.get(segment.id, 0):
            return
        self._counted[segment.id] = clean.end
        counts = _counts(clean)
        self._metrics.add(counts)
        self._uncommitted.setdefault(segment.id, []).append((clean.end, counts))

    def take(self, reached: Mapping[int, Checkpoint]) -> dict[CounterKey, float]:
        """Return the counts up to these checkpoints that were not taken before."""
        taken: dict[CounterKey, float] = {}
        for segment, at in reached.items():
            waiting = self._uncommitted.pop(segment, [])
            for end, counts in waiting:
                if end <= at.offset:
                    for key, count in counts.items():
                        taken[key] = taken.get(key, 0) + count
            if rest := [each for each in waiting if each[0] > at.offset]:
                self._uncommitted[segment] = rest
        return taken

    def forget_all_but(self, known: Container[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self._counted = {segment: end for segment, end in self._counted.items() if segment in known}


def _counts(clean: CleanChunk) -> dict[CounterKey, float]:
    source = clean.segment.source
    counts: dict[CounterKey, float] = {
        ("read_bytes_total", (source,)): clean.end - clean.start,
        ("lines_total", (source,)): clean.lines,
        ("blank_lines_total", (source,)): clean.blank_lines,
        ("repaired_lines_total", (source,)): len(clean.repaired),
        ("open_messages_total", (source,)): clean.open_messages,
    }
    for reason, count in Counter(rejection.reason for rejection in clean.rejected).items():
        counts["quarantined_lines_total", (source, reason)] = count
    for rule, count in clean.redactions:
        counts["redactions_total", (rule,)] = count
    return {key: count for key, count in counts.items() if count}
