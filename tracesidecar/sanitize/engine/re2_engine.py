"""The engine for platforms without a Hyperscan wheel: google-re2 alone.

It finds the same and takes far longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tracesidecar.sanitize.engine.interface import HIT_LIMIT, Hit, Scanner, ScanPattern, TooManyHits
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern

_LONG_MATCH = 24
"""Hyperscan reports every end of a match, RE2 the last one: behind so many bytes it gets one of the
earlier ends too.
"""


class Re2Scanner:
    """One automaton for all the patterns that share an id."""

    def __init__(self, patterns: Iterable[ScanPattern], limit: int) -> None:
        self._limit = limit
        ordered = sorted(patterns, key=lambda pattern: pattern.id)
        self._patterns = [
            (key, _union(group)) for key, group in groupby(ordered, key=lambda pattern: pattern.id)
        ]

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Where the patterns match; raise TooManyHits past the limit."""
        found: list[Hit] = []
        limit = self._limit if limit is None else limit
        for key, pattern in self._patterns:
            for match in pattern.finditer(data):
                start, end = match.span()
                found.append((end, key))
                if end - start > _LONG_MATCH:
                    found.append((start + _LONG_MATCH, key))
                if len(found) > limit:
                    raise TooManyHits
        return found

    def find_first_hits(self, data: bytes) -> dict[int, int]:
        """Each pattern that occurs; RE2's first match need not be the one that ends first, so no
        offset is promised.
        """
        return {key: 0 for key, pattern in self._patterns if pattern.search(data) is not None}


class Re2Engine:
    """Makes scanners; each automaton is built on first use."""

    name = "re2"
    reports_every_end = False

    def compile(  # `name` and `once` are the interface's
        self,
        name: str,  # noqa: ARG002
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,  # noqa: ARG002
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Join the patterns of each id."""
        return Re2Scanner(patterns, limit)

    def wait(self) -> None:
        """Return at once."""


def _union(patterns: Iterable[ScanPattern]) -> Re2Pattern:
    return Re2Pattern("|".join(f"(?:{pattern.expression})" for pattern in patterns), is_binary=True)
