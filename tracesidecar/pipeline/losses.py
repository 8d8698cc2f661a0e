"""What is gone before every sink has it: recorded once, released when no sink still sends it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import structlog

from tracesidecar.journal import Journal, LostBytes
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.sanitize import printable
from tracesidecar.tail import UNCOUNTED_REASONS, Loss, LossReason
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()

MOST_LISTED = 20
"""How many files that are lost together have a log event each."""

NAMED = 5
"""How many of more files are named in the one event that they have."""


class Losses:
    """Records losses in the journal and acknowledges them to the tailer.

    A loss that cannot be written to the journal is kept until it can. One that was not acknowledged
    is reported again after a crash.
    """

    def __init__(self, tailer: Tailer, journal: Journal, metrics: Metrics) -> None:
        self._tailer = tailer
        self._journal = journal
        self._metrics = metrics
        self._unrecorded: list[LostBytes] = []
        self._open: dict[int, Loss] = {}
        self._undecided: dict[tuple[int, LossReason], Loss] = {}

    def take(self, losses: Iterable[Loss], sinks: Collection[SinkCursors]) -> None:
        """Record what a scan reports, and acknowledge what no sink is still sending.

        What a plan of an earlier run may have delivered is recorded once that is known.
        """
        for loss in losses:
            self._open[loss.segment.id] = self._undecided[loss.segment.id, loss.reason] = loss
        for (id_, reason), loss in list(self._undecided.items()):
            if any(sink.may_have_more(id_) for sink in sinks):
                continue
            del self._undecided[id_, reason]
            self._unrecorded += _divide(loss, sinks)
        self._record()
        undecided = {id_ for id_, _ in self._undecided}
        for id_, loss in list(self._open.items()):
            if id_ not in undecided and not any(sink.is_reading(id_) for sink in sinks):
                del self._open[id_]
                self._tailer.acknowledge(id_, max(loss.size, loss.offset))

    def withdraw(self, segments: Collection[int]) -> None:
        """Drop the losses of segments that were found nowhere, and can be read after all."""
        if segments:
            self._journal.losses.withdraw(segments)

    def _record(self) -> None:
        if not self._unrecorded:
            return
        self._journal.losses.record(self._unrecorded)
        report_losses(self._metrics, self._unrecorded)
        self._unrecorded = []


def report_losses(metrics: Metrics, losses: Collection[LostBytes]) -> None:
    """Count and log losses that the journal has now.

    A folder that is removed is one event, not one a file: the journal and `explain` have each.
    """
    for lost in losses:
        metrics.lost_bytes.labels(lost.reason).inc(lost.bytes)
        if not lost.is_counted:
            metrics.lost_files.labels(lost.reason).inc()
    by_cause: dict[tuple[str, str], list[LostBytes]] = {}
    for lost in losses:
        by_cause.setdefault((lost.reason, lost.sink), []).append(lost)
    for (reason, sink), alike in by_cause.items():
        of_sink = {"sink": sink} if sink else {}
        if len(alike) > MOST_LISTED:
            log.warning(
                "collect.lost",
                files=len({lost.segment for lost in alike}),
                paths=[printable(lost.path) for lost in alike[:NAMED]],
                bytes=sum(lost.bytes for lost in alike),
                files_of_unknown_size=sum(not lost.is_counted for lost in alike),
                reason=reason,
                **of_sink,
            )
            continue
        for lost in alike:
            log.warning(
                "collect.lost",
                path=printable(lost.path),
                offset=lost.start,
                bytes=lost.bytes if lost.is_counted else "unknown",
                reason=reason,
                **of_sink,
            )


def _divide(loss: Loss, sinks: Collection[SinkCursors]) -> Iterator[LostBytes]:
    """Yield what all sinks lack, and what more each of those lacks that are further behind."""
    segment = loss.segment
    starts = {
        sink.name: max(sink.cursor(segment.id).offset, loss.kept)
        for sink in sinks
        if sink.takes(segment.source)
    }
    end = max(starts.values(), default=max(loss.offset, loss.kept))

    def lose(start: int, end: int, sink: str = "") -> LostBytes:
        return LostBytes(
            segment.id,
            segment.source,
            segment.path,
            start,
            max(0, end - start),
            loss.reason,
            sink=sink,
            is_counted=start < end,
        )

    if end < loss.size or loss.reason in UNCOUNTED_REASONS:
        yield lose(end, loss.size)
    for name, start in starts.items():
        if start < min(end, loss.size):
            yield lose(start, min(end, loss.size), name)
