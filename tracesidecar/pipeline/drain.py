"""Drain: deliver what there is until a deadline, and collect what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Journal, QuarantinedLine
from tracesidecar.logs import printable
from tracesidecar.pipeline.scan_loop import ScanLoop
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_state import SinkPhase
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UndeliveredRange:
    """[offset, size) of a segment that a sink does not have, in bytes."""

    sink: str
    source: str
    path: str
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What is left after a drain.

    `left` was not delivered in time; `torn` are last lines without a newline and unfinished
    documents, which stay in their files. If the last scan was over in time, `has_scanned` is true;
    otherwise there may be more than `left` has.
    """

    left: tuple[UndeliveredRange, ...]
    torn: tuple[UndeliveredRange, ...]
    has_scanned: bool


class Drain:
    """The end of a service: one last scan, then the sinks finish. For the event loop.

    With `whole_backlog` it ends when nothing is delivered for `seconds`; otherwise it takes no
    longer than that as a whole.
    """

    def __init__(
        self,
        worker: WorkerThread[WorkerContext],
        group: SideBySide,
        scans: ScanLoop,
        journal: Journal,
        *,
        seconds: float,
        whole_backlog: bool,
    ) -> None:
        self._worker = worker
        self._group = group
        self._scans = scans
        self._journal = journal
        self._seconds = seconds
        self._whole_backlog = whole_backlog
        self._has_scanned = False

    async def run(self, serving: Mapping[str, asyncio.Task[None]]) -> None:
        """Return when all required sinks have finished, or at the deadline.

        `serving` are the tasks of the sinks, by name; `ScanLoop.run` has been cancelled.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        self._has_scanned = await self._scans.scan_until_settled(deadline)
        files = await self._worker.run(lambda context: context.intake.begin_drain())
        for sink in self._group.sinks.values():
            sink.begin_drain()
        log.info("service.draining", files=files, deadline_seconds=self._seconds)
        while waiting := [
            task
            for name, task in serving.items()
            if self._group.sinks[name].options.required and not task.done()
        ]:
            if self._whole_backlog:
                last_progress = max(sink.progressed_at for sink in self._group.sinks.values())
                deadline = max(deadline, last_progress + self._seconds)
            if loop.time() >= deadline:
                return
            await asyncio.wait(
                waiting,
                timeout=min(deadline - loop.time(), 1.0),
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def result(self) -> DrainResult:
        """Return what is left; call it when no sink is served any more."""
        try:
            await self._worker.run(lambda context: context.intake.record_losses())
        except (StateUnavailable, OSError) as error:
            self._has_scanned = False
            log.error(
                "collect.scan_failed",
                kind=type(error).__name__,
                problem=getattr(error, "strerror", None) or str(error),
            )
        sinks = self._group.sinks.values()
        drained = {sink.name for sink in sinks if sink.phase is SinkPhase.DRAINED}
        return await self._worker.run(
            count_undelivered, self._journal, drained, has_scanned=self._has_scanned
        )


def count_undelivered(
    context: WorkerContext, journal: Journal, drained: Collection[str], *, has_scanned: bool
) -> DrainResult:
    """Collect what the required sinks do not have.

    `drained` are the sinks that have finished draining.
    """
    left: list[UndeliveredRange] = []
    torn: list[UndeliveredRange] = []
    views = context.tailer.segments()
    for sink in context.intake.sinks.values():
        if not sink.options.required:
            continue
        for segment, view in views.items():
            end = sink.end(segment, view.size)
            offset = sink.find_committed_checkpoint(segment).offset
            if (
                offset < end
                and sink.takes(view.segment.source)
                and view.state not in ("lost", "spent")
            ):
                path = printable(view.segment.path)
                rest = UndeliveredRange(sink.name, view.segment.source, path, segment, offset, end)
                is_torn = sink.name in drained and context.tailer.is_unfinished(
                    segment, offset, end
                )
                (torn if is_torn else left).append(rest)
        left += [
            UndeliveredRange(
                sink.name,
                waiting.segment.source,
                printable(waiting.segment.path),
                waiting.segment.id,
                0,
                waiting.size,
            )
            for waiting in context.tailer.list_undecided()
            if sink.takes(waiting.segment.source)
        ]
        left += [
            _not_redriven(sink.name, entry.line)
            for entry in journal.quarantine.load_requested(sink.name)
        ]
    return DrainResult(tuple(left), tuple(torn), has_scanned)


def _not_redriven(sink: str, line: QuarantinedLine) -> UndeliveredRange:
    path = printable(line.path)
    return UndeliveredRange(sink, line.source, path, line.segment, line.start, line.end)
