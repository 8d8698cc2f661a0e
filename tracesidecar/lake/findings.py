"""What a verification found: the counts, and every problem."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracesidecar.lake.coverage import Coverages

MOST_FINDINGS = 1000
"""So many problems, and so many notes, are told: whoever may write to a store may plant millions.
"""


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """A problem, or a temporary state: a short kind, where it is, and what was found."""

    kind: str
    where: str
    detail: str


@dataclass(slots=True)
class Proof:
    """What a verification found; the store is proved to be complete if there are no `problems`.

    Of `problems` and `notes` the first ones are kept, and all are counted.
    `notes` are work in progress and leftovers of interrupted work, which the next compaction
    removes. `objects`, `rows` and `bytes` count what is stored and correct; `duplicates` are rows
    that compactions dropped because their event has another row.
    """

    batches: int = 0
    compactions: int = 0
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    duplicates: int = 0
    coverages: Coverages = field(default_factory=Coverages)
    problems: list[StoreFinding] = field(default_factory=list)
    notes: list[StoreFinding] = field(default_factory=list)
    problem_count: int = 0
    note_count: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing is missing, altered or stored twice."""
        return not self.problem_count

    def add_problem(self, kind: str, where: str, detail: str) -> None:
        """Add something that is wrong."""
        self.problem_count += 1
        if len(self.problems) < MOST_FINDINGS:
            self.problems.append(StoreFinding(kind, where, detail))

    def add_note(self, kind: str, where: str, detail: str) -> None:
        """Add a temporary state."""
        self.note_count += 1
        if len(self.notes) < MOST_FINDINGS:
            self.notes.append(StoreFinding(kind, where, detail))
