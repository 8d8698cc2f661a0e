"""One sink as the event loop sees it: its phase, its news, and when its bytes move."""

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


class SinkProgress:
    """When bytes of one sink last moved, and what is under way that may move some.

    They move when they are read for a batch (not when they are read once more, after a failure),
    when an attempt to send has succeeded, and when a batch is committed.
    """

    def __init__(self, delivery: Delivery, clock: Callable[[], float]) -> None:
        self._attempts = delivery.attempts
        self._clock = clock
        self._moved_at = clock()
        self._read_bytes = 0
        self._writing_since: float | None = None

    @property
    def moved_at(self) -> float:
        """When bytes last moved, by the clock; at first, when the sink was made."""
        return max(self._moved_at, self._attempts.succeeded_at)

    @property
    def is_sending(self) -> bool:
        """Whether an attempt to send is under way, and may still succeed.

        The destination's time-out ends it; an attempt that takes far longer does not count.
        """
        return self._attempts.are_under_way and _is_recent(self._attempts.began_at)

    @property
    def is_writing(self) -> bool:
        """Whether a write to the journal is under way, and not hanging."""
        return self._writing_since is not None and _is_recent(self._writing_since)

    def note_read(self, read_bytes: int) -> None:
        """Note how many bytes were read in all; those that are read once more do not count."""
        if read_bytes > self._read_bytes:
            self._read_bytes = read_bytes
            self._moved_at = self._clock()

    def begin_writing(self) -> None:
        """Note that a write to the journal is under way."""
        self._writing_since = time.monotonic()

    def end_writing(self) -> None:
        """Note that it is over."""
        self._writing_since = None

    def note_commit(self) -> None:
        """Note that the journal has more of this sink than before."""
        self._moved_at = self._clock()


class BatchDeadline:
    """When a batch that might still grow is sent: by its age, or early enough before a deadline."""

    def __init__(self, options: SinkOptions, clock: Callable[[], float]) -> None:
        self._batch = options.batch
        self._clock = clock
        self._at: float | None = None

    def set(self, seconds: float) -> None:
        """Send everything early enough to commit it within so many seconds from now."""
        self._at = self._clock() + seconds

    def find_latest(self, began: float) -> float:
        """Return when a batch that began at a time is to be sent.

        Before a deadline a batch fills for a third of the time that is left, so that the rest is
        enough to send and commit it, also where this takes longer than to fill it.
        """
        age = float(self._batch.age)
        if self._at is not None:
            age = min(age, max(self._at - began, 0.0) / 3)
        return began + age

    @property
    def idle_seconds(self) -> float:
        """How long a batch waits for more while nothing comes: not at all before a deadline."""
        return self._batch.idle if self._at is None else 0.0


class SinkLead:
    """How far others may be ahead of one sink before they wait for it.

    It reads what they have read a moment ago, or is about to: to wait for it costs less than to
    clean everything twice.
    """

    def __init__(self, delivery: Delivery, clock: Callable[[], float]) -> None:
        self._circuit = delivery.circuit
        self._clock = clock
        self._is_filling = False
        self._filled_at = -SENDING_SECONDS
        self._sending_seconds = 0.0

    def expect_reading(self) -> None:
        """Note that the sink is about to read, as one that has just filled a batch."""
        self._filled_at = self._clock()

    def begin_filling(self) -> None:
        """Note that a batch begins to fill."""
        self._is_filling = True

    def end_filling(self) -> None:
        """Note that the batch is full or complete; what follows is sending."""
        self._is_filling, self._filled_at = False, self._clock()

    def end_sending(self) -> None:
        """Note that the batch is committed."""
        self._sending_seconds = self._clock() - self._filled_at

    @property
    def patience_seconds(self) -> float:
        """How long this sink waits for another one that is sending."""
        return max(SENDING_SECONDS, self._sending_seconds)

    def find_allowed_bytes(self, patience_seconds: float) -> int | None:
        """Return by how many bytes another one of this patience may be ahead of this sink.

        None: it need not wait for it.
        """
        if self._is_filling:
            return 0
        is_sending = (
            not self._circuit.failures and self._clock() - self._filled_at < patience_seconds
        )
        return LEAD_BYTES if is_sending else None


class RedriveSchedule:
    """Whether to look for requests to redrive one sink's rejected lines."""

    def __init__(self) -> None:
        self._is_due = True
        self._are_waiting = False

    @property
    def is_due(self) -> bool:
        """Whether the journal may have requests."""
        return self._is_due

    @property
    def are_waiting(self) -> bool:
        """Whether it is too early for some of the requests."""
        return self._are_waiting

    def request(self) -> None:
        """Look for requests in the journal soon."""
        self._is_due = True

    def begin(self) -> None:
        """Note that all requests that are in the journal now are being handled."""
        self._is_due = False

    def defer(self, *, are_waiting: bool) -> None:
        """Note whether some requests must wait, until the sink or their file is further."""
        self._are_waiting = are_waiting

    def note_commit(self) -> None:
        """Look again for those that waited: the sink is further."""
        self._is_due = self._is_due or self._are_waiting


class SinkState:
    """What the event loop knows of one sink; its place in the files is in `SinkCursors`.

    It has the phase, the news, and how the sink is to end. Only methods change it.
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
        self.progress = SinkProgress(delivery, clock)
        self.deadline = BatchDeadline(options, clock)
        self.lead = SinkLead(delivery, clock)
        self.redrives = RedriveSchedule()
        self._phase = SinkPhase.CONNECTING
        self._news = asyncio.Event()
        self._is_draining = False
        self._is_finishing = False

    # Phases:

    @property
    def phase(self) -> SinkPhase:
        """What the sink is doing."""
        return self._phase

    def enter(self, phase: SinkPhase) -> None:
        """Note what the sink does from now on.

        One that connects, or has connected, is about to read.
        """
        self._phase = phase
        if phase in {SinkPhase.CONNECTING, SinkPhase.RUNNING}:
            self.lead.expect_reading()

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to send, or to write to the journal, has failed."""
        return bool(self.delivery.circuit.failures) or (
            self._phase is SinkPhase.WAITING_FOR_JOURNAL
        )

    @property
    def is_attempting(self) -> bool:
        """Whether an attempt to send is under way, or a write to the journal, and none failed."""
        return self.progress.is_writing or (self.progress.is_sending and not self.is_failing)

    def note_commit(self) -> None:
        """Note that the journal has more of this sink than before."""
        self.progress.note_commit()
        self.redrives.note_commit()

    # The end:

    @property
    def is_draining(self) -> bool:
        """Whether the sink ends once it has delivered what was there when the drain began."""
        return self._is_draining

    def begin_drain(self) -> None:
        """End once everything is delivered."""
        self._is_draining = True
        self._news.set()

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
        self.deadline.set(seconds)
        self._news.set()

    # News:

    def wake(self) -> None:
        """Wake the sink: there may be something to read."""
        self._news.set()

    def request_redrives(self) -> None:
        """Look for requests to redrive soon."""
        self.redrives.request()
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


def _is_recent(began_at: float) -> bool:
    """Return whether what began then, by time.monotonic, may still be under way."""
    return time.monotonic() - began_at < MOST_ATTEMPT_SECONDS


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; return whether it was set in time."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return False
    return True
