"""The table of `make bench`: its rows, and how much is measured for them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured: a quick run has the same rows from less data.

    The window of a full run is longer than 30 s, within which even the quietest file is checked.
    """

    repeats: int
    generated_bytes: int
    real_bytes: int
    quiet_files: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: all values of one measurement in `unit`, and its goal if it has one.

    `is_floor`: the goal is the least that is wanted, not the most.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None
    is_floor: bool = False

    def reaches_goal(self) -> bool:
        """Return whether the median is as good as its goal."""
        if self.goal is None:
            return True
        median = statistics.median(self.values)
        return median >= self.goal if self.is_floor else median <= self.goal

    def text(self) -> str:
        """Write the row as a line of the table."""
        spread = f"{min(self.values):.2f} - {max(self.values):.2f}"
        median = statistics.median(self.values)
        measured = f"{self.name:44} {median:9.2f}  {spread:18} {self.unit:18}"
        if self.goal is None:
            return measured.rstrip()
        sign, answer = "≥" if self.is_floor else "≤", "yes" if self.reaches_goal() else "NO"
        return f"{measured} {sign} {self.goal:<6g} {answer}"
