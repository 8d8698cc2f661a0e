"""Connect each sink once and hear whether it would take anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from tracesidecar.errors import ConfigurationError, SinkError
from tracesidecar.sinks import SinkOptions, build_sink

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sink said; `detail` is a sentence without credentials."""

    sink: str
    is_good: bool
    detail: str = ""


async def ask(sinks: Iterable[SinkOptions]) -> list[Answer]:
    """Ask all sinks at the same time."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_ask(options)) for options in sinks]
    return [task.result() for task in asked]


async def _ask(options: SinkOptions) -> Answer:
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            build_sink(options),
        ):
            return Answer(options.name, is_good=True)
    except TimeoutError:
        return Answer(
            options.name,
            is_good=False,
            detail=f"no answer within {PATIENCE_SECONDS:.0f} s: check its address, and what stands between",
        )
    except (SinkError, ConfigurationError) as error:
        return Answer(options.name, is_good=False, detail=str(error))
