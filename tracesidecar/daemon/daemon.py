"""The process.

Signals, the agent of `exec`, reloads, health pages and the status socket, around one generation of
the service after another.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

from tracesidecar.config import Configuration, LoadedConfiguration
from tracesidecar.daemon.child_process import ChildProcess
from tracesidecar.daemon.generation import Generation, Mode
from tracesidecar.daemon.health_pages import HealthPages
from tracesidecar.daemon.reload import Difference, Reloader
from tracesidecar.daemon.status import Health
from tracesidecar.daemon.status_server import StatusServer
from tracesidecar.daemon.systemd import SystemdNotifier
from tracesidecar.daemon.tasks import run_beside
from tracesidecar.introspect.status import StatusReport
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline import DrainResult


class Daemon:
    """Runs a configuration over an open journal until it has drained."""

    def __init__(self, loaded: LoadedConfiguration, journal: Journal, mode: Mode) -> None:
        self.configuration = loaded.configuration
        self.is_stopping = mode.once
        self._path = loaded.path
        self._journal = journal
        self._mode = mode
        self._metrics = Metrics()
        self._systemd = SystemdNotifier()
        self._reloader = Reloader(loaded.path, journal, self)
        self._started = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._restart_wanted = False
        self._has_restarted = asyncio.Event()

    async def run(self) -> DrainResult:
        """Run until drained."""
        self._handle_signals()
        # before anything else can ask for it: building a generation does not yield to other tasks
        self._generation = self._build_generation()
        with ExitStack() as stack:
            status = StatusServer(self.configuration.state_directory, self.report)
            stack.callback(status.close)
            listen = self.configuration.daemon.listen
            if listen and not self._mode.once:
                pages = HealthPages(self.check_health, self._metrics, self._loop)
                stack.callback(pages.open(listen))
            return await run_beside(self._run_generations(), [status.run(), *self._companions()])

    async def check_health(self) -> Health:
        """Return how the service is now."""
        return await self._generation.monitor.check_health()

    async def report(self) -> StatusReport | None:
        """Return the document of `status`; None if the service has just ended."""
        try:
            return await self._generation.monitor.report(self.configuration)
        except RuntimeError:  # a thread pool that is shut down takes no more work
            if self.is_stopping or self._restart_wanted:
                return None
            raise

    def stop(self) -> None:
        """Drain and end; the second time, end at once."""
        service = self._generation.service
        if self.is_stopping:
            service.quit.set()
        self.is_stopping = True
        self._systemd.send("STOPPING=1", "STATUS=draining")
        service.stop.set()

    # ---------------------------------------------------------------- called by the reloader

    async def replace_sinks(self, new: Configuration, change: Difference) -> None:
        """Change only the sinks that differ."""
        self.configuration = new
        await self._generation.replace_sinks(new, change.removed, change.added)

    async def restart(self, new: Configuration) -> None:
        """Let a generation with the new configuration follow; return once it is built."""
        self.configuration = new
        self._restart_wanted = True
        self._has_restarted.clear()
        self._generation.service.quit.set()
        self._generation.service.stop.set()
        await self._has_restarted.wait()

    # ---------------------------------------------------------------- generations

    def _build_generation(self) -> Generation:
        generation = Generation(
            self.configuration,
            self._path,
            self._journal,
            self._metrics,
            mode=self._mode,
            systemd=self._systemd,
            started=self._started,
        )
        if self.is_stopping:
            generation.service.stop.set()
        return generation

    async def _run_generations(self) -> DrainResult:
        while True:
            result = await self._generation.run()
            if not self._restart_wanted:
                return result
            self._restart_wanted = False
            self._generation = self._build_generation()
            self._has_restarted.set()

    def _companions(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._reloader.run()
        if self._mode.child is not None:
            yield self._run_child(self._mode.child)

    async def _run_child(self, child: ChildProcess) -> None:
        """Run the agent as soon as its files are watched, and drain after it."""
        await self._started.wait()
        await child.run()
        self._handle_signals()  # the child had them
        await self._generation.service.end_writers()
        self.is_stopping = True
        self._generation.service.stop.set()

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._reloader.request)
