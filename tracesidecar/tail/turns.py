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

TURN_FILES = 128
"""How many files a scan looks at of a kind of work that comes again in every scan."""

_LEAST = 4
"""So many pieces of each kind of work are done for each source in every scan."""

Work = Literal[
    "notice",
    "new",
    "known",
    "recheck",
    "sibling",
    "directory",
    "entry",
    "arrival",
    "copy",
    "deleted",
]
"""notice: announced paths. new: names that are looked at first. known: files that have changed.
recheck: files that changed lately. sibling: files beside one whose end is looked for. directory:
directories that are listed. entry: directories that are entered. arrival: files that were kept as
they arrived. copy: files that may be copies in progress. deleted: files without a name.
"""

_MET_FIRST: frozenset[Work] = frozenset({"notice", "new", "directory", "entry", "arrival"})


class Turns:
    """Says how long a scan goes on with a source, so that no source makes the others wait.

    Sources are given by their index. `has_more`: something of this scan is left for the next.
    `is_urgent`: there is something among it that nobody has looked at yet. All else may come again
    in every scan, as files do that are written to all the time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds and never goes back."""
        self._clock = clock
        self._is_bounded = False
        self._ends_at = 0.0
        self._done: defaultdict[tuple[int, Work], int] = defaultdict(int)
        self._reached: dict[tuple[int, Work], int] = {}
        self.has_more = False
        self.is_urgent = False

    def begin(self, *, is_bounded: bool) -> None:
        """Begin a scan; one that is not bounded does everything."""
        self._is_bounded = is_bounded
        self._ends_at = self._clock() + TURN_SECONDS
        self._done.clear()
        self.has_more = self.is_urgent = False

    def take(self, source: int, work: Work) -> bool:
        """Return whether a piece of work is done in this scan; if not, the next scan comes soon."""
        if not self._is_bounded:
            return True
        if self._clock() < self._ends_at:
            return True
        done = self._done[source, work]
        if done >= _LEAST:
            self.has_more = self.has_more or work != "recheck"  # which never ends
            self.is_urgent = self.is_urgent or work in _MET_FIRST
            return False
        self._done[source, work] = done + 1
        return True

    @property
    def is_bounded(self) -> bool:
        """Whether this scan does a share of the work."""
        return self._is_bounded

    def postpone(self) -> None:
        """Note that something is left for a later scan, which need not come at once."""
        self.has_more = True

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
