"""Whose turn it is to be read: source by source, by what each has cost, and file by file within."""

from __future__ import annotations

from collections import OrderedDict

FILE_BYTES = 32 << 10
"""What a turn costs beside its bytes: opening a file takes as long as reading this much."""


class FairQueue:
    """Segments that are ready, each with the time since when.

    The next one is of the source that has cost least so far, so that neither very many files of one
    nor very large ones make another wait. A source that had nothing to read has saved nothing up.
    `sources` are those that have segments which are ready, and are not paused.
    """

    def __init__(self) -> None:
        self.sources = frozenset[str]()
        self._ready: dict[str, OrderedDict[int, float]] = {}
        self._sources: dict[int, str] = {}
        self._cost: dict[str, int] = {}
        self._paused: frozenset[str] = frozenset()

    @property
    def has_several_sources(self) -> bool:
        """Whether segments of more than one source have been ready so far."""
        return len(self._cost) > 1

    def pause(self, sources: frozenset[str]) -> None:
        """Give these sources no turn until they go on."""
        self._paused = sources
        self._look_for_next()

    def __contains__(self, segment: int) -> bool:
        return self.since(segment) is not None

    def since(self, segment: int) -> float | None:
        """Return since when a segment is ready, None if it is not."""
        waiting = self._ready.get(self._sources.get(segment, ""))
        return None if waiting is None else waiting.get(segment)

    def add(self, segment: int, since: float, source: str | None = None) -> None:
        """Put a segment at the end of its source's; the source is known from the second time on."""
        if source is not None:
            self._sources[segment] = source
        name = self._sources[segment]
        waiting = self._ready.get(name)
        if waiting is None:
            least = min((self._cost[other] for other in self._ready), default=0)
            self._cost[name] = max(self._cost.get(name, 0), least)
            waiting = self._ready[name] = OrderedDict()
            self._look_for_next()
        waiting[segment] = since

    def pop(self) -> tuple[int, float]:
        """Take the next segment; return it with the time since when it was ready."""
        # of those that have cost the same, the one that became ready last has waited for the others
        ready = (source for source in reversed(self._ready) if source not in self._paused)
        source = min(ready, key=self._cost.__getitem__)
        waiting = self._ready[source]
        found = waiting.popitem(last=False)
        if not waiting:
            del self._ready[source]
            self._look_for_next()
        self._cost[source] += FILE_BYTES
        return found

    def charge(self, segment: int, read_bytes: int) -> None:
        """Note what was read in the turn of a segment."""
        self._cost[self._sources[segment]] += read_bytes

    def forget_all_but(self, segments: frozenset[int]) -> None:
        """Drop what is remembered of other segments."""
        self._sources = {
            segment: source
            for segment, source in self._sources.items()
            if segment in segments or segment in self
        }

    def _look_for_next(self) -> None:
        self.sources = frozenset(self._ready) - self._paused
