"""Where one sink is in every segment, and which segments have something for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from tracesidecar.batch.builder import BatchSpec
from tracesidecar.deliver.delivery import Delivery
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.sinks import SinkOptions

TOGETHER_BYTES = 64 << 20
"""Sinks that are no further apart than this walk side by side; one that has a backlog walks alone.
"""
LEAD_BYTES = 1 << 20
"""So far ahead of a sink that is sending the caches still hold what it will want next."""
SENDING_SECONDS = 0.5
"""A sink that is ahead waits no longer than this for one that sends, or than its own last sending
took: slower ones read for themselves.
"""


@dataclass(slots=True)
class SinkState:
    """One sink's own way through the files.

    `committed` is what the journal has; `reading` runs ahead of it while a batch fills; `ready` are
    segments that may have more, in turn, with the time since when. `read_bytes` counts source bytes
    taken, less those that are read again; `is_filling`: a batch is being filled, `filled_at` is
    when that last ended, and `sending_seconds` how long the batch before then took to arrive.
    `target` limits a drain to what was there when it began: segment → size in bytes. `is_asked`:
    refused lines may have been asked for; `is_waiting`: some were for which it is too early.
    """

    options: SinkOptions
    delivery: Delivery
    form: BatchSpec
    committed: dict[int, Checkpoint]
    buffer_bytes: int
    reading: dict[int, Checkpoint] = field(default_factory=dict)
    ready: OrderedDict[int, float] = field(default_factory=OrderedDict)
    behind_since: dict[int, float] = field(default_factory=dict)
    target: dict[int, int] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    read_bytes: int = 0
    is_filling: bool = False
    filled_at: float = -SENDING_SECONDS
    sending_seconds: float = 0.0
    progressed_at: float = 0.0
    state: str = "connecting"
    held_bytes: int = 0
    is_asked: bool = True
    is_waiting: bool = False

    @property
    def name(self) -> str:
        """The sink's name."""
        return self.options.name

    def takes(self, source: str) -> bool:
        """Tell whether the sink wants this source."""
        return self.options.takes(source)

    def cursor(self, segment: int) -> Checkpoint:
        """Where to read next."""
        return self.reading.get(segment) or self.committed.get(segment, BEGINNING)

    def is_ahead_of(self, other: SinkState, now: float) -> bool:
        """Tell whether the other reads what this one has read a moment ago, or is about to: waiting
        for it costs less than cleaning twice.
        """
        lead = self.read_bytes - other.read_bytes
        if not other.ready or not 0 < lead <= TOGETHER_BYTES:
            return False
        is_sending = not other.delivery.circuit.failures and now - other.filled_at < max(
            SENDING_SECONDS, self.sending_seconds
        )
        return other.is_filling or (is_sending and lead > LEAD_BYTES)

    def has_passed(self, segment: int, offset: int) -> bool:
        """Tell whether the sink has committed beyond an offset."""
        return segment in self.committed and self.committed[segment].offset > offset

    def offer(self, segment: int, now: float) -> None:
        """There may be something new in the segment."""
        if segment not in self.ready:
            self.ready[segment] = now
        self.behind_since.setdefault(segment, now)

    def read_all(self, segment: int) -> None:
        """Nothing whole is left to read in the segment for now."""
        if segment not in self.reading:
            self.behind_since.pop(segment, None)

    def advance(self, reached: Mapping[int, Checkpoint], now: float) -> None:
        """The journal has these checkpoints now."""
        self.progressed_at = now
        for segment, checkpoint in reached.items():
            self.committed[segment] = checkpoint
            if self.reading.get(segment) == checkpoint:
                del self.reading[segment]
            if segment in self.ready:
                self.behind_since[segment] = self.ready[segment]
            else:
                self.behind_since.pop(segment, None)

    def rewind(self, now: float) -> None:
        """Forget what was read and not committed: it is read again."""
        for segment, at in self.reading.items():
            self.read_bytes -= at.offset - self.committed.get(segment, BEGINNING).offset
            self.offer(segment, now)
        self.reading.clear()
        self.held_bytes = 0

    def forget_all_but(self, known: Container[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self.committed = {segment: at for segment, at in self.committed.items() if segment in known}

    def is_over(self, segment: int) -> bool:
        """In a drain: what was there when it began has been read."""
        return self.target is not None and self.cursor(segment).offset >= self.target.get(
            segment, 0
        )
