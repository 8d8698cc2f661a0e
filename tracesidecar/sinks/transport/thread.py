"""A thread for blocking calls, one after another, that does not keep the process from ending."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Runs steps in order. A step that its caller has given up goes on, and the next one waits for
    it.

    concurrent.futures joins its threads at exit: a client that is stuck in a read would hold up the
    end of the drain. This thread is a daemon, so it is for work that may be cut off anywhere.
    """

    def __init__(self, name: str) -> None:
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, step: Callable[[], T]) -> T:
        """Run a step in the thread, with the caller's context variables, and return what it
        returns.
        """
        done: Future[T] = Future()
        context = contextvars.copy_context()

        def settle() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(context.run(step))
            except BaseException as error:  # noqa: BLE001 the caller raises it
                done.set_exception(error)

        self._steps.put(settle)
        return await asyncio.wrap_future(done)

    def stop(self) -> None:
        """End the thread after the steps that wait."""
        self._steps.put(None)

    def _work(self) -> None:
        while (settle := self._steps.get()) is not None:
            settle()
