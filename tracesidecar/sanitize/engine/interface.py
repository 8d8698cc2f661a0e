"""Many patterns over many bytes: the interface to the two engines that can do it in linear time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HIT_LIMIT = 1 << 17
"""More hits than this in one scan are not collected: memory stays bounded whatever the input."""
_FEW_HITS = 1024
_BYTES_A_HIT = 24


def most_hits(size: int) -> int:
    """Return how many hits in so many bytes are worth a look each: several times what the densest
    real lines have.
    """
    return min(HIT_LIMIT, _FEW_HITS + size // _BYTES_A_HIT)


class ScanPattern(NamedTuple):
    """An expression and the id that its hits carry; several patterns may share one."""

    id: int
    expression: str


Hit = tuple[int, int]
"""(end offset, pattern id)."""


class TooManyHits(Exception):
    """The scan was stopped: look at everything instead."""


class Scanner(Protocol):
    """A set of patterns, ready to run over bytes."""

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Every place where a pattern ends; raise TooManyHits past the limit (None: the scanner's
        own).
        """

    def find_first_hits(self, data: bytes) -> dict[int, int]:
        """Each pattern that occurs, with an offset at or before which no match of it ends (0 when
        unknown).
        """


class ScanEngine(Protocol):
    """Turns patterns into a scanner."""

    name: str
    reports_every_end: bool
    """False: of matches that overlap only the leftmost is reported."""

    def compile(
        self,
        name: str,
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Compile `patterns` for bytes (a dot also means a newline); `once`: only `first_hits` will
        be asked; `limit`: how many hits are collected.
        """

    def wait(self) -> None:
        """Return when all scanners made so far are ready; one that is used before waits for itself."""


def choose_engine(cache_directory: str | None) -> ScanEngine:
    """Hyperscan where it can be loaded, else RE2 alone, which finds the same and is slower."""
    try:
        from tracesidecar.sanitize.engine.hyperscan_engine import HyperscanEngine
    except ImportError:
        from tracesidecar.sanitize.engine.re2_engine import Re2Engine

        return Re2Engine()
    return HyperscanEngine(cache_directory)
