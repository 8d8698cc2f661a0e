"""The table of `make bench`: its rows, and how much is measured for them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured: a quick run has the same rows with less behind them.

    A full window is longer than the 30 s in which even the quietest file is looked at once.
    """

    repeats: int
    generated_bytes: int
    real_bytes: int
    quiet_files: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: all values of one measurement, in `unit`, against its goal where it
    has one.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None
    is_floor: bool = False

    def reached(self) -> bool:
        """Tell whether the median is as good as its goal."""
        if self.goal is None:
            return True
        median = statistics.median(self.values)
        return median >= self.goal if self.is_floor else median <= self.goal

    def text(self) -> str:
        """Write the row as a line of the table."""
        spread = f"{min(self.values):.2f} - {max(self.values):.2f}"
        measured = (
            f"{self.name:44} {statistics.median(self.values):9.2f}  {spread:18} {self.unit:18}"
        )
        return (
            measured.rstrip()
            if self.goal is None
            else f"{measured} {'≥' if self.is_floor else '≤'} {self.goal:<6g} {'yes' if self.reached() else 'NO'}"
        )
