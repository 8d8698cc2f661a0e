"""The events of a delivery as metrics and log events, made in one place so that they agree."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from tracesidecar.errors import RetryLater
from tracesidecar.logs import frames
from tracesidecar.metrics import Metrics

log = structlog.get_logger()


class SinkEvents:
    """The DeliveryEvents of one sink.

    `trouble` says why the last attempt failed and is empty while all is well.
    """

    def __init__(self, sink: str, metrics: Metrics) -> None:
        self._sink = sink
        self._metrics = metrics
        self.tries = 0
        self.retries = 0
        self.trouble = ""

    def record_attempt(self, seconds: float, outcome: str) -> None:
        """Count the attempt, and note that the trouble is over if it succeeded."""
        self.tries += 1
        self._metrics.send_seconds.labels(self._sink).observe(seconds)
        self._metrics.batches.labels(self._sink, outcome).inc()
        if outcome == "ok":
            self.record_answer()

    def record_answer(self) -> None:
        """Note that the trouble is over."""
        self.trouble = ""

    def record_retry(self, error: RetryLater, pause_seconds: float, failures: int) -> None:
        """Log and count the retry."""
        self.trouble = str(error)
        self.retries += 1
        self._metrics.retries.labels(self._sink, error.reason).inc()
        log.warning(
            "sink.retry",
            sink=self._sink,
            reason=error.reason,
            problem=error.detail,
            failures=failures,
            pause_seconds=round(pause_seconds, 1),
        )

    def record_circuit(self, *, is_open: bool) -> None:
        """Log the change and show it in the metrics."""
        self._metrics.circuit_open.labels(self._sink).set(is_open)
        if is_open:
            log.error(
                "sink.circuit_open",
                sink=self._sink,
                problem="the destination is considered down; its data waits on disk",
            )
        else:
            log.info("sink.circuit_closed", sink=self._sink)

    def record_failing(self, error: Exception, records: int) -> None:
        """Log where the sink fails; the records are counted as rejected lines."""
        log.error(
            "sink.not_encodable",
            sink=self._sink,
            records=records,
            problem=f"{type(error).__name__} in {frames(error)[-1]}",
            remedy="report it; quarantine redrive delivers the lines once that is fixed",
        )

    def record_conflicts(self, counts: Mapping[str, int]) -> None:
        """Log and count them; the ids are the agent's words, so they are not shown."""
        count = sum(counts.values())
        self._metrics.id_conflicts.labels(self._sink).inc(count)
        log.warning(
            "sink.id_conflicts",
            sink=self._sink,
            count=count,
            path=max(counts, key=lambda path: counts[path]),
            files=len(counts),
            problem="another line has their id: they are stored under derived ids; see who wrote "
            "the same ids",
        )
