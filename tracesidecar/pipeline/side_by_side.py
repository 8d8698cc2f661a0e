"""Keep sinks that read the same bytes side by side, so that each chunk is cleaned once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from tracesidecar.pipeline.sink_state import SinkState, happens

LOOK_AGAIN_SECONDS = 0.25
"""How often a sink that waits for slower ones checks again. Their steps wake it earlier; the end of
its patience does not.
"""


class SideBySide:
    """The sinks that are served, and who waits for whom. For the event loop."""

    def __init__(self, sinks: Sequence[SinkState]) -> None:
        self._sinks = {sink.name: sink for sink in sinks}
        self._step = asyncio.Event()

    @property
    def sinks(self) -> Mapping[str, SinkState]:
        """The sinks by name."""
        return self._sinks

    def replace(self, removed: Iterable[str], added: Sequence[SinkState]) -> None:
        """Serve other sinks in place of some."""
        kept = {name: sink for name, sink in self._sinks.items() if name not in removed}
        self._sinks = kept | {sink.name: sink for sink in added}

    def slower(self, sink: SinkState) -> dict[str, int]:
        """Return the sinks to wait for, if they are slower: name → allowed lead in bytes."""
        return {
            other.name: lead
            for other in self._sinks.values()
            if other is not sink and (lead := sink.allowed_lead(other)) is not None
        }

    def next_step(self) -> asyncio.Event:
        """Return the event of the next step that any sink takes."""
        return self._step

    def end_step(self) -> None:
        """Wake the sinks that are waiting for slower ones to catch up."""
        self._step.set()
        self._step = asyncio.Event()

    async def wait(self, step: asyncio.Event) -> None:
        """Wait for a step, but not too long."""
        await happens(step, LOOK_AGAIN_SECONDS)
