"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracesidecar.lake.coverage import Coverages


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be, or that will not stay: a short kind, where it is, and what was
    found.
    """

    kind: str
    where: str
    detail: str


@dataclass(slots=True)
class Proof:
    """It is one where there are no `problems`. `notes` are work under way, and remains of
    interrupted work that the next compaction removes.

    `objects`, `rows` and `bytes` are what is there and right; `duplicates` are rows that
    compactions folded into an equal event.
    """

    batches: int = 0
    compactions: int = 0
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    duplicates: int = 0
    coverages: Coverages = field(default_factory=Coverages)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Tell whether nothing is missing, altered or there twice."""
        return not self.problems

    def problem(self, kind: str, where: str, detail: str) -> None:
        """Note what should not be."""
        self.problems.append(Finding(kind, where, detail))

    def note(self, kind: str, where: str, detail: str) -> None:
        """Note what will not stay."""
        self.notes.append(Finding(kind, where, detail))
