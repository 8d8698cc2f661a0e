"""How much of each source one scan does: a share of each kind of work, and the rest in the next."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal

from tracesidecar.tail.file_table import File

TURN_SECONDS = 0.02
"""How long a scan goes on taking up work: each step of a sink may have to wait for one scan."""

ALONE = 10
"""How many times as long a scan takes if there is only one source, and none that would wait."""

_DECISION_SECONDS = 0.0003
"""What it is taken to cost at first to decide about a new file."""

_MEMORY = 0.9
"""How much of what a source has cost before still counts in the next scan."""

TURN_FILES = 128
"""How many files a scan looks at of a kind of work that comes again in every scan."""

LEAST = 4
"""So many pieces of each kind of work are done for each source in every scan."""

Work = Literal[
    "notice",
    "new",
    "known",
    "recheck",
    "original",
    "sibling",
    "directory",
    "entry",
    "arrival",
    "withheld",
    "copy",
    "deleted",
]
"""notice: announced paths. new: names that are looked at first. known: files that have changed.
recheck: files that changed lately. original: files that have changed, and of which a new one may be
a copy. sibling: files beside one whose end is looked for. directory: directories that are listed.
entry: directories that are entered. arrival: files that were kept as they arrived. withheld: such
files of a source at its limit. copy: files that may be copies in progress. deleted: files without a
name.
"""

_MET_FIRST: frozenset[Work] = frozenset({"notice", "new", "directory", "entry", "arrival"})

_ENDLESS: frozenset[Work] = frozenset({"recheck", "withheld"})
"""What comes again in every scan, and need not make the next one come sooner."""

_DECIDED_LATER: frozenset[Work] = frozenset({"new", "sibling", "arrival"})
"""What makes a new file known, about which the scan decides once it has met all of them."""


class Turns:
    """Says how long a scan goes on with a source, so that no source makes the others wait.

    Sources are given by their index. `is_urgent`: there is something among what is left for the
    next scan that nobody has looked at yet. All else may come again in every scan, as files do that
    are written to all the time.
    """

    def __init__(self, sources: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """Take turns between so many sources; `clock` is in seconds and never goes back."""
        self._clock = clock
        self._length = 1 if sources > 1 else ALONE
        self._is_bounded = False
        self._ends_at = 0.0
        self._owed_seconds = 0.0
        self._decision_seconds = _DECISION_SECONDS
        self._cost: defaultdict[int, float] = defaultdict(float)
        self._source, self._since = -1, 0.0
        self._done: defaultdict[tuple[int, Work], int] = defaultdict(int)
        self._reached: dict[tuple[int, Work], int] = {}
        self._behind: set[int] = set()
        self.is_urgent = False

    def begin(self, *, is_bounded: bool) -> None:
        """Begin a scan; one that is not bounded does everything."""
        self._is_bounded = is_bounded
        self._since = self._clock()
        self._ends_at = self._since + TURN_SECONDS * self._length
        self._owed_seconds = 0.0
        self._cost = defaultdict(float, {key: _MEMORY * cost for key, cost in self._cost.items()})
        self._done.clear()
        self._behind.clear()
        self.is_urgent = False

    def take(self, source: int, work: Work) -> bool:
        """Return whether a piece of work is done in this scan; if not, the next scan comes soon."""
        if not self._is_bounded:
            return True
        now = self._clock()
        self._cost[self._source] += now - self._since
        self._source, self._since = source, now
        if now + self._owed_seconds >= self._ends_at:
            done = self._done[source, work]
            if done >= LEAST:
                if work not in _ENDLESS:
                    self._behind.add(source)
                self.is_urgent = self.is_urgent or work in _MET_FIRST
                return False
            self._done[source, work] = done + 1
        if work in _DECIDED_LATER:
            self._owed_seconds += self._decision_seconds
            self._cost[source] += self._decision_seconds
        return True

    def has_time(self, source: int) -> bool:
        """Return whether this scan goes on with work of which it need not do a least share."""
        if not self._is_bounded or self._clock() + self._owed_seconds < self._ends_at:
            return True
        self._behind.add(source)
        self.is_urgent = True
        return False

    def note_decided(self, files: int, seconds: float) -> None:
        """Note how long it took to decide about so many new files.

        So the next scan takes up no more of them than there is time for.
        """
        if files >= LEAST:
            self._decision_seconds = (self._decision_seconds + seconds / files) / 2

    def order(self, sources: Iterable[int]) -> list[int]:
        """Return sources in the order of their turns: first what has cost least lately."""
        return sorted(sources, key=lambda source: (self._cost[source], source))

    @property
    def is_bounded(self) -> bool:
        """Whether this scan does a share of the work."""
        return self._is_bounded

    @property
    def has_more(self) -> bool:
        """Whether something of this scan is left for the next."""
        return bool(self._behind)

    def has_more_of(self, source: int) -> bool:
        """Return whether something of a source is left for the next scan."""
        return source in self._behind

    def postpone(self, source: int) -> None:
        """Note that something is left for a later scan, which need not come at once."""
        self._behind.add(source)

    def choose(self, files: Iterable[File], work: Work) -> list[File]:
        """Return the files whose turn it is, of work that comes again in every scan anyway."""
        chosen: list[File] = []
        by_source: defaultdict[int, list[File]] = defaultdict(list)
        for file in files:
            by_source[file.source].append(file)
        for source, candidates in by_source.items():
            if not self._is_bounded or len(candidates) <= TURN_FILES:
                chosen += candidates
                continue
            candidates.sort(key=_id)
            start = bisect_right(candidates, self._reached.get((source, work), 0), key=_id)
            turn = (candidates[start:] + candidates[:start])[:TURN_FILES]
            self._reached[source, work] = turn[-1].id
            chosen += turn
        return chosen


def _id(file: File) -> int:
    return file.id
