"""Run coroutines beside a main one, and end them with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_beside(
    main: Coroutine[Any, Any, T], others: Iterable[Coroutine[Any, Any, None]]
) -> T:
    """Run `main` to its end with the others beside it, then cancel these.

    What `main` raises is raised as it is, so that a caller can catch it by its type. If one of the
    others fails, `main` is cancelled, and the failure comes in an ExceptionGroup.
    """
    results: list[T] = []
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(other) for other in others]
        try:
            results.append(await main)
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group that would wrap it
            failure = error
        for task in beside:
            task.cancel()
    if failure is not None:
        raise failure
    return results[0]
