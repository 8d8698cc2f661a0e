"""/metrics, /livez, /readyz and /status: what each page answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import structlog

from tracesidecar.daemon.http_server import HealthServer, Page
from tracesidecar.daemon.status import STALL_SECONDS, Health
from tracesidecar.metrics import Metrics

log = structlog.get_logger()

ANSWER_SECONDS = 5.0


class HealthPages:
    """Answers in the threads of the health server.

    Every page asks the event loop, and the event loop asks the worker thread. A thread that is at
    work on something large does not answer in time, and is alive all the same: then the pages have
    its last answer. `check_health` is called in the event loop.
    """

    def __init__(
        self,
        check_health: Callable[[], Coroutine[Any, Any, Health]],
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._check_health = check_health
        self._metrics = metrics
        self._loop = loop

    def open(self, listen: str) -> Callable[[], None]:
        """Listen on an address; return what ends that.

        An address that cannot be taken is logged, and the daemon goes on without the pages.
        """
        pages = {
            "/metrics": self._show_metrics,
            "/livez": self._show_alive,
            "/readyz": self._show_ready,
            "/status": self._show_status,
        }
        try:
            return HealthServer(listen, pages).close
        except OSError as error:
            log.warning(
                "health.address_taken",
                listen=listen,
                problem=error.strerror,
                remedy="set daemon.listen to a free address; the daemon goes on without it",
            )
            return lambda: None

    def _health(self) -> Health:
        answer = asyncio.run_coroutine_threadsafe(self._check_health(), self._loop)
        try:
            return answer.result(ANSWER_SECONDS)
        finally:
            answer.cancel()  # after a time-out nobody waits for it any more; else it does nothing

    def _show_metrics(self) -> Page:
        self._health()  # brings the gauges up to date
        return Page(200, self._metrics.exposition())

    def _show_alive(self) -> Page:
        stuck_seconds = self._health().stuck_seconds
        if stuck_seconds > STALL_SECONDS:
            reason = f"the worker thread has been standing still for {stuck_seconds:.0f} s\n"
            return Page(503, reason.encode())
        return Page(200, b"ok\n")

    def _show_ready(self) -> Page:
        health = self._health()
        if health.is_ready:
            return Page(200, b"ok\n")
        return Page(503, "".join(f"{reason}\n" for reason in health.why_not).encode())

    def _show_status(self) -> Page:
        return Page(200, msgspec.json.encode(self._health()) + b"\n")
