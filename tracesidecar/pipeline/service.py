"""The service: scan regularly, serve every sink, and drain when asked to."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from tracesidecar.journal import Journal
from tracesidecar.logs import printable
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.drain import DrainResult, count_undelivered
from tracesidecar.pipeline.shipper import Shipper
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_loop import SinkLoop
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import MakeSinks, WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.tail import Scan

log = structlog.get_logger()

BURST_SECONDS = 0.05
"""Change notices come in bursts: they are gathered for this long before a scan."""


def ignore(_point: str) -> None:
    """No-op hook. Tests pass a function that is called at each named point."""


class Service:
    """All sinks over one set of files. For the event loop.

    Set `wake` when a file has changed, `stop` for a drain, `quit` to end a drain at once.
    """

    def __init__(
        self,
        worker: WorkerThread[WorkerContext],
        sinks: Sequence[SinkState],
        journal: Journal,
        metrics: Metrics,
        *,
        poll_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        at: Callable[[str], None] = ignore,
    ) -> None:
        """`clock` is in seconds and never goes back; `at` is called at named points."""
        self.wake = asyncio.Event()
        self.stop = asyncio.Event()
        self.quit = asyncio.Event()
        self.first_scan = asyncio.Event()
        self.worker = worker
        self._group = SideBySide(sinks)
        self._journal = journal
        self._metrics = metrics
        self._shipper = Shipper(journal, metrics, worker, at=at)
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._has_scanned = False
        self._is_halted = False

    @property
    def sinks(self) -> Mapping[str, SinkState]:
        """The sinks that are served, by name."""
        return self._group.sinks

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called."""
        return self._is_halted

    async def run(self, *, drain_seconds: float, whole_backlog: bool = False) -> DrainResult:
        """Work until `stop` is set, then drain.

        With `whole_backlog` the drain ends when nothing is delivered for `drain_seconds`; otherwise
        it takes no longer than that as a whole.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            scanning = tasks.create_task(self._scan_regularly())
            quitting = tasks.create_task(self.quit.wait())
            for sink in tuple(self.sinks.values()):
                self._serve(sink)
            try:
                await self.stop.wait()
                scanning.cancel()
                await asyncio.wait([scanning])
                draining = tasks.create_task(
                    self._drain(drain_seconds, whole_backlog=whole_backlog)
                )
                await asyncio.wait([draining, quitting], return_when=asyncio.FIRST_COMPLETED)
                draining.cancel()
                await asyncio.wait([draining])
            finally:
                for task in (scanning, quitting, *self._serving.values()):
                    task.cancel()
        drained = {sink.name for sink in self.sinks.values() if sink.phase is SinkPhase.DRAINED}
        return await self.worker.run(
            count_undelivered, self._journal, drained, has_scanned=self._has_scanned
        )

    async def replace_sinks(self, removed: Sequence[str], make: MakeSinks) -> None:
        """Serve other sinks in place of some.

        Nothing that the old ones still need is released before the new ones exist.
        """
        tasks = [self._serving.pop(name) for name in removed if name in self._serving]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        added = await self.worker.run(WorkerContext.replace_sinks, removed, make)
        self._group.replace(removed, added)
        for sink in added:
            self._serve(sink)

    async def end_writers(self) -> None:
        """Take last lines without a newline, too: nobody writes the files any more."""
        await self.worker.run(lambda context: context.filler.end_writers())

    async def halt(self) -> None:
        """Serve no sink any more: break off what is being sent, and begin nothing new."""
        self._is_halted = True
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        for sink in self.sinks.values():
            sink.enter(SinkPhase.STOPPED)

    def _serve(self, sink: SinkState) -> None:
        if self._tasks is None:
            raise RuntimeError("the service is not running")
        if self._is_halted:
            sink.enter(SinkPhase.STOPPED)
            return
        loop = SinkLoop(
            sink,
            group=self._group,
            worker=self.worker,
            journal=self._journal,
            shipper=self._shipper,
            metrics=self._metrics,
            first_scan=self.first_scan,
            clock=self._clock,
        )
        self._serving[sink.name] = self._tasks.create_task(loop.run())

    # ---------------------------------------------------------------- scanning

    async def scan_once(self, *, full: bool = False) -> Scan:
        """Scan, and wake every sink that has something to read."""
        try:
            found = await self.worker.run(WorkerContext.scan, full=full)
        except BaseException:
            for sink in self.sinks.values():  # what was found before the error is on offer
                sink.wake()
            raise
        for name in found.ready & self.sinks.keys():
            self.sinks[name].wake()
        for warning in found.scan.warnings:
            log.warning(
                "collect.warning",
                kind=warning.kind,
                path=printable(warning.path),
                problem=warning.sentence,
            )
        await self._refresh_requests(found.scan)
        self.first_scan.set()
        return found.scan

    async def _refresh_requests(self, scan: Scan) -> None:
        """Look for requests to redrive: new ones in the journal, and those that were too early."""
        has_news = await asyncio.to_thread(self._journal.has_changed)
        if has_news:
            await self.worker.run(lambda context: context.intake.retain_rejected())
        for sink in self.sinks.values():
            if has_news or (sink.are_redrives_waiting and (scan.changed or scan.losses)):
                sink.request_redrives()

    async def _scan_regularly(self) -> None:
        while True:
            await self._try_to_scan(full=False)
            await self._wait_for_changes()

    async def _try_to_scan(self, *, full: bool) -> Scan | None:
        """Scan; return None if that failed. The next scan finds what this one did not report."""
        try:
            return await self.scan_once(full=full)
        except (sqlite3.OperationalError, OSError) as error:
            log.error(
                "collect.scan_failed",
                kind=type(error).__name__,
                problem=getattr(error, "strerror", None) or str(error),
            )
            return None

    async def _wait_for_changes(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self.wake.wait()
                await asyncio.sleep(BURST_SECONDS)
        except TimeoutError:
            return
        self.wake.clear()

    # ---------------------------------------------------------------- draining

    async def _drain(self, seconds: float, *, whole_backlog: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        await self._scan_until_settled(deadline)
        files = await self.worker.run(lambda context: context.intake.begin_drain())
        for sink in self.sinks.values():
            sink.begin_drain()
        log.info("service.draining", files=files, deadline_seconds=seconds)
        while waiting := [
            task
            for name, task in self._serving.items()
            if self.sinks[name].options.required and not task.done()
        ]:
            if whole_backlog:
                last_progress = max(sink.progressed_at for sink in self.sinks.values())
                deadline = max(deadline, last_progress + seconds)
            if loop.time() >= deadline:
                return
            await asyncio.wait(
                waiting,
                timeout=min(deadline - loop.time(), 1.0),
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _scan_until_settled(self, deadline: float) -> None:
        """Scan until it is known of every file whether it is new, a copy, moved or gone."""
        loop = asyncio.get_running_loop()
        while True:
            scan = await self._try_to_scan(full=True)
            self._has_scanned = (
                scan is not None
                and not scan.waiting
                and not await self.worker.run(lambda context: context.intake.is_searching())
            )
            if self._has_scanned or loop.time() >= deadline:
                return
            await asyncio.sleep(min(self._poll_seconds / 4, max(deadline - loop.time(), 0.0)))
