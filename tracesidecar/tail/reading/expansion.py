"""How far the archives of a source may expand, each by its own size, and some of them further."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

LINE_BYTES = 64
"""So much counts for a line at least, on average: its row in a lake has ids and digests however
short the line is, and no compression makes these smaller."""

BLOCK_BYTES = 4 << 10
"""So much counts as input at least: a file takes no less of the disk."""

SMALL_ARCHIVE_BYTES = 32 << 10
"""So much may count as the input of a smaller archive: one line of 3 MiB, all of one character, is
no trap. But a thousand of them are, so it is allowed to some archives an hour only."""

SMALL_ARCHIVES = 60

_REFILL_SECONDS = 3600.0


class Expansion(NamedTuple):
    """How many times its input the content of an archive is that waits.

    `is_postponed`: it goes on once its source has a turn for it.
    """

    times: int
    is_postponed: bool


class ExpansionLimit:
    """What the archives of a source may expand to. Archives are named by their segments."""

    def __init__(self, ratio: int, now: Callable[[], float]) -> None:
        """Let the content count `ratio` times the input. `now` is a clock in seconds."""
        self._ratio = ratio
        self._now = now
        self._turns = float(SMALL_ARCHIVES)
        self._counted_at = now()
        self._allowed: set[int] = set()

    @property
    def has_turn(self) -> bool:
        """Return whether one more small archive may expand far now."""
        now = self._now()
        gained = SMALL_ARCHIVES * (now - self._counted_at) / _REFILL_SECONDS
        self._turns, self._counted_at = min(SMALL_ARCHIVES, self._turns + gained), now
        return self._turns >= 1

    def find_limit(self, archive: int, input_bytes: int, counted: int) -> int:
        """Return how much the content of an archive may count that would count so much."""
        own = self._ratio * max(input_bytes, BLOCK_BYTES)
        if counted <= own or input_bytes >= SMALL_ARCHIVE_BYTES:
            return own
        if archive not in self._allowed:
            if not self.has_turn:
                return own
            self._turns -= 1
            self._allowed.add(archive)
        return self._ratio * SMALL_ARCHIVE_BYTES

    def is_postponed(self, archive: int, input_bytes: int) -> bool:
        """Return whether an archive that has reached its limit may go on with a turn."""
        return input_bytes < SMALL_ARCHIVE_BYTES and archive not in self._allowed
