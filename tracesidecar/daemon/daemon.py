"""The process.

Signals, the agent of `exec`, reloads, health pages and the status socket, around one generation of
the service after another. The daemon waits until a temporary error of the state directory has
passed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from tracesidecar.collector import collector_paused
from tracesidecar.config import Configuration, LoadedConfiguration
from tracesidecar.daemon.child_process import ChildProcess
from tracesidecar.daemon.continuity import announce_missing_journal
from tracesidecar.daemon.generation import Generation, Mode
from tracesidecar.daemon.health import Health
from tracesidecar.daemon.health_pages import HealthPages
from tracesidecar.daemon.reload import Difference, Reloader
from tracesidecar.daemon.status_server import StatusServer
from tracesidecar.daemon.systemd import SystemdNotifier
from tracesidecar.daemon.tasks import run_beside
from tracesidecar.daemon.waiting import StateWait
from tracesidecar.early_signals import release_signals
from tracesidecar.introspect.status import RejectedReload, StatusReport
from tracesidecar.journal import Journal, find_remains, hold_lock, prepare_state_directory
from tracesidecar.metrics import CounterKey, Metrics
from tracesidecar.pipeline import DrainEnd, DrainResult, IsContinued, LineMetrics
from tracesidecar.progress import Interrupted, Progress


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: what was drained, and how many lines it rejected."""

    drained: DrainResult
    rejected: int


_INTERRUPTED = DrainResult((), (), has_scanned=False, end=DrainEnd.DEADLINE)
"""The end of a service that was asked to stop while it was starting."""


class Daemon:
    """Runs a configuration until it has drained, as the one process of its state directory."""

    def __init__(self, loaded: LoadedConfiguration, mode: Mode) -> None:
        self.configuration = loaded.configuration
        self.is_stopping = mode.once
        self._path = loaded.path
        self._mode = mode
        self._metrics = Metrics()
        self._line_metrics: LineMetrics | None = None
        self._systemd = SystemdNotifier()
        self._started = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._restart_wanted = False
        self._has_restarted = asyncio.Event()
        self._generation: Generation | None = None
        self._is_building = True
        self._progress = Progress()
        self._stop_asked = False
        self._reloader: Reloader | None = None
        is_bounded = mode.once or mode.child is not None
        limit = self.configuration.daemon.drain_deadline if is_bounded else None
        self._wait = StateWait(self.configuration.state_directory, limit, self._systemd)

    async def run(self) -> Ended:
        """Run until drained.

        Raise StateLocked if another process holds the state directory, StateUnavailable if it could
        not be used as long as this may wait, and StateError if it never can.
        """
        self._handle_signals()
        directory = self.configuration.state_directory
        with ExitStack() as stack:
            options = self.configuration.daemon
            if options.listen and not self._mode.once:
                pages = HealthPages(self.check_health, self._metrics, self._loop)
                stack.callback(pages.open(options))
            await self._wait.attempt(lambda: prepare_state_directory(directory))
            remains = find_remains(directory)
            await self._wait.attempt(lambda: stack.enter_context(hold_lock(directory)))
            journal = await self._wait.attempt(lambda: Journal.open(directory))
            stack.callback(journal.close)
            await self._wait.attempt(lambda: announce_missing_journal(directory, remains, journal))
            await self._wait.attempt(lambda: restore_counters(self._metrics, journal))
            self._reloader = reloader = Reloader(self._path, journal, self, self._metrics)
            try:
                generation = await self._build_generation(journal)
            except Interrupted:
                return Ended(_INTERRUPTED, 0)
            status = StatusServer(directory, self.report)
            stack.callback(status.close)
            drained = await run_beside(
                self._run_generations(generation, journal),
                [status.run(), reloader.run(), *self._companions()],
            )
            return Ended(drained, journal.newly_rejected)

    async def check_health(self) -> Health:
        """Return how the service is now."""
        if self._generation is None or self._is_building:
            return Health.before_start(self._wait.problem or "it is starting")
        return await self._generation.monitor.check_health()

    async def report(self) -> StatusReport | None:
        """Return the document of `status`; None if the service has just ended."""
        if self._generation is None or self._is_building:
            return None
        try:
            report = await self._generation.monitor.report(self.configuration)
            return msgspec.structs.replace(report, rejected_reload=self._rejected_reload)
        except RuntimeError:  # a thread pool that is shut down takes no more work
            if self.is_stopping or self._restart_wanted:
                return None
            raise

    def stop(self) -> None:
        """Drain and end; the second time, end at once.

        If it drains already because it runs once, deliver what has been read, and end. A start that
        is under way has as much time as a drain.
        """
        self._wait.give_up()
        if self._is_building:
            has_been_asked = self._stop_asked
            seconds = 0.0 if has_been_asked else float(self.configuration.daemon.drain_deadline)
            self._loop.call_later(seconds, self._interrupt_start)
        self._stop_asked = True
        if self._generation is not None:
            service = self._generation.service
            if self._mode.once and not service.finish.is_set():
                service.finish.set()
            elif self.is_stopping:
                service.quit.set()
            service.stop.set()
        self.is_stopping = True
        self._systemd.send("STOPPING=1", "STATUS=draining")

    def _interrupt_start(self) -> None:
        if self._is_building:
            self._progress.interrupt()

    # Called by the reloader:

    async def replace_sinks(self, new: Configuration, change: Difference) -> None:
        """Change only the sinks that differ."""
        self.configuration = new
        await self._running.replace_sinks(new, change.removed, change.added)

    async def restart(self, new: Configuration, is_continued: IsContinued) -> None:
        """Let a generation with the new configuration follow; return once it is built.

        It goes on with the segments for which `is_continued` returns true.
        """
        self.configuration = new
        self._restart_wanted = True
        self._has_restarted.clear()
        self._running.service.make_way(is_continued)
        await self._has_restarted.wait()

    # Generations:

    @property
    def _running(self) -> Generation:
        if self._generation is None:
            raise RuntimeError("the service has not started")
        return self._generation

    async def _build_generation(
        self, journal: Journal, inherited: Mapping[int, int] = MappingProxyType({})
    ) -> Generation:
        """Build one as soon as the state directory allows it.

        It is built in a thread of its own, so that the process answers meanwhile. Raise Interrupted
        if that is no longer wanted.
        """

        def build() -> Generation:
            with collector_paused(collects=True):
                return Generation(
                    self.configuration,
                    self._path,
                    journal,
                    self._metrics,
                    mode=self._mode,
                    systemd=self._systemd,
                    started=self._started,
                    line_metrics=self._line_metrics,
                    inherited=inherited,
                    list_troubles=self._list_troubles,
                    loop=self._loop,
                    progress=progress,
                )

        progress = self._progress = Progress()
        self._is_building = True
        generation = await self._wait.attempt(build)
        self._is_building = False
        progress.resume()
        self._generation = generation
        self._line_metrics = generation.line_metrics
        if self.is_stopping:
            generation.service.stop.set()
        return generation

    def _list_troubles(self) -> Iterator[str]:
        if rejected := self._rejected_reload:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(rejected.at))
            yield (
                f"the reload at {at} was rejected: {rejected.reason}; "
                "the configuration from before stays in force"
            )

    @property
    def _rejected_reload(self) -> RejectedReload | None:
        return self._reloader.rejected if self._reloader is not None else None

    async def _run_generations(self, generation: Generation, journal: Journal) -> DrainResult:
        while True:
            result = await generation.run()
            if not self._restart_wanted:
                return result
            descriptors = generation.descriptors
            try:
                generation = await self._build_generation(journal, descriptors)
            except Interrupted:
                return _INTERRUPTED
            finally:
                self._restart_wanted = False
                for descriptor in descriptors.values():
                    os.close(descriptor)
            self._has_restarted.set()

    def _companions(self) -> Iterator[Coroutine[Any, Any, None]]:
        if self._mode.child is not None:
            yield self._run_child(self._mode.child)

    async def _run_child(self, child: ChildProcess) -> None:
        """Run the agent as soon as its files are watched, and drain after it."""
        await self._started.wait()
        await child.run()
        self._handle_signals()  # the child had them
        await self._running.service.end_writers()
        self.is_stopping = True
        self._running.service.stop.set()

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._request_reload)
        release_signals()

    def _request_reload(self) -> None:
        if self._reloader is not None:  # else the configuration has just been read
            self._reloader.request()


def restore_counters(metrics: Metrics, journal: Journal) -> None:
    """Let the counters go on where the journal has them."""
    counts = dict(journal.counters.load())
    for row in journal.sinks.load():
        counts["delivered_lines_total", (row.name,)] = row.lines
        counts["delivered_bytes_total", (row.name,)] = row.bytes
        if row.committed_at is not None:
            metrics.last_delivery_timestamp_seconds.labels(row.name).set(row.committed_at)
    for source, rewritten in journal.rewrites.load().items():
        counts["rewritten_files_total", (source,)] = rewritten
    for sink, repeated in journal.repeats.load_totals().items():
        counts["repeated_bytes_total", (sink,)] = repeated
    lost = Counter[CounterKey]()
    for loss in journal.losses.load():
        lost["lost_bytes_total", (loss.reason,)] += loss.bytes
        lost["lost_files_total", (loss.reason,)] += not loss.is_counted
    moved = metrics.restore(counts | dict(lost))
    if moved:
        journal.counters.move(moved)
