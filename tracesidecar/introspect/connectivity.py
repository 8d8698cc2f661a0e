"""Connect each sink once, to see whether its credentials and address are good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from tracesidecar.errors import ConfigurationError, SinkError
from tracesidecar.masking import Mask
from tracesidecar.sinks import SinkOptions, build_sink

CONNECT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """How it went to connect one sink; `detail` is a sentence without credentials.

    The field names are keys of `check-config --online --json`.
    """

    sink: str
    is_good: bool
    detail: str = ""


async def check_connections(sinks: Iterable[SinkOptions]) -> list[ConnectionCheck]:
    """Connect all sinks at the same time."""
    async with asyncio.TaskGroup() as tasks:
        checks = [tasks.create_task(_check(options)) for options in sinks]
    return [task.result() for task in checks]


async def _check(options: SinkOptions) -> ConnectionCheck:
    try:
        with Mask.of(options).in_force():
            async with asyncio.timeout(CONNECT_SECONDS), build_sink(options):
                return ConnectionCheck(options.name, is_good=True)
    except TimeoutError:
        return ConnectionCheck(
            options.name,
            is_good=False,
            detail=f"no answer within {CONNECT_SECONDS:.0f} s: check the address, and the network "
            "between here and there",
        )
    except (SinkError, ConfigurationError) as error:
        return ConnectionCheck(options.name, is_good=False, detail=str(error))
