"""One running daemon: state directory, signals, health pages, watchdog, and generations of the
configured service.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import structlog

from tracesidecar.config.load import Loaded, load
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.banner import findings, greeting
from tracesidecar.daemon.http_server import Answer, HealthServer
from tracesidecar.daemon.progress import ProgressLine, show_progress
from tracesidecar.daemon.redaction_check import tell_disabled, watch
from tracesidecar.daemon.reload import difference, keep_fixed
from tracesidecar.daemon.status import Condition, Observer
from tracesidecar.daemon.systemd import Notifier
from tracesidecar.daemon.wiring import Wiring, interpreters_wanted, refuse_moved
from tracesidecar.errors import ConfigurationError
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.service import DrainResult, Service
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.glob import Pattern

log = structlog.get_logger()

LOOK_SECONDS = 5.0
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Mode:
    """How a run differs from the service: `once` drains at once; `progress` is the terminal to draw
    on.
    """

    once: bool = False
    progress: ProgressLine | None = None
    at: Callable[[str], None] = lambda _point: None


class Daemon:
    """Runs one configuration over an open journal until it has drained."""

    def __init__(self, loaded: Loaded, journal: Journal, mode: Mode) -> None:
        self.configuration = loaded.configuration
        self.metrics = Metrics()
        self.started = asyncio.Event()
        self._path = loaded.path
        self._journal = journal
        self._mode = mode
        self._notifier = Notifier()
        self._again = False
        self._is_stopping = mode.once
        self._loop = asyncio.get_running_loop()
        self._background: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._assembled = asyncio.Event()

    async def run(self, beside: Callable[[Daemon], Awaitable[None]] | None = None) -> DrainResult:
        """Run until drained. `beside` runs with the service (the agent of `exec`)."""
        async with AsyncExitStack() as stack:
            self._listen(stack)
            self._handle_signals()
            while True:
                result = await self._generation(beside)
                if not self._again:
                    return result
                self._again, beside = False, None

    def stop(self) -> None:
        """Drain; the second time, end at once."""
        if self._is_stopping:
            self.service.quit.set()
        self._is_stopping = True
        self._notifier.send("STOPPING=1", "STATUS=draining")
        self.service.stop.set()

    # ---------------------------------------------------------------- one generation

    async def _generation(self, beside: Callable[[Daemon], Awaitable[None]] | None) -> DrainResult:
        self._assemble()
        pipeline, configuration = self.service.pipeline, self.configuration
        if self._is_stopping:
            self.service.stop.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(self.service, self._assembly.sanitizer))
                extras = [
                    watching,
                    tasks.create_task(self._look_regularly()),
                    tasks.create_task(self._announce()),
                ]
                if self._notifier.watchdog_seconds:
                    extras.append(
                        tasks.create_task(self._feed_watchdog(self._notifier.watchdog_seconds))
                    )
                if self._mode.progress is not None:
                    extras.append(
                        tasks.create_task(
                            show_progress(self._mode.progress, self.observer, self.metrics)
                        )
                    )
                if beside is not None:
                    extras.append(tasks.create_task(self._beside(beside)))
                result = await self.service.run(
                    drain_seconds=configuration.daemon.drain_deadline, whole_backlog=self._mode.once
                )
                for extra in extras:
                    extra.cancel()
        finally:
            if self._mode.progress is not None:
                self._mode.progress.finish()
            if self.notices is not None:
                self.notices.close()
            pipeline.close()
            self._assembly.collector.close()
        return result

    def _assemble(self) -> None:
        configuration = self.configuration
        wants_notices = not self._mode.once and os.environ.get("TRACESIDECAR_NOTICES") != "off"
        roots = {
            Pattern.parse(glob).root for source in configuration.source for glob in source.include
        }
        self.notices = Watcher(sorted(roots), wake=self._wake) if wants_notices else None
        tell_disabled(configuration.redaction)
        self._assembly = Wiring(
            configuration, self._journal, self.metrics, notices=self.notices, at=self._mode.at
        )
        self.service = Service(
            self._assembly.pipeline, poll_seconds=configuration.daemon.poll_interval
        )
        self.observer = Observer(self._assembly.pipeline, self.metrics, self._journal)
        self._assembled.set()
        log.info(
            "service.started",
            engine=self._assembly.sanitizer.engine,
            rules=self._assembly.sanitizer.version,
            sinks=[s.name for s in configuration.sink],
        )
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not look at it again

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self.service.wake.set)

    async def _beside(self, beside: Callable[[Daemon], Awaitable[None]]) -> None:
        await beside(self)
        self._handle_signals()
        self.service.pipeline.writers_are_gone = True
        self._is_stopping = True
        self.service.stop.set()

    async def _announce(self) -> None:
        await self.service.pipeline.first_scan.wait()
        self.started.set()
        for route in tuple(self.service.pipeline.routes.values()):
            await route.delivery.tried.wait()
        self._notifier.send("READY=1", "STATUS=running")
        found = findings(self.configuration, self._assembly.collector.segments())
        if self._mode.progress is not None:
            self._mode.progress.write(
                "\n".join(greeting(self.configuration, self._path, found)) + "\n"
            )
        else:
            log.info(
                "service.ready",
                configuration=self._path or "embedded default",
                files=found.files,
                destinations=found.destinations,
            )

    async def _look_regularly(self) -> None:
        while True:
            condition = await self.observer.look()
            await self.observer.note(condition)
            self._notifier.send(f"STATUS={_status_line(condition)}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _feed_watchdog(self, seconds: float) -> None:
        """Only while the worker thread still takes work: a hung one is restarted by systemd."""
        while True:
            await self.service.pipeline.work(lambda: None)
            self._notifier.send("WATCHDOG=1")
            await asyncio.sleep(seconds / 3)

    # ---------------------------------------------------------------- signals

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        task = self._loop.create_task(self._reload())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reload(self) -> None:
        """Take over a changed configuration; an invalid one is refused and the old one stays."""
        async with self._reloading:
            if self._is_stopping:
                return
            try:
                loaded = await asyncio.to_thread(load, self._path, os.environ)
                await self._apply(loaded.configuration)
            except ConfigurationError as error:
                log.error("reload.refused", problem=str(error))
            else:
                log.info("reload.done")

    async def _apply(self, new: Configuration) -> None:
        change = difference(self.configuration, new)
        for options in new.sink:
            refuse_moved(options, self._journal)
        for key in change.fixed:
            log.warning("reload.needs_restart", key=key)
        self.configuration = keep_fixed(self.configuration, new)
        before = self._assembly.configuration
        if change.is_core or any(
            count(new) != count(before)
            for count in (interpreters_wanted, lambda each: len(each.sink))
        ):
            self._again = True
            self._assembled.clear()
            self.service.quit.set()
            self.service.stop.set()
            await self._assembled.wait()
            return
        self._assembly.configuration = self.configuration
        added = [options for options in self.configuration.sink if options.name in change.added]
        await self.service.exchange(
            change.removed, lambda: [self._assembly.route(options) for options in added]
        )

    # ---------------------------------------------------------------- health pages

    def _listen(self, stack: AsyncExitStack) -> None:
        listen = self.configuration.daemon.listen
        if not listen or self._mode.once:
            return
        pages = {
            "/metrics": self._metrics_page,
            "/livez": self._live_page,
            "/readyz": self._ready_page,
            "/status": self._status_page,
        }
        try:
            server = HealthServer(listen, pages)
        except OSError as error:
            log.warning(
                "health.address_taken",
                listen=listen,
                problem=error.strerror,
                remedy="set daemon.listen to a free address; going on without",
            )
            return
        stack.callback(server.close)

    def _condition(self) -> Condition:
        """Health thread: ask the event loop, which asks the worker thread: both are alive when it
        answers.
        """
        answer = asyncio.run_coroutine_threadsafe(self.observer.look(), self._loop)
        try:
            return answer.result(ANSWER_SECONDS)
        finally:
            answer.cancel()  # does nothing once it is there; else nobody waits for it any more

    def _metrics_page(self) -> Answer:
        self._condition()  # brings the gauges up to date
        return Answer(200, self.metrics.exposition())

    def _live_page(self) -> Answer:
        self._condition()
        return Answer(200, b"ok\n")

    def _ready_page(self) -> Answer:
        condition = self._condition()
        return (
            Answer(200, b"ok\n")
            if condition.is_ready
            else Answer(503, "".join(f"{reason}\n" for reason in condition.why_not).encode())
        )

    def _status_page(self) -> Answer:
        return Answer(200, msgspec.json.encode(self._condition()) + b"\n")


def _status_line(condition: Condition) -> str:
    lag = sum(sink.lag_bytes for sink in condition.sinks)
    return f"{condition.files} files, {lag} bytes to deliver" + "".join(
        f"; {sink.name}: {sink.state}" for sink in condition.sinks if sink.state != "running"
    )


def terminal() -> ProgressLine | None:
    """Where to draw progress: stderr, when a person sees it."""
    return ProgressLine(sys.stderr) if sys.stderr.isatty() else None
