"""The service that one configuration describes, with the tasks that go along with it.

A reload that changes more than single sinks replaces the generation; the process stays.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from tracesidecar.config import Configuration
from tracesidecar.daemon.banner import banner, summarize_start
from tracesidecar.daemon.child_process import ChildProcess
from tracesidecar.daemon.continuity import watch_journal
from tracesidecar.daemon.exposure_warnings import warn_of_exposures
from tracesidecar.daemon.health import Health, HealthMonitor
from tracesidecar.daemon.progress import ProgressLine, show_progress
from tracesidecar.daemon.redaction_check import check_redaction_hourly, warn_of_disabled_rules
from tracesidecar.daemon.systemd import SystemdNotifier
from tracesidecar.daemon.tasks import run_beside
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline import DrainResult, LineMetrics, Service, WorkerContext
from tracesidecar.progress import Progress
from tracesidecar.tail import GlobPattern

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher

log = structlog.get_logger()

START_EXTENSION_SECONDS = 60
"""How much time systemd is asked for at once while the start goes on."""

HEALTH_CHECK_SECONDS = 5.0
"""How often the gauges and the journal's notes about the sinks are brought up to date."""

SAVE_SECONDS = 5.0
"""How long to wait at the end for a journal that cannot be written, if there is that much time."""

SAVE_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Mode:
    """How a run differs from the service.

    `once`: drain at once. `progress` is the terminal to draw on. `child` is the agent of `exec`:
    the daemon drains after it. `at` is called at each named point, so that tests can stop there.
    """

    once: bool = False
    progress: ProgressLine | None = None
    child: ChildProcess | None = None
    at: Callable[[str], None] = lambda _point: None


class Generation:
    """Builds the service for a configuration and runs it until it has drained.

    Construction blocks: it compiles the rules and reads the journal. Raise ConfigurationError or
    RedactionError if the configuration cannot be run.
    """

    def __init__(
        self,
        configuration: Configuration,
        path: str | None,
        journal: Journal,
        metrics: Metrics,
        *,
        mode: Mode,
        systemd: SystemdNotifier,
        started: asyncio.Event,
        line_metrics: LineMetrics | None,
        inherited: Mapping[int, int],
        list_troubles: Callable[[], Iterable[str]],
        loop: asyncio.AbstractEventLoop,
        progress: Progress,
    ) -> None:
        """Build everything, in any thread; `loop` is the one that it will run in.

        If `progress` is interrupted before that is done, Interrupted is raised. Set `started` after
        the first scan: from then on no new file is missed.

        `line_metrics` is of the generation before, and `inherited` its `descriptors`.
        `list_troubles` returns why the process is not ready whatever the service does.
        """
        self._configuration = configuration
        self._path = path
        self._journal = journal
        self._metrics = metrics
        self._mode = mode
        self._systemd = systemd
        self._loop = loop
        self._progress = progress
        self._started = started
        self._is_ready = False
        self._has_changes = asyncio.Event()  # before the watcher, whose thread sets it
        self._watcher = self._watch()
        warn_of_disabled_rules(configuration.redaction)
        warn_of_exposures(configuration)
        self.descriptors: Mapping[int, int] = {}  # of files that no other process could read
        self._wiring = self._wire(line_metrics, inherited)
        self.line_metrics = self._wiring.line_metrics
        self.service = Service(
            self._wiring.worker,
            self._wiring.sinks,
            journal,
            metrics,
            poll_seconds=configuration.daemon.poll_interval,
            wake=self._has_changes,
            at=mode.at,
        )
        self.monitor = HealthMonitor(self.service, metrics, journal, list_troubles=list_troubles)
        log.info(
            "service.started",
            engine=self._wiring.engine,
            rules=self._wiring.rules,
            sinks=[sink.name for sink in configuration.sink],
        )

    async def run(self) -> DrainResult:
        """Run until drained, then release everything that was opened."""
        service = self.service.run(
            drain_seconds=self._configuration.daemon.drain_deadline, whole_backlog=self._mode.once
        )
        try:
            result = await run_beside(service, self._companions())
            await self.monitor.save_counters()
            if self.service.has_successor:
                self.descriptors = await self._wiring.worker.run(
                    lambda context: context.tailer.copy_descriptors()
                )
            return result
        finally:
            if self._mode.progress is not None:
                self._mode.progress.finish()
            if self._watcher is not None:
                self._watcher.close()
            once = self._mode.once
            patience = min(SAVE_SECONDS, self._journal.patience_seconds)
            self._wiring.worker.close(
                lambda context: _save_and_close(context, seconds=patience, once=once)
            )

    async def replace_sinks(
        self, configuration: Configuration, removed: tuple[str, ...], added: tuple[str, ...]
    ) -> None:
        """Replace single sinks while the others go on."""
        self._configuration = configuration
        warn_of_exposures(configuration, only=added)
        await self.service.replace_sinks(
            removed, lambda context: self._wiring.make_sinks(context, configuration, added)
        )

    def _wire(self, line_metrics: LineMetrics | None, inherited: Mapping[int, int]) -> Wiring:
        """Build the parts; if that fails, nobody needs the watcher any more."""
        try:
            return Wiring(
                self._configuration,
                self._journal,
                self._metrics,
                watcher=self._watcher,
                at=self._mode.at,
                line_metrics=line_metrics,
                inherited=inherited,
                progress=self._progress,
            )
        except BaseException:
            if self._watcher is not None:
                self._watcher.close()  # the next attempt makes another
            raise

    def _watch(self) -> Watcher | None:
        if self._mode.once or os.environ.get("TRACESIDECAR_NOTICES") == "off":
            return None
        from tracesidecar.tail.discovery.watcher import Watcher

        roots = {
            GlobPattern.parse(glob).root
            for source in self._configuration.source
            for glob in source.include
        }
        return Watcher(sorted(roots), wake=self._wake)

    def _wake(self) -> None:
        """Wake the scan task; the watcher's thread calls this."""
        self._loop.call_soon_threadsafe(self._has_changes.set)

    def _companions(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield check_redaction_hourly(self.service)
        yield watch_journal(self._journal)
        yield self._check_health_regularly()
        yield self._announce()
        yield self._extend_start()
        if self._systemd.watchdog_seconds:
            yield self._feed_watchdog(self._systemd.watchdog_seconds)
        if self._mode.progress is not None:
            yield show_progress(self._mode.progress, self.monitor, self._metrics)

    async def _announce(self) -> None:
        """Report that the service is ready: after the first scan, and once each sink has tried."""
        await self.service.scans.first_scan.wait()
        self._started.set()
        for sink in tuple(self.service.sinks.values()):
            await sink.delivery.tried.wait()
        self._is_ready = True
        self._systemd.send("READY=1", "STATUS=running")
        summary = await self.service.worker.run(
            lambda context: summarize_start(self._configuration, context.tailer.segments())
        )
        if self._mode.progress is not None:
            self._mode.progress.write(
                "\n".join(banner(self._configuration, self._path, summary)) + "\n"
            )
        else:
            log.info(
                "service.ready",
                configuration=self._path or "embedded default",
                files=summary.files,
                destinations=summary.destinations,
            )

    async def _check_health_regularly(self) -> None:
        while True:
            began = time.monotonic()
            health = await self.monitor.check_health()
            await self.monitor.record(health)
            self._systemd.send(f"STATUS={_status_line(health)}")
            seconds = time.monotonic() - began  # grows with the backlog
            await asyncio.sleep(max(HEALTH_CHECK_SECONDS, seconds * 9))

    async def _feed_watchdog(self, seconds: float) -> None:
        """Ping systemd's watchdog as long as the worker thread moves on, or has nothing to do."""
        while True:
            if self.monitor.stuck_seconds < seconds:
                self._systemd.send("WATCHDOG=1")
            await asyncio.sleep(seconds / 3)

    async def _extend_start(self) -> None:
        """Ask systemd for more time as long as the start goes on: a huge tree, or a small quota."""
        while not self._is_ready:
            if self.monitor.stuck_seconds < START_EXTENSION_SECONDS:
                self._systemd.send(f"EXTEND_TIMEOUT_USEC={START_EXTENSION_SECONDS * 1_000_000}")
            await asyncio.sleep(START_EXTENSION_SECONDS / 4)


def _save_and_close(context: WorkerContext, *, seconds: float, once: bool) -> None:
    """Save what is known of the files; wait this long for a journal that cannot be written.

    It only spares the next start some work, so it may fail.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            context.intake.release_all()
            context.tailer.close(releases_delivered=once)
        except StateUnavailable as error:
            if time.monotonic() >= deadline:
                log.warning(
                    "journal.unsaved",
                    problem=str(error),
                    remedy="none needed: the next start looks at the files again",
                )
                return
            time.sleep(SAVE_PAUSE_SECONDS)
        else:
            return


def _status_line(health: Health) -> str:
    lag = sum(sink.lag_bytes for sink in health.sinks)
    why_not = "".join(f"not ready: {reason}; " for reason in health.why_not)
    return f"{why_not}{health.files} files, {lag} bytes to deliver" + "".join(
        f"; {sink.name}: {sink.state}{sink.trouble and f', {sink.trouble}'}"
        for sink in health.sinks
        if sink.state != "running" or sink.trouble
    )
