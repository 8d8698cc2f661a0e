"""The loop around the pipeline: look for news, serve every sink, drain when told to."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

import structlog

from tracesidecar.logs import printable
from tracesidecar.pipeline.pipeline import Pipeline
from tracesidecar.pipeline.route import Route
from tracesidecar.ship.quarantine import QuarantinedLine

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
    """`left` was not delivered in time; `torn` are last lines without a newline, which stay where they are."""

    left: tuple[LeftBehind, ...]
    torn: tuple[LeftBehind, ...]


class Service:
    """A pipeline at work. `wake` is set by change notices, `stop` asks for a drain, `quit` ends it at once."""

    def __init__(self, pipeline: Pipeline, *, poll_seconds: float) -> None:
        self.pipeline = pipeline
        self.wake = asyncio.Event()
        self.stop = asyncio.Event()
        self.quit = asyncio.Event()
        self._poll_seconds = poll_seconds
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, *, drain_seconds: float, whole_backlog: bool = False) -> DrainResult:
        """Work until told to stop, then drain. With `whole_backlog` the deadline is for standing still, not for the whole drain."""
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
                draining = tasks.create_task(self._drain(drain_seconds, whole_backlog=whole_backlog))
                await asyncio.wait([draining, quitting], return_when=asyncio.FIRST_COMPLETED)
                draining.cancel()
                await asyncio.wait([draining])
            finally:
                for task in (scanning, quitting, *self._serving.values()):
                    task.cancel()
        return self._result()

    def serve(self, route: Route) -> None:
        """Begin to serve a sink."""
        if self._tasks is None:
            raise RuntimeError("the service is not running")
        self.pipeline.routes[route.name] = route
        self._serving[route.name] = self._tasks.create_task(self.pipeline.keep(route))

    async def dismiss(self, name: str) -> None:
        """Stop serving a sink; what it had not committed is read again by its successor."""
        task = self._serving.pop(name)
        task.cancel()
        await asyncio.wait([task])
        del self.pipeline.routes[name]

    async def halt(self) -> None:
        """Serve no sink any more: what was being sent is broken off, and what comes later is not begun."""
        self.pipeline.is_halted = True
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        for route in self.pipeline.routes.values():
            route.state = "halted"

    # ---------------------------------------------------------------- looking

    async def _scan_loop(self) -> None:
        while True:
            try:
                await self.pipeline.scan()
            except (sqlite3.Error, OSError) as error:
                log.error("collect.scan_failed", kind=type(error).__name__, problem=getattr(error, "strerror", None) or str(error))
            await self._news()

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
        await self._last_look()
        views = pipeline.collector.segments()
        target = {segment: view.size for segment, view in views.items()}
        for route in pipeline.routes.values():
            route.target = target
            route.news.set()
        log.info("service.draining", files=len(target), deadline_seconds=seconds)
        deadline = loop.time() + seconds
        while waiting := [task for name, task in self._serving.items() if pipeline.routes[name].options.required and not task.done()]:
            if whole_backlog:
                deadline = max(deadline, max(route.progressed_at for route in pipeline.routes.values()) + seconds)
            if loop.time() >= deadline:
                return
            await asyncio.wait(waiting, timeout=min(deadline - loop.time(), 1.0), return_when=asyncio.FIRST_COMPLETED)

    async def _last_look(self) -> None:
        """Scan until no new file waits to be known as a copy or as one of its own."""
        scan = await self.pipeline.scan(full=True)
        while scan.waiting:
            await asyncio.sleep(self._poll_seconds / 4)
            scan = await self.pipeline.scan(full=True)

    def _result(self) -> DrainResult:
        left: list[LeftBehind] = []
        torn: list[LeftBehind] = []
        views = self.pipeline.collector.segments()
        for route in self.pipeline.routes.values():
            if not route.options.required:
                continue
            for segment, view in views.items():
                end = view.size if route.target is None else route.target.get(segment, view.size)
                offset = route.committed[segment].offset if segment in route.committed else 0
                if offset < end and route.takes(view.segment.source):
                    what = LeftBehind(route.name, view.segment.source, printable(view.segment.path), segment, offset, end)
                    (torn if route.state == "drained" else left).append(what)
            left += [_not_redriven(route.name, entry.line) for entry in self.pipeline.journal.asked(route.name)]
        return DrainResult(tuple(left), tuple(torn))


def _not_redriven(sink: str, line: QuarantinedLine) -> LeftBehind:
    return LeftBehind(sink, line.source, printable(line.path), line.segment, line.start, line.end)
