"""One sink as the event loop sees it: what it does, and when it last made progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from tracesidecar.batch import BatchSpec
from tracesidecar.deliver import Delivery
from tracesidecar.sinks import SinkOptions

LEAD_BYTES = 1 << 20
"""How far a sink may be ahead of one that is sending, which finds its next chunks in the caches."""
SENDING_SECONDS = 0.5
"""How long a sink that is ahead waits at least for one that is sending. It waits as long as its own
last sending took, if that is longer; slower sinks read for themselves.
"""


class SinkPhase(Enum):
    """What a sink is doing, as `/status` and the journal call it."""

    CONNECTING = "connecting"
    RUNNING = "running"
    DRAINED = "drained"
    STOPPED = "halted"
    RESTARTING = "restarting"
    WAITING_FOR_JOURNAL = "waiting for the journal"


class SinkState:
    """What the event loop knows of one sink; its place in the files is in `SinkCursors`.

    Only methods change it.
    """

    def __init__(
        self,
        options: SinkOptions,
        spec: BatchSpec,
        delivery: Delivery,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`clock` is in seconds and never goes back."""
        self.name = options.name
        self.options = options
        self.spec = spec
        self.delivery = delivery
        self._clock = clock
        self._phase = SinkPhase.CONNECTING
        self._news = asyncio.Event()
        self._is_draining = False
        self._is_filling = False
        self._filled_at = -SENDING_SECONDS
        self._sending_seconds = 0.0
        self._progressed_at = clock()
        self._has_redrives = True
        self._are_redrives_waiting = False

    # ---------------------------------------------------------------- phases

    @property
    def phase(self) -> SinkPhase:
        """What the sink is doing."""
        return self._phase

    @property
    def progressed_at(self) -> float:
        """When the last batch was committed, by the clock; at first, when the sink was made."""
        return self._progressed_at

    @property
    def is_draining(self) -> bool:
        """Whether the sink ends once it has delivered what was there when the drain began."""
        return self._is_draining

    def enter(self, phase: SinkPhase) -> None:
        """Note what the sink does from now on."""
        self._phase = phase

    def begin_drain(self) -> None:
        """End once everything is delivered."""
        self._is_draining = True
        self._news.set()

    # ---------------------------------------------------------------- filling and sending

    def begin_filling(self) -> None:
        """Note that a batch begins to fill."""
        self._is_filling = True

    def end_filling(self) -> None:
        """Note that the batch is full or complete; what follows is sending."""
        self._is_filling, self._filled_at = False, self._clock()

    def end_sending(self) -> None:
        """Note that the batch is committed."""
        self._sending_seconds = self._clock() - self._filled_at

    def progress(self) -> None:
        """Note that the journal has more of this sink than before."""
        self._progressed_at = self._clock()
        self._has_redrives = self._has_redrives or self._are_redrives_waiting

    def find_allowed_lead(self, other: SinkState) -> int | None:
        """Return how many bytes this sink may be ahead of another that is not far behind.

        The other one reads what this one has read a moment ago, or is about to: to wait for it
        costs less than to clean everything twice. None: do not wait for it.
        """
        if other._is_filling:
            return 0
        patience = max(SENDING_SECONDS, self._sending_seconds)
        is_sending = (
            not other.delivery.circuit.failures and self._clock() - other._filled_at < patience
        )
        return LEAD_BYTES if is_sending else None

    # ---------------------------------------------------------------- news

    def wake(self) -> None:
        """Wake the sink: there may be something to read."""
        self._news.set()

    def begin_step(self) -> bool:
        """Forget earlier news, before looking for something to read; return whether to drain."""
        self._news.clear()
        return self._is_draining

    async def wait_for_news(self, seconds: float | None = None) -> bool:
        """Wait for news; return whether they came in time."""
        if seconds is None:
            return await self._news.wait()
        return await happens(self._news, seconds)

    # ---------------------------------------------------------------- redriving

    @property
    def has_redrives(self) -> bool:
        """Whether the journal may have requests to redrive rejected lines."""
        return self._has_redrives

    @property
    def are_redrives_waiting(self) -> bool:
        """Whether it is too early for some of the requests."""
        return self._are_redrives_waiting

    def request_redrives(self) -> None:
        """Look for requests in the journal soon."""
        self._has_redrives = True
        self._news.set()

    def begin_redrives(self) -> None:
        """Note that all requests that are in the journal now are being handled."""
        self._has_redrives = False

    def defer_redrives(self, *, are_waiting: bool) -> None:
        """Note whether some requests must wait, until the sink or their file is further."""
        self._are_redrives_waiting = are_waiting


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; return whether it was set in time."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
