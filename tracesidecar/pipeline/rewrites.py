"""Files that no longer hold what was read of them: reported, counted, and gone on with."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.sanitize import printable
from tracesidecar.tail import Rewrite

log = structlog.get_logger()


class Rewrites:
    """Lets the sinks go on where a rewritten file is unchanged, and reports it."""

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics

    def take(self, rewrites: Iterable[Rewrite], sinks: Collection[SinkCursors]) -> None:
        """Account for what a scan reports; the journal has the sinks' offsets already."""
        for rewrite in rewrites:
            source = rewrite.segment.source
            if rewrite.former != rewrite.segment.id:
                for sink in sinks:
                    sink.recall(self._journal.sinks.load_offsets(sink.name, [rewrite.segment.id]))
                    sink.go_on(rewrite.former, rewrite.segment.id, rewrite.kept)
            self._metrics.rewritten_files.labels(source).inc()
            log.warning(
                "collect.rewritten",
                path=printable(rewrite.segment.path),
                reason=rewrite.reason,
                read_bytes=rewrite.read,
                unchanged_bytes=rewrite.kept.offset,
            )
            self._journal.rewrites.add(source)
