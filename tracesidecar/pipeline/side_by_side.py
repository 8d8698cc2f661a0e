"""Keep sinks that read the same bytes side by side, so that each chunk is cleaned once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from tracesidecar.pipeline.sink_state import SinkState, happens

RECHECK_SECONDS = 0.25
"""How often a sink that waits for slower ones checks again. Their steps wake it earlier; the end of
its patience does not.
"""


class SideBySide:
    """The sinks that are served, by name, and who waits for whom. For the event loop."""

    def __init__(self, sinks: Sequence[SinkState]) -> None:
        self.sinks: Mapping[str, SinkState] = {sink.name: sink for sink in sinks}
        self._step = asyncio.Event()

    def replace(self, removed: Iterable[str], added: Sequence[SinkState]) -> None:
        """Serve other sinks in place of some."""
        gone = set(removed)
        kept = {name: sink for name, sink in self.sinks.items() if name not in gone}
        self.sinks = kept | {sink.name: sink for sink in added}

    def begin_step(self, sink: SinkState) -> tuple[asyncio.Event, dict[str, int]]:
        """Return the event of the next step that any sink takes, and the sinks to wait for.

        A sink waits for the others if it is ahead by more than a lead in bytes: name → lead.
        """
        slower = {
            other.name: lead
            for other in self.sinks.values()
            if other is not sink
            and (lead := other.lead.find_allowed_bytes(sink.lead.patience_seconds)) is not None
        }
        return self._step, slower

    def end_step(self) -> None:
        """Wake the sinks that are waiting for slower ones to catch up."""
        self._step.set()
        self._step = asyncio.Event()

    async def wait(self, step: asyncio.Event) -> None:
        """Wait for a step, but not too long."""
        await happens(step, RECHECK_SECONDS)
