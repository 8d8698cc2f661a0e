"""What is gone before every sink has it: recorded once, released when no sink still sends it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tracesidecar.journal import Journal, LostBytes
from tracesidecar.logs import printable
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.tail import Loss
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

    def take(self, losses: Iterable[Loss], sinks: Collection[SinkCursors]) -> None:
        """Record what a scan reports, and acknowledge what no sink is still sending."""
        for loss in losses:
            segment = loss.segment
            self._open[segment.id] = loss
            start = _start(loss, sinks)
            if start < loss.size or loss.reason in ("corrupt", "bomb"):  # it may not say how much
                size = loss.size - start
                self._unrecorded.append(
                    LostBytes(segment.id, segment.source, segment.path, start, size, loss.reason)
                )
        self._record()
        for id_, loss in list(self._open.items()):
            if not any(sink.is_reading(id_) for sink in sinks):
                del self._open[id_]
                self._tailer.acknowledge(id_, max(loss.size, loss.offset))

    def _record(self) -> None:
        if not self._unrecorded:
            return
        self._journal.losses.record(self._unrecorded)
        for lost in self._unrecorded:
            self._metrics.lost_bytes.labels(lost.reason).inc(lost.bytes)
            log.warning(
                "collect.lost",
                path=printable(lost.path),
                offset=lost.start,
                bytes=lost.bytes,
                reason=lost.reason,
            )
        self._unrecorded = []


def _start(loss: Loss, sinks: Collection[SinkCursors]) -> int:
    """Return where the lost bytes begin: where the required sink is that is furthest behind."""
    required = [sink for sink in sinks if sink.options.required and sink.takes(loss.segment.source)]
    return min((sink.cursor(loss.segment.id).offset for sink in required), default=loss.offset)
