"""Drain: deliver what there is until a deadline, and collect what is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Journal, QuarantinedLine
from tracesidecar.pipeline.intake import IsContinued
from tracesidecar.pipeline.scan_loop import ScanLoop, ScanProgress
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_state import SinkPhase
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sanitize import printable
from tracesidecar.tail import ReachedLimit, UnreadFile

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UndeliveredRange:
    """[offset, size) of a segment that a sink does not have, in bytes.

    `problem` says why it cannot be read, empty if it can. `is_lost`: only this process could read
    it, because its file was deleted and no hard link could be made.
    """

    sink: str
    source: str
    path: str
    segment: int
    offset: int
    size: int
    problem: str = ""
    is_lost: bool = False


class DrainEnd(StrEnum):
    """Why a drain ended, as `drain.ended` says it."""

    COMPLETE = "complete"
    DEADLINE = "deadline"
    STALLED = "stalled"
    INTERRUPTED = "interrupted"
    SINKS_ENDED = "sinks_ended"

    @property
    def sentence(self) -> str:
        """Return what happened, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    DrainEnd.COMPLETE: "every required sink has finished",
    DrainEnd.DEADLINE: "the time for the drain was over",
    DrainEnd.STALLED: "nothing moved any more for as long as drain_deadline allows",
    DrainEnd.INTERRUPTED: "a signal asked to end",
    DrainEnd.SINKS_ENDED: "every required sink had ended, but not all with everything",
}


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What is left after a drain.

    `left` was not delivered in time; `torn` are last lines without a newline and unfinished
    documents, which stay in their files. `has_scanned` is whether the last scan was over in time,
    and `is_settled` whether all files were known to be new, copies, moved or gone. If either is
    false, more may be left than `left` has: `undecided` files may be copies in progress. Nor does
    `left` have the files that were not looked at, or not read to the end, because of the budgets in
    `limits`. The drain ended for the reason `end`, after `seconds`.
    """

    left: tuple[UndeliveredRange, ...]
    torn: tuple[UndeliveredRange, ...]
    has_scanned: bool
    end: DrainEnd = DrainEnd.COMPLETE
    seconds: float = 0.0
    is_settled: bool = True
    undecided: int = 0
    limits: tuple[ReachedLimit, ...] = ()


SETTLE_SECONDS = 30.0
"""How long `ship --once` waits at least for what may be a copy in progress (`copy_grace`)."""

CONFIRM_SECONDS = 0.25
LEAST_STALL_SECONDS = 5.0
"""How long nothing may move while nothing fails: a machine may be too busy to run us."""


class Drain:
    """The end of a service: one last scan, then the sinks finish. For the event loop.

    With `whole_backlog` it goes on while bytes move (files are found, read or cleaned, or an
    attempt to send is under way that follows no failure) and ends once nothing has moved for
    `seconds`. Otherwise, or after `finish`, it takes no longer than `seconds` as a whole.
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
        self._found = ScanProgress()
        self._is_finishing = False
        self._began = time.monotonic()
        self._deadline = float("inf")
        self._end = DrainEnd.INTERRUPTED

    async def run(self, serving: Mapping[str, asyncio.Task[None]]) -> None:
        """Return when all required sinks have finished, or at the deadline.

        `serving` are the tasks of the sinks, by name; `ScanLoop.run` has been cancelled.
        """
        self._began = time.monotonic()
        if not self._whole_backlog:
            self._limit_time()
        self._end = await self._drain(serving)
        if self._end is DrainEnd.COMPLETE and not self._found.is_settled:
            self._end = DrainEnd.STALLED if self._whole_backlog else DrainEnd.DEADLINE
        if self._end in (DrainEnd.STALLED, DrainEnd.DEADLINE):
            self._journal.limit_waiting(0)  # time is up for what follows, too

    def finish(self) -> None:
        """Read nothing more; send what is in the batches, and end: a signal has come."""
        self._is_finishing = True
        self._limit_time()
        for sink in self._group.sinks.values():
            sink.finish()

    async def result(self, is_continued: IsContinued | None = None) -> DrainResult:
        """Return what is left; call it when no sink is served any more.

        What only this process can read is not lost if it `is_continued`: a service that follows in
        this process goes on with it.
        """
        try:
            await self._worker.run(lambda context: context.intake.record_losses())
        except (StateUnavailable, OSError) as error:
            self._found = ScanProgress()
            log.error(
                "collect.scan_failed",
                kind=type(error).__name__,
                problem=getattr(error, "strerror", None) or str(error),
            )
        sinks = self._group.sinks.values()
        drained = {sink.name for sink in sinks if sink.phase is SinkPhase.DRAINED}
        found = await self._worker.run(count_undelivered, self._journal, drained, found=self._found)
        end = self._end
        if end is DrainEnd.COMPLETE and found.left:
            end = DrainEnd.SINKS_ENDED
        seconds = time.monotonic() - self._began
        return DrainResult(
            await self._record_endings(found.left, is_continued),
            found.torn,
            found.has_scanned,
            end,
            seconds,
            found.is_settled,
            found.undecided,
            found.limits,
        )

    async def _record_endings(
        self, left: tuple[UndeliveredRange, ...], is_continued: IsContinued | None
    ) -> tuple[UndeliveredRange, ...]:
        """Record what is lost when this process ends, and mark what is left of it."""
        if not left:
            return left
        try:
            ending = await self._worker.run(
                lambda context: context.intake.record_endings(is_continued)
            )
        except (StateUnavailable, OSError) as error:  # the next start records it
            log.warning(
                "collect.scan_failed",
                kind=type(error).__name__,
                problem=getattr(error, "strerror", None) or str(error),
            )
            return left
        return tuple(replace(each, is_lost=each.segment in ending) for each in left)

    def _limit_time(self) -> None:
        self._deadline = time.monotonic() + self._seconds
        self._journal.limit_waiting(self._seconds)
        for sink in self._group.sinks.values():
            sink.limit_time(self._seconds)

    async def _drain(self, serving: Mapping[str, asyncio.Task[None]]) -> DrainEnd:
        async with asyncio.TaskGroup() as tasks:
            scanning = tasks.create_task(self._scan())
            end = await self._wait_for_scan(scanning, serving)
            scanning.cancel()
        self._found = self._scans.progress
        if end is not None:
            return end
        if not self._whole_backlog:
            await self._release_unconnected()
        while waiting := self._waiting(serving):
            if (end := await self._confirm_end()) is not None:
                return end
            await asyncio.wait(
                waiting, timeout=self._recheck_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        return DrainEnd.INTERRUPTED if self._is_finishing else DrainEnd.COMPLETE

    async def _wait_for_scan(
        self, scanning: asyncio.Task[None], serving: Mapping[str, asyncio.Task[None]]
    ) -> DrainEnd | None:
        """Return None once the scan is over, or why the drain has to end before."""
        while not scanning.done():
            if (end := await self._confirm_end()) is not None:
                return end
            if self._is_finishing and not (
                self._scans.first_scan.is_set() and self._waiting(serving)
            ):
                return DrainEnd.INTERRUPTED
            await asyncio.wait([scanning], timeout=self._recheck_seconds())
        return None

    async def _scan(self) -> None:
        """Fix what is to be delivered."""
        await self._scans.scan_until_settled(
            max(self._seconds, SETTLE_SECONDS) if self._whole_backlog else self._seconds
        )
        files = await self._worker.run(lambda context: context.intake.begin_drain())
        for sink in self._group.sinks.values():
            sink.begin_drain()
        limit = (
            {"stall_seconds": self._seconds}
            if self._deadline == float("inf")
            else {"deadline_seconds": round(max(self._deadline - time.monotonic(), 0.0), 1)}
        )
        log.info("service.draining", files=files, **limit)

    async def _release_unconnected(self) -> None:
        """Take sinks as drained that do not connect and have everything: nothing waits for them."""
        connecting = {
            sink.name for sink in self._group.sinks.values() if sink.phase is SinkPhase.CONNECTING
        }
        if not connecting or not self._found.is_settled:
            return
        try:
            behind = await self._worker.run(
                _list_lagging_sinks, self._journal, connecting, found=self._found
            )
        except StateUnavailable as error:
            log.warning("journal.unavailable", problem=str(error))
            return
        for name in connecting - behind:
            self._group.sinks[name].enter(SinkPhase.DRAINED)

    def _waiting(self, serving: Mapping[str, asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Return the tasks of the required sinks that have not finished and still may."""
        return [
            task
            for name, task in serving.items()
            if (sink := self._group.sinks[name]).options.required
            and not task.done()
            and sink.phase is not SinkPhase.DRAINED
            and not (self._is_finishing and sink.delivery.circuit.failures)
        ]

    async def _confirm_end(self) -> DrainEnd | None:
        """Return why it has to end now, None if it goes on.

        Between two long steps nothing seems to move: standing still is looked at twice.
        """
        end = self._find_end()
        if end is DrainEnd.STALLED:
            await asyncio.sleep(CONFIRM_SECONDS)
            end = self._find_end()
        return end

    def _find_end(self) -> DrainEnd | None:
        """Return why it has to end now; None: it goes on."""
        now = time.monotonic()
        if now >= self._deadline:
            return DrainEnd.INTERRUPTED if self._is_finishing else DrainEnd.DEADLINE
        if not self._whole_backlog:
            return None
        is_failing = all(
            sink.is_failing
            for sink in self._group.sinks.values()
            if sink.options.required and sink.phase not in (SinkPhase.DRAINED, SinkPhase.STOPPED)
        )
        patience = self._seconds if is_failing else max(self._seconds, LEAST_STALL_SECONDS)
        return DrainEnd.STALLED if now >= self._find_moved_at(now) + patience else None

    def _find_moved_at(self, now: float) -> float:
        """Return when bytes last moved."""
        busy = [self._worker.moved_at] if self._worker.is_busy else []
        sinks = self._group.sinks.values()
        return max(
            self._began,
            self._worker.progress.moved_at,
            *busy,
            *(now if sink.is_attempting else sink.progress.moved_at for sink in sinks),
        )

    def _recheck_seconds(self) -> float:
        return max(min(self._deadline - time.monotonic(), 1.0, self._seconds / 4), 0.01)


def _list_lagging_sinks(
    context: WorkerContext, journal: Journal, sinks: Collection[str], *, found: ScanProgress
) -> set[str]:
    """Return which of these sinks lack something that could be delivered now."""
    rest = count_undelivered(context, journal, sinks, found=found)
    planned = {name for name in sinks if journal.plans.load(name)}
    return {each.sink for each in rest.left} | planned


def count_undelivered(
    context: WorkerContext, journal: Journal, drained: Collection[str], *, found: ScanProgress
) -> DrainResult:
    """Collect what the required sinks do not have.

    `drained` are the sinks that have finished draining.
    """
    left: list[UndeliveredRange] = []
    torn: list[UndeliveredRange] = []
    views = context.tailer.segments()
    unread = {file.segment.id: file for file in context.tailer.list_unread()}
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
                problem = unread[segment].problem if segment in unread else ""
                rest = UndeliveredRange(
                    sink.name, view.segment.source, path, segment, offset, end, problem
                )
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
            _not_read(sink.name, file, offset)
            for file in unread.values()
            if file.is_new
            and sink.takes(file.segment.source)
            and (offset := sink.find_committed_checkpoint(file.segment.id).offset) < file.size
        ]
        left += [
            _not_redriven(sink.name, entry.line)
            for entry in journal.quarantine.load_requested(sink.name)
        ]
    return DrainResult(
        tuple(left),
        tuple(torn),
        found.has_scanned,
        is_settled=found.is_settled,
        undecided=len(context.tailer.list_undecided()),
        limits=tuple(
            each
            for each in context.intake.list_reached_limits()
            if each.limit in ("files", "ratio")
        ),
    )


def _not_read(sink: str, file: UnreadFile, offset: int) -> UndeliveredRange:
    segment = file.segment
    path = printable(segment.path)
    return UndeliveredRange(sink, segment.source, path, segment.id, offset, file.size, file.problem)


def _not_redriven(sink: str, line: QuarantinedLine) -> UndeliveredRange:
    path = printable(line.path)
    return UndeliveredRange(sink, line.source, path, line.segment, line.start, line.end)
