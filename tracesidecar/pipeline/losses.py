"""What is gone before every sink has it: recorded once, released when no sink still sends it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tracesidecar.journal import Journal, LostBytes
from tracesidecar.logs import printable
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.tail import UNCOUNTED_REASONS, Loss
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()


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
        self._undecided: dict[int, Loss] = {}

    def take(self, losses: Iterable[Loss], sinks: Collection[SinkCursors]) -> None:
        """Record what a scan reports, and acknowledge what no sink is still sending.

        What a plan of an earlier run may have delivered is recorded once that is known.
        """
        for loss in losses:
            self._open[loss.segment.id] = self._undecided[loss.segment.id] = loss
        for id_, loss in list(self._undecided.items()):
            if any(sink.may_have_more(id_) for sink in sinks):
                continue
            del self._undecided[id_]
            start, segment = _start(loss, sinks), loss.segment
            is_counted = start < loss.size
            if is_counted or loss.reason in UNCOUNTED_REASONS:
                self._unrecorded.append(
                    LostBytes(
                        segment.id,
                        segment.source,
                        segment.path,
                        start,
                        max(0, loss.size - start),
                        loss.reason,
                        is_counted=is_counted,
                    )
                )
        self._record()
        for id_, loss in list(self._open.items()):
            if id_ not in self._undecided and not any(sink.is_reading(id_) for sink in sinks):
                del self._open[id_]
                self._tailer.acknowledge(id_, max(loss.size, loss.offset))

    def _record(self) -> None:
        if not self._unrecorded:
            return
        self._journal.losses.record(self._unrecorded)
        report_losses(self._metrics, self._unrecorded)
        self._unrecorded = []


def report_losses(metrics: Metrics, losses: Iterable[LostBytes]) -> None:
    """Count and log losses that the journal has now."""
    for lost in losses:
        metrics.lost_bytes.labels(lost.reason).inc(lost.bytes)
        if not lost.is_counted:
            metrics.lost_files.labels(lost.reason).inc()
        log.warning(
            "collect.lost",
            path=printable(lost.path),
            offset=lost.start,
            bytes=lost.bytes if lost.is_counted else "unknown",
            reason=lost.reason,
            **({"sink": lost.sink} if lost.sink else {}),
        )


def _start(loss: Loss, sinks: Collection[SinkCursors]) -> int:
    """Return where the lost bytes begin: where the required sink is that is furthest behind."""
    required = [sink for sink in sinks if sink.options.required and sink.takes(loss.segment.source)]
    cursors = (sink.cursor(loss.segment.id).offset for sink in required)
    return max(min(cursors, default=loss.offset), loss.kept)
