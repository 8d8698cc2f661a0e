"""One sink as the event loop sees it: what it does, and when it last made progress."""

from __future__ import annotations

import asyncio
import time
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


MOST_ATTEMPT_SECONDS = 600.0
"""How long an attempt counts as progress while it neither fails nor succeeds."""


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
        self._read_bytes = 0
        self._deadline: float | None = None
        self._is_finishing = False
        self._writing_since: float | None = None
        self._has_redrives = True
        self._are_redrives_waiting = False

    # ---------------------------------------------------------------- phases

    @property
    def phase(self) -> SinkPhase:
        """What the sink is doing."""
        return self._phase

    @property
    def progressed_at(self) -> float:
        """When bytes last moved, by the clock; at first, when the sink was made.

        They move when they are read for a batch (not when they are read once more, after a
        failure), when an attempt to send has succeeded, and when a batch is committed.
        """
        return max(self._progressed_at, self.delivery.attempts.succeeded_at)

    @property
    def is_attempting(self) -> bool:
        """Whether an attempt to send is under way, or a write to the journal, and none has failed.

        An attempt ends by the time-out of its destination, but in no case may it take for ever.
        """
        attempts, now = self.delivery.attempts, time.monotonic()
        sending = attempts.are_under_way and not self.is_failing
        since = [attempts.began_at] if sending else []
        since += [] if self._writing_since is None else [self._writing_since]
        return any(now - began < MOST_ATTEMPT_SECONDS for began in since)

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to send, or to write to the journal, has failed."""
        return bool(self.delivery.circuit.failures) or (
            self._phase is SinkPhase.WAITING_FOR_JOURNAL
        )

    def begin_writing(self) -> None:
        """Note that a write to the journal is under way."""
        self._writing_since = time.monotonic()

    def end_writing(self) -> None:
        """Note that it is over."""
        self._writing_since = None

    @property
    def is_draining(self) -> bool:
        """Whether the sink ends once it has delivered what was there when the drain began."""
        return self._is_draining

    def enter(self, phase: SinkPhase) -> None:
        """Note what the sink does from now on.

        One that connects, or has connected, is about to read: others wait for it as for one that
        has just filled a batch.
        """
        self._phase = phase
        if phase in {SinkPhase.CONNECTING, SinkPhase.RUNNING}:
            self._filled_at = self._clock()

    def begin_drain(self) -> None:
        """End once everything is delivered."""
        self._is_draining = True
        self._news.set()

    # ---------------------------------------------------------------- the end

    @property
    def is_finishing(self) -> bool:
        """Whether the sink only sends what it has in its batch."""
        return self._is_finishing

    def finish(self) -> None:
        """Send what is in the batch, read nothing more, and end."""
        self._is_finishing = True
        self._news.set()

    def limit_time(self, seconds: float) -> None:
        """Send everything early enough to commit it within so many seconds from now."""
        self._deadline = self._clock() + seconds
        self._news.set()

    def find_latest(self, began: float) -> float:
        """Return when a batch that began then is to be sent, although it might still grow.

        Before a deadline a batch fills for a third of the time that is left, so that the rest is
        enough to send and commit it, also where this takes longer than to fill it.
        """
        age = float(self.options.batch.age)
        if self._deadline is not None:
            age = min(age, max(self._deadline - began, 0.0) / 3)
        return began + age

    @property
    def idle_seconds(self) -> float:
        """How long a batch waits for more while nothing comes: not at all before a deadline."""
        return self.options.batch.idle if self._deadline is None else 0.0

    # ---------------------------------------------------------------- filling and sending

    def begin_filling(self) -> None:
        """Note that a batch begins to fill."""
        self._is_filling = True

    def note_read(self, read_bytes: int) -> None:
        """Note how many bytes were read in all; those that are read once more do not count."""
        if read_bytes > self._read_bytes:
            self._read_bytes = read_bytes
            self._progressed_at = self._clock()

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
