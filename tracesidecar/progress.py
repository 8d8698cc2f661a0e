"""When the work last moved on, in whichever part: what tells slow from stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """The work that was going on is not wanted any more: nothing of it has been kept."""


class Progress:
    """Everything that reads, cleans or sends notes here each piece that is done.

    A piece is at most a directory, a MiB of a file or a part of a line, so that on the slowest
    machine not many seconds pass between two of them. Any thread may call.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds and never goes back."""
        self._clock = clock
        self._moved_at = clock()
        self._is_interrupted = False
        self._helpers: dict[int, float] = {}

    @property
    def moved_at(self) -> float:
        """When the last piece was done, or a helping thread was last at work, by the clock."""
        for ident, before in list(self._helpers.items()):
            used = measure_used_seconds(ident)
            if used > before and ident in self._helpers:
                self._helpers[ident] = used
                self.note()
        return self._moved_at

    @contextmanager
    def helping(self) -> Iterator[None]:
        """Count the processor time of this thread as progress during the block.

        For work that has no pieces, and that ends by itself.
        """
        ident = threading.get_ident()
        self._helpers[ident] = 0.0
        try:
            yield
        finally:
            del self._helpers[ident]
            self.note()

    def note(self) -> None:
        """Note that a piece is done."""
        self._moved_at = self._clock()

    def step(self) -> None:
        """Note that a piece is done; raise Interrupted if nobody wants the next one.

        For places where the caller can stop without keeping anything of what it has begun.
        """
        self._moved_at = self._clock()
        if self._is_interrupted:
            raise Interrupted

    def interrupt(self) -> None:
        """Let the next `step` raise: what is going on is not wanted any more."""
        self._is_interrupted = True

    def resume(self) -> None:
        """Let `step` no longer raise."""
        self._is_interrupted = False


def measure_used_seconds(ident: int) -> float:
    """Return how much processor time a thread has used; 0 where that cannot be known."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(ident))
    except (OSError, AttributeError):  # the thread has ended; or not on this system
        return 0.0
