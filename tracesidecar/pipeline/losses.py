"""What is gone before every sink has it: recorded once, and let go of when no sink is still sending
some of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tracesidecar.journal.journal import Journal
from tracesidecar.journal.quarantine import LostBytes
from tracesidecar.logs import printable
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.tail.segments import Loss
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()


class Losses:
    """For the worker thread.

    A loss that the journal cannot take is kept until it can; one that is not let go of is reported
    again after a crash.
    """

    def __init__(self, collector: Tailer, journal: Journal, metrics: Metrics) -> None:
        self._collector = collector
        self._journal = journal
        self._metrics = metrics
        self._unrecorded: list[LostBytes] = []
        self._open: dict[int, Loss] = {}

    def note(self, losses: Iterable[Loss], routes: Collection[SinkState]) -> None:
        """Take over what a scan reports, and finish what earlier ones did."""
        for loss in losses:
            self._open[loss.segment.id] = loss
            start = _start(loss, routes)
            if start < loss.size:
                segment = loss.segment
                self._unrecorded.append(
                    LostBytes(
                        segment.id,
                        segment.source,
                        segment.path,
                        start,
                        loss.size - start,
                        loss.reason,
                    )
                )
        self._record()
        for id_, loss in list(self._open.items()):
            if not any(id_ in route.reading for route in routes):
                del self._open[id_]
                self._collector.settled(id_, max(loss.size, loss.offset))

    def _record(self) -> None:
        if not self._unrecorded:
            return
        self._journal.record_losses(self._unrecorded)
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


def _start(loss: Loss, routes: Collection[SinkState]) -> int:
    """From where on the bytes are lost: for the sink that is furthest behind of those that must
    have them.
    """
    required = [
        route for route in routes if route.options.required and route.takes(loss.segment.source)
    ]
    return min((route.cursor(loss.segment.id).offset for route in required), default=loss.offset)
