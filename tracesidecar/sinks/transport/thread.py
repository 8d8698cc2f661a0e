"""A thread for blocking calls that run one after another and never delay the process's exit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class ClientThread:
    """Runs blocking calls in order.

    If a caller is cancelled, its call still runs to its end, and the next call waits for it.

    concurrent.futures joins its threads at exit, so a client that hangs in a read would delay the
    end of a drain. This thread is a daemon thread: only use it for work that may be interrupted at
    any point.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run the call in the thread, with the caller's context variables; return its result."""
        result: Future[T] = Future()
        context = contextvars.copy_context()

        def execute() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                result.set_result(context.run(call))
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                result.set_exception(error)

        self._calls.put(execute)
        return await asyncio.wrap_future(result)

    def stop(self) -> None:
        """End the thread once the calls that are already queued have run."""
        self._calls.put(None)

    def _work(self) -> None:
        while (execute := self._calls.get()) is not None:
            execute()
