"""The findings of one poll, collected by everything that takes part in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracesidecar.progress import Progress
from tracesidecar.tail.reading.expansion import Expansion
from tracesidecar.tail.segments import Loss, LossReason, Remark, Rewrite, WarningKind
from tracesidecar.tail.turns import Turns


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Why a file cannot be read now, and since when, by the clock of the scans."""

    problem: str
    since: float


@dataclass(slots=True)
class ScanContext:
    """What has been found since the last scan was handed over.

    Readers add to it between two polls: the segments whose files they found `broken` (the next poll
    verifies those), and what they could not read. `unreadable` has the segments whose files cannot
    be read now; `withheld` those that must not be, and why. `expanded` has the archives
    that wait because they expand too much; None for those of which only a reader can say after a
    start. `unended` has the archives that were read
    to where they end for now, in mid-stream. If saving fails at the end of a poll, its findings
    stay for the next one. `awaits_notices`: whether files were lost is said once all notices of
    the time before have been read. Every piece of work is noted in `progress`, and `turns` says for
    how much of it there is time in this scan.
    """

    progress: Progress = field(default_factory=Progress)
    turns: Turns = field(default_factory=Turns)
    now: float = 0.0
    changed: dict[int, None] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    broken: dict[int, LossReason] = field(default_factory=dict)
    unreadable: dict[int, ReadFailure] = field(default_factory=dict)
    withheld: dict[int, WarningKind] = field(default_factory=dict)
    expanded: dict[int, Expansion | None] = field(default_factory=dict)
    unended: set[int] = field(default_factory=set)
    awaits_notices: bool = False
    remarks: dict[tuple[WarningKind, str], Remark] = field(default_factory=dict)
    announcements: list[Remark] = field(default_factory=list)

    def warn(self, kind: WarningKind, path: str, sentence: str) -> None:
        """Note something that an operator should know, and reads once."""
        self.remarks[kind, path] = Remark(kind, path, sentence)

    def note_unreadable(self, segment: int, problem: str) -> None:
        """Note that a segment's file cannot be read now."""
        former = self.unreadable.get(segment)
        since = self.now if former is None else former.since
        self.unreadable[segment] = ReadFailure(problem, since)

    def note_readable(self, segment: int) -> None:
        """Note that a segment's file was read, or has nothing to be read."""
        self.unreadable.pop(segment, None)

    def announce(self, kind: WarningKind, path: str, sentence: str) -> None:
        """Note an event that an operator should know of, each time that it happens."""
        self.announcements.append(Remark(kind, path, sentence))

    def clear(self) -> None:
        """Empty the findings after they have been handed over; what is broken stays."""
        self.changed, self.added, self.losses, self.remarks = {}, [], [], {}
        self.announcements = []
        self.rewrites, self.recovered = [], []
