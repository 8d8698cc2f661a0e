"""Computes all turns again, as the migration does."""

from __future__ import annotations

import asyncio

from tests.sql.engines import Stored
from tracesidecar.sinks.sql import sink as sql


def rebuild_turns(stored: Stored) -> None:
    """Have a fresh sink find tables of no version, with events in them and no turn."""
    stored.ask("DELETE FROM agent_traces")
    stored.ask("DELETE FROM tracesidecar_schema")

    async def enter() -> None:
        async with sql.build(stored.options()):
            pass

    asyncio.run(enter())
