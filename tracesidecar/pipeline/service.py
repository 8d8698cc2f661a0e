"""The loop around the pipeline: look for news, serve every sink, drain when told to."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.logs import printable
from tracesidecar.model import BEGINNING
from tracesidecar.pipeline.sink_loop import Pipeline
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.tail.segments import Scan

log = structlog.get_logger()

NOTICES_GATHER_SECONDS = 0.05
"""Change notices come in bursts: so long are they gathered before a look."""


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a drain did not deliver: [offset, size) of a segment, in bytes."""

    sink: str
    source: str
    path: str
    segment: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DrainResult:
    """`left` was not delivered in time; `torn` are last lines without a newline, which stay where
    they are.

    `has_looked` tells that the last look at the files was over in time: else there may be more than
    `left` names.
    """

    left: tuple[LeftBehind, ...]
    torn: tuple[LeftBehind, ...]
    has_looked: bool


class Service:
    """A pipeline at work.

    `wake` is set by change notices, `stop` asks for a drain, `quit` ends it at once.
    """

    def __init__(self, pipeline: Pipeline, *, poll_seconds: float) -> None:
        self.pipeline = pipeline
        self.wake = asyncio.Event()
        self.stop = asyncio.Event()
        self.quit = asyncio.Event()
        self._poll_seconds = poll_seconds
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._has_looked = False

    async def run(self, *, drain_seconds: float, whole_backlog: bool = False) -> DrainResult:
        """Work until told to stop, then drain.

        With `whole_backlog` the deadline is for standing still, not for the whole drain.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            scanning = tasks.create_task(self._scan_loop())
            quitting = tasks.create_task(self.quit.wait())
            for route in tuple(self.pipeline.routes.values()):
                self.serve(route)
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
        return await self.pipeline.work(self._result)

    def serve(self, route: SinkState) -> None:
        """Begin to serve a sink."""
        if self._tasks is None:
            raise RuntimeError("the service is not running")
        self._serving[route.name] = self._tasks.create_task(self.pipeline.keep(route))

    async def exchange(
        self, dismissed: Sequence[str], make: Callable[[], Sequence[SinkState]]
    ) -> None:
        """Serve other sinks in place of some.

        Until the new ones are there, nothing that the old ones still need is let go of.
        """
        tasks = [self._serving.pop(name) for name in dismissed]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        added = await self.pipeline.work(make)
        self.pipeline.exchange(dismissed, added)
        for route in added:
            self.serve(route)

    async def halt(self) -> None:
        """Serve no sink any more: what was being sent is broken off, and what comes later is not
        begun.
        """
        self.pipeline.is_halted = True
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        for route in self.pipeline.routes.values():
            route.state = "halted"

    # ---------------------------------------------------------------- looking

    async def _scan_loop(self) -> None:
        while True:
            await self._scan(full=False)
            await self._news()

    async def _scan(self, *, full: bool) -> Scan | None:
        """Look; None where that failed, which is tried again: what was found is not lost."""
        try:
            return await self.pipeline.scan(full=full)
        except (sqlite3.OperationalError, OSError) as error:
            log.error(
                "collect.scan_failed",
                kind=type(error).__name__,
                problem=getattr(error, "strerror", None) or str(error),
            )
            return None

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self.wake.wait()
                await asyncio.sleep(NOTICES_GATHER_SECONDS)
        except TimeoutError:
            return
        self.wake.clear()

    # ---------------------------------------------------------------- draining

    async def _drain(self, seconds: float, *, whole_backlog: bool) -> None:
        pipeline, loop = self.pipeline, asyncio.get_running_loop()
        deadline = loop.time() + seconds
        await self._last_look(deadline)
        target = await pipeline.work(self._begin_drain)
        for route in pipeline.routes.values():
            route.news.set()
        log.info("service.draining", files=len(target), deadline_seconds=seconds)
        while waiting := [
            task
            for name, task in self._serving.items()
            if pipeline.routes[name].options.required and not task.done()
        ]:
            if whole_backlog:
                deadline = max(
                    deadline,
                    max(route.progressed_at for route in pipeline.routes.values()) + seconds,
                )
            if loop.time() >= deadline:
                return
            await asyncio.wait(
                waiting,
                timeout=min(deadline - loop.time(), 1.0),
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _last_look(self, deadline: float) -> None:
        """Scan until of every file it is known what it is: one of its own or a copy, moved or gone."""
        loop = asyncio.get_running_loop()
        while True:
            scan = await self._scan(full=True)
            self._has_looked = (
                scan is not None
                and not scan.waiting
                and not await self.pipeline.work(self._is_searching)
            )
            if self._has_looked or loop.time() >= deadline:
                return
            await asyncio.sleep(min(self._poll_seconds / 4, max(deadline - loop.time(), 0.0)))

    def _is_searching(self) -> bool:
        """Worker thread: a file that some sink does not have is gone from its place, and not yet
        given up.
        """
        views = self.pipeline.collector.segments().values()
        return any(
            view.state in ("missing", "ended") and self.pipeline.required_offset(view) < view.size
            for view in views
        )

    def _begin_drain(self) -> dict[int, int]:
        """Worker thread: what is to be delivered is where each segment ends now; of an archive that
        has not been read through, nobody knows.
        """
        views = self.pipeline.collector.segments()
        target = {
            segment: view.size if view.compression == "none" or view.is_writer_gone else sys.maxsize
            for segment, view in views.items()
        }
        self.pipeline.begin_drain(target)
        return target

    def _result(self) -> DrainResult:
        """Worker thread: what is there and was not delivered."""
        left: list[LeftBehind] = []
        torn: list[LeftBehind] = []
        views = self.pipeline.collector.segments()
        for route in self.pipeline.routes.values():
            if not route.options.required:
                continue
            for segment, view in views.items():
                end = (
                    view.size
                    if route.target is None
                    else min(view.size, route.target.get(segment, view.size))
                )
                offset = route.committed.get(segment, BEGINNING).offset
                if (
                    offset < end
                    and route.takes(view.segment.source)
                    and view.state not in ("lost", "spent")
                ):
                    what = LeftBehind(
                        route.name,
                        view.segment.source,
                        printable(view.segment.path),
                        segment,
                        offset,
                        end,
                    )
                    (torn if route.state == "drained" and self._is_torn(what) else left).append(
                        what
                    )
            left += [
                _not_redriven(route.name, entry.line)
                for entry in self.pipeline.journal.asked(route.name)
            ]
        return DrainResult(tuple(left), tuple(torn), self._has_looked)

    def _is_torn(self, rest: LeftBehind) -> bool:
        """What is left of the segment is the beginning of one line, and nothing that only cannot be
        read.
        """
        parts = self.pipeline.collector.read_range(rest.segment, rest.offset, rest.size)
        first = next(parts, None) if parts is not None else None
        return first is not None and b"\n" not in first


def _not_redriven(sink: str, line: QuarantinedLine) -> LeftBehind:
    return LeftBehind(sink, line.source, printable(line.path), line.segment, line.start, line.end)
