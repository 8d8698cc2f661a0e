"""Wait for a state directory that cannot be used now: full, locked, or on a failing disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from tracesidecar.daemon.systemd import SystemdNotifier
from tracesidecar.errors import StateUnavailable
from tracesidecar.journal import explain_os

log = structlog.get_logger()

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 5.0


class StateWait:
    """Repeats what fails because the state directory cannot be used now. For the event loop."""

    def __init__(
        self, directory: str, limit_seconds: float | None, systemd: SystemdNotifier
    ) -> None:
        """Wait no longer than `limit_seconds` at a time; None waits without end."""
        self._directory = directory
        self._limit_seconds = limit_seconds
        self._systemd = systemd
        self._given_up = asyncio.Event()
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the state directory cannot be used now, empty while it can."""
        return self._problem

    def give_up(self) -> None:
        """Wait no more: the process is asked to end."""
        self._given_up.set()

    async def attempt(self, action: Callable[[], T]) -> T:
        """Run a blocking action in a thread until it works, and return its result.

        Raise StateUnavailable once the limit is over or `give_up` was called, and whatever else the
        action raises at once.
        """
        began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
        while True:
            try:
                result = await asyncio.to_thread(action)
            except (StateUnavailable, OSError) as error:
                unavailable = self._explain(error)
                self._note(str(unavailable))
                left = self._measure_remaining(began)
                if left <= 0 or self._given_up.is_set():
                    raise unavailable from error
            else:
                self._note("")
                return result
            await self._sleep(min(pause, left))
            pause = min(2 * pause, MOST_PAUSE_SECONDS)

    def _explain(self, error: StateUnavailable | OSError) -> StateUnavailable:
        """Return the error to report; raise one of the operating system that does not pass.

        Without a free descriptor, say, the start fails wherever it opens its next file.
        """
        if isinstance(error, OSError):
            explained = explain_os("start with the state directory", self._directory, error, "")
            if not isinstance(explained, StateUnavailable):
                raise error
            return explained
        return error

    def _measure_remaining(self, began: float) -> float:
        if self._limit_seconds is None:
            return MOST_PAUSE_SECONDS
        return self._limit_seconds - (time.monotonic() - began)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._given_up.wait()
        except TimeoutError:
            return

    def _note(self, problem: str) -> None:
        """Log a problem once, and that it is over."""
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            log.error("state.unavailable", problem=problem)
            self._systemd.send(f"STATUS=waiting: {problem}")
        else:
            log.info("state.available")
