"""What rejected lines take of the disk, by source, and which sources wait because of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tracesidecar.journal import Journal, QuarantinedLine
from tracesidecar.tail import ReachedLimit, SourceOptions
from tracesidecar.tail.tailer import Tailer


class RejectedBudget:
    """Finds the sources whose rejected lines take as much as `limits.rejected`.

    A line counts with its bytes, wherever these are: sealed, or in a file that we keep or would
    keep. A file that is deleted and kept for nothing else counts as a whole.
    New lines are added up; only when they seem to be too many is the whole quarantine read, because
    every sink rejects a line anew that the redaction has rejected.
    Lives in the worker thread.
    """

    def __init__(
        self, tailer: Tailer, journal: Journal, sources: Mapping[str, SourceOptions]
    ) -> None:
        """Take the sources by name."""
        self._tailer = tailer
        self._journal = journal
        self._sources = sources
        self._lines = Counter[tuple[str, int]]()
        self._added = Counter[str]()
        self._reached: tuple[ReachedLimit, ...] = ()

    @property
    def reached(self) -> tuple[ReachedLimit, ...]:
        """The sources that wait."""
        return self._reached

    @property
    def waiting(self) -> frozenset[str]:
        """The names of the sources that wait."""
        return frozenset(each.source for each in self._reached)

    def measure_lines(self) -> None:
        """Note that lines were redriven or dropped."""
        self._lines, self._added = Counter(self._journal.quarantine.measure()), Counter()
        self.judge()

    def add(self, lines: Iterable[QuarantinedLine]) -> None:
        """Note that lines were rejected."""
        for line in lines:
            self._lines[line.source, line.segment] += line.kept_bytes
            self._added[line.source] += line.kept_bytes
        self.judge()
        limits = {each.source: each.allowed for each in self._reached}
        if any(self._added[source] > allowed // 100 for source, allowed in limits.items()):
            self.measure_lines()

    def judge(self) -> None:
        """Find out again which sources wait: files may have been deleted."""
        if not self._lines:
            self._reached = ()
            return
        kept = self._tailer.measure_retained()
        used = Counter[str]()
        for (source, segment), size in self._lines.items():
            used[source] += max(size, kept.get(segment, 0))
        self._reached = tuple(
            ReachedLimit(name, "rejected", used[name], int(options.limits.rejected))
            for name, options in self._sources.items()
            if used[name] >= options.limits.rejected
        )
