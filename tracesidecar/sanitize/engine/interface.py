"""What every pattern engine offers: compile many patterns, then run them over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HIT_LIMIT = 1 << 17
"""A scan collects no more hits than this, so memory stays bounded whatever the input."""
_FEW_HITS = 1024
_BYTES_PER_HIT = 10


def hit_limit_for(size: int) -> int:
    """Return how many hits in `size` bytes are worth examining one by one.

    The limit is several times what the densest real lines produce.
    """
    return min(HIT_LIMIT, _FEW_HITS + size // _BYTES_PER_HIT)


class ScanPattern(NamedTuple):
    """An expression and the id that its hits carry; several patterns may share an id."""

    id: int
    expression: str


Hit = tuple[int, int]
"""(end offset, pattern id)."""


class TooManyHits(Exception):
    """The scan was stopped: the caller must treat everything as suspicious instead."""


class Scanner(Protocol):
    """A compiled set of patterns. For one thread at a time."""

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Return every offset at which a pattern ends, in any order.

        Raise TooManyHits past `limit` (None: the limit given when the scanner was compiled).
        """

    def find_first_hits(self, data: bytes) -> dict[int, int]:
        """Return each pattern id that occurs, with an offset before which none of its matches ends.

        The offset is 0 if the engine does not know a better one.
        """


class ScanEngine(Protocol):
    """Compiles patterns into scanners."""

    name: str
    reports_every_end: bool
    """Return False if only the leftmost of overlapping matches is reported."""

    @property
    def cache_trouble(self) -> str:
        """Why the cache of compiled databases cannot be trusted: a sentence, or empty."""

    def compile(
        self,
        name: str,
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Compile `patterns` over bytes, where a dot also matches a newline.

        `name` labels the compiled database in the cache. With `once` the caller uses only
        `find_first_hits`. `limit` is how many hits are collected at most. The scanner may still be
        compiling in another process when this returns; its first use then waits.
        """

    def wait(self) -> None:
        """Wait until all scanners compiled so far are ready."""
