"""Scan with google-re2 alone, on platforms without a Hyperscan wheel.

It finds the same secrets and takes far longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tracesidecar.sanitize.engine.interface import HIT_LIMIT, Hit, Scanner, ScanPattern, TooManyHits
from tracesidecar.sanitize.engine.re2_patterns import Re2Pattern

_LONG_MATCH = 24
"""Hyperscan reports every possible end of a match, RE2 only the last. For a longer match an
additional hit is reported this many bytes after its start, as one of the earlier ends would be."""


class Re2Scanner:
    """One automaton for all patterns that share an id."""

    def __init__(self, patterns: Iterable[ScanPattern], limit: int) -> None:
        self._limit = limit
        ordered = sorted(patterns, key=lambda pattern: pattern.id)
        self._patterns = [
            (key, _union(group)) for key, group in groupby(ordered, key=lambda pattern: pattern.id)
        ]

    def find_hits(self, data: bytes, limit: int | None = None) -> list[Hit]:
        """Return where the patterns match; raise TooManyHits past the limit."""
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
        """Return each pattern id that occurs, with offset 0.

        RE2 reports the leftmost match, which need not be the one that ends first.
        """
        return {key: 0 for key, pattern in self._patterns if pattern.search(data) is not None}


class Re2Engine:
    """Compiles scanners; each automaton is built on first use."""

    name = "re2"
    reports_every_end = False
    cache_trouble = ""

    def compile(
        self,
        name: str,  # noqa: ARG002 - part of the interface
        patterns: Sequence[ScanPattern],
        *,
        once: bool = False,  # noqa: ARG002 - part of the interface
        limit: int = HIT_LIMIT,
    ) -> Scanner:
        """Join the patterns of each id into one."""
        return Re2Scanner(patterns, limit)

    def wait(self) -> None:
        """Return immediately: nothing is compiled in the background."""


def _union(patterns: Iterable[ScanPattern]) -> Re2Pattern:
    return Re2Pattern("|".join(f"(?:{pattern.expression})" for pattern in patterns), is_binary=True)
