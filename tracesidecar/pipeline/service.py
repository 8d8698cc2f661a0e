"""The service: serve every sink while the files are scanned, and drain when asked to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.drain import Drain, DrainResult
from tracesidecar.pipeline.intake import IsContinued
from tracesidecar.pipeline.scan_loop import ScanLoop
from tracesidecar.pipeline.shipper import Shipper
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_loop import SinkLoop
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import MakeSinks, WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread


def ignore(_point: str) -> None:
    """No-op hook. Tests pass a function that is called at each named point."""


class Service:
    """All sinks over one set of files. For the event loop.

    Set `wake` when a file has changed, `stop` for a drain, `finish` to end a drain soon, `quit` to
    end it at once.
    """

    def __init__(
        self,
        worker: WorkerThread[WorkerContext],
        sinks: Sequence[SinkState],
        journal: Journal,
        metrics: Metrics,
        *,
        poll_seconds: float,
        wake: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        at: Callable[[str], None] = ignore,
    ) -> None:
        """`clock` is in seconds and never goes back; `at` is called at named points."""
        self.stop = asyncio.Event()
        self.finish = asyncio.Event()
        self.quit = asyncio.Event()
        self._is_continued: IsContinued | None = None
        self.worker = worker
        self._group = SideBySide(sinks)
        self.scans = ScanLoop(worker, self._group, journal, poll_seconds=poll_seconds, wake=wake)
        self._journal = journal
        self._metrics = metrics
        scan = partial(self.scans.try_to_scan, full=True)
        self._shipper = Shipper(journal, metrics, worker, scan=scan, at=at)
        self._clock = clock
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._is_stopped = False

    @property
    def sinks(self) -> Mapping[str, SinkState]:
        """The sinks that are served, by name."""
        return self._group.sinks

    @property
    def has_successor(self) -> bool:
        """Whether a service follows in this process."""
        return self._is_continued is not None

    @property
    def is_stopped(self) -> bool:
        """Whether `stop_shipping` was called."""
        return self._is_stopped

    async def run(self, *, drain_seconds: float, whole_backlog: bool = False) -> DrainResult:
        """Work until `stop` is set, then drain.

        With `whole_backlog` the drain ends when nothing moves for `drain_seconds`; otherwise, and
        once `finish` is set, it takes no longer than that as a whole.
        """
        self._journal.limit_waiting(None)
        drain = Drain(
            self.worker,
            self._group,
            self.scans,
            self._journal,
            seconds=drain_seconds,
            whole_backlog=whole_backlog,
        )
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            scanning = tasks.create_task(self.scans.run())
            quitting = tasks.create_task(self.quit.wait())
            for sink in tuple(self.sinks.values()):
                self._serve(sink)
            try:
                await self.stop.wait()
                scanning.cancel()
                await asyncio.wait([scanning])
                draining = tasks.create_task(drain.run(self._serving))
                finishing = tasks.create_task(self._finish(drain))
                await asyncio.wait([draining, quitting], return_when=asyncio.FIRST_COMPLETED)
                finishing.cancel()
                draining.cancel()
                await asyncio.wait([draining])
            finally:
                self.worker.progress.interrupt()  # what is still being read is not wanted any more
                for task in (scanning, quitting, *self._serving.values()):
                    task.cancel()
        # in the worker thread, so that what was interrupted has ended
        await self.worker.run(lambda _context: self.worker.progress.resume())
        return await drain.result(self._is_continued)

    def make_way(self, is_continued: IsContinued) -> None:
        """End at once for a service that follows in this process.

        `is_continued` says of a segment whether that service goes on with it.
        """
        self._is_continued = is_continued
        self.quit.set()
        self.stop.set()

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

    async def _finish(self, drain: Drain) -> None:
        await self.finish.wait()
        drain.finish()

    async def end_writers(self) -> None:
        """Take last lines without a newline, too: nobody writes the files any more."""
        await self.worker.run(lambda context: context.filler.end_writers())

    async def stop_shipping(self) -> None:
        """Serve no sink any more: break off what is being sent, and begin nothing new."""
        self._is_stopped = True
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        for sink in self.sinks.values():
            sink.enter(SinkPhase.STOPPED)

    def _serve(self, sink: SinkState) -> None:
        if self._tasks is None:
            raise RuntimeError("the service is not running")
        if self._is_stopped:
            sink.enter(SinkPhase.STOPPED)
            return
        loop = SinkLoop(
            sink,
            group=self._group,
            worker=self.worker,
            journal=self._journal,
            shipper=self._shipper,
            metrics=self._metrics,
            first_scan=self.scans.first_scan,
            clock=self._clock,
        )
        self._serving[sink.name] = self._tasks.create_task(loop.run())
