"""The worker thread, and the one door to what lives in it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Generic, ParamSpec, TypeVar

from tracesidecar.progress import Progress, measure_used_seconds

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T")


LONGEST_PIECE_SECONDS = 900.0
"""A thread that uses the processor for so long without finishing a piece goes round in circles."""


class WorkerThread(Generic[R]):
    """One thread with a resident that only functions running in that thread ever see.

    The resident is made in the thread, so no other thread can hold it by accident. The event loop
    passes functions in through `run`; they get the resident as their first argument and run one at
    a time, in order.
    """

    def __init__(self, make: Callable[[], R], progress: Progress | None = None) -> None:
        """Start the thread and make the resident there; wait for it and raise what it raises.

        What runs in the thread notes each piece of its work in `progress`, by the monotonic clock.
        """
        self.progress = progress or Progress()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._busy_since: float | None = None
        self._used_seconds, self._used_at = 0.0, time.monotonic()
        try:
            self._ident = self._executor.submit(threading.get_ident).result()
            self.__resident = self._executor.submit(make).result()
        except BaseException:
            self._executor.shutdown()
            raise

    @property
    def is_busy(self) -> bool:
        """Whether a function runs now."""
        return self._busy_since is not None

    @property
    def moved_at(self) -> float:
        """When the thread last moved on, in monotonic seconds: now if nothing is asked of it.

        A thread that waits for a dead disk uses no processor time. One that cleans a large line
        does, also with a twentieth of a core.
        """
        now, busy_since = time.monotonic(), self._busy_since
        if busy_since is None:
            return now
        done_at = max(self.progress.moved_at, busy_since)
        used = measure_used_seconds(self._ident)
        if used > self._used_seconds:
            self._used_seconds, self._used_at = used, now
        is_circling = now - done_at > LONGEST_PIECE_SECONDS
        return done_at if is_circling else max(done_at, self._used_at)

    async def run(
        self, function: Callable[Concatenate[R, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(resident, …)` in the thread and return its result.

        If the caller is cancelled, a function that has begun still runs to its end.
        """
        result = await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: self._call(function, *args, **kwargs)
        )
        self.progress.note()
        return result

    def ask(
        self, function: Callable[Concatenate[R, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Let the thread run a function that only looks, which is no progress; return the future.

        Nothing cancels it, so that who waits no longer can ask for the same answer later.
        """
        return asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: self._call(function, *args, **kwargs)
        )

    def _call(
        self, function: Callable[Concatenate[R, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._busy_since = time.monotonic()
        try:
            return function(self.__resident, *args, **kwargs)
        finally:
            self._busy_since = None

    def close(self, last: Callable[[R], object]) -> None:
        """Wait for what is running, run `last` in the thread, and stop the thread."""
        try:
            self._executor.submit(last, self.__resident).result()
        finally:
            self._executor.shutdown(wait=True)
