"""/metrics, /livez, /readyz and /status: what each page answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import msgspec
import structlog

from tracesidecar.config import DaemonOptions
from tracesidecar.daemon.health import STALL_SECONDS, Health, describe_stuck
from tracesidecar.daemon.http_server import HealthServer, Page
from tracesidecar.metrics import Metrics

log = structlog.get_logger()


class HealthPages:
    """Answers in the thread of the health server.

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

    def open(self, options: DaemonOptions) -> Callable[[], None]:
        """Listen on the address of the options; return what ends that.

        An address that cannot be taken is logged, and the daemon goes on without the pages.
        """
        pages = {
            "/metrics": self._show_metrics,
            "/livez": _show_alive,
            "/readyz": _show_ready,
            "/status": _show_status,
        }
        try:
            return HealthServer(
                options.listen, pages, self._ask, allowed_hosts=options.allowed_hosts
            ).close
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            log.warning(
                "health.address_taken",
                listen=options.listen,
                problem=reason or str(error),
                remedy="set daemon.listen to a free address; the daemon goes on without it",
            )
            return lambda: None

    def _ask(self) -> Future[Health]:
        question = self._check_health()
        try:
            return asyncio.run_coroutine_threadsafe(question, self._loop)
        except RuntimeError:  # the loop has ended
            question.close()
            raise

    def _show_metrics(self, _health: Health) -> Page:
        # The question for it has brought the gauges up to date.
        return Page(200, self._metrics.exposition())


def _show_alive(health: Health) -> Page:
    if health.stuck_seconds > STALL_SECONDS:
        return Page(503, f"{describe_stuck(health.stuck_seconds)}\n".encode())
    return Page(200, b"ok\n")


def _show_ready(health: Health) -> Page:
    if health.is_ready:
        return Page(200, b"ok\n")
    return Page(503, "".join(f"{reason}\n" for reason in health.why_not).encode())


def _show_status(health: Health) -> Page:
    return Page(200, msgspec.json.encode(health) + b"\n")
