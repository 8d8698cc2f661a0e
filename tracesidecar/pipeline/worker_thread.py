"""The worker thread, and the one door to what lives in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Generic, ParamSpec, TypeVar

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T")


class WorkerThread(Generic[R]):
    """One thread with a resident that only functions running in that thread ever see.

    The resident is made in the thread, so no other thread can hold it by accident. The event loop
    passes functions in through `run`; they get the resident as their first argument and run one at
    a time, in order.
    """

    def __init__(self, make: Callable[[], R]) -> None:
        """Start the thread and make the resident there; wait for it and raise what it raises."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="work")
        try:
            self.__resident = self._executor.submit(make).result()
        except BaseException:
            self._executor.shutdown()
            raise

    async def run(
        self, function: Callable[Concatenate[R, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `function(resident, …)` in the thread and return its result.

        If the caller is cancelled, a function that has begun still runs to its end.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: function(self.__resident, *args, **kwargs)
        )

    def close(self, last: Callable[[R], object]) -> None:
        """Wait for what is running, run `last` in the thread, and stop the thread."""
        try:
            self._executor.submit(last, self.__resident).result()
        finally:
            self._executor.shutdown(wait=True)
