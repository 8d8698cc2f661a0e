"""Computes all turns again, as the migration does."""

from __future__ import annotations

import asyncio

from tests.sql.engines import Stored
from tracesidecar.sinks.sql import sink as sql


def rebuild_turns(stored: Stored) -> None:
    """Let a new sink find tables without a version, with events and no turns."""
    stored.ask("DELETE FROM agent_traces")
    stored.ask("DELETE FROM tracesidecar_schema")

    async def enter() -> None:
        async with sql.build(stored.options()):
            pass

    asyncio.run(enter())
