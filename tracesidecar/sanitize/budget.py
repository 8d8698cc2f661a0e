"""How much may be done for one line: counted in steps, never in time, so that the same line always
comes to the same.
"""

from __future__ import annotations

OVER_BUDGET_RULE = "over-budget"
"""Cuts what could not be looked at any more."""
_STEPS_A_LINE = 3000
_STEPS_A_KIBIBYTE = 300
_MOST_REPLACED = 256


class OverBudget(Exception):
    """A line asks for more work than its size allows: what is being looked at is replaced."""


class LineOverBudget(Exception):
    """Too many strings of a line would have to be replaced: the line is held back."""


class Budget:
    """The steps of the line that is being looked at, each about a microsecond; without end until
    `begin`.

    Who remembers a result remembers its steps too, and spends them again: what was seen before must
    not decide what is cut.
    """

    def __init__(self) -> None:
        self.spent = 0
        self._most: int | None = None
        self._replaced = 0

    def begin(self, size: int) -> None:
        """Allow what a line (or a text) of so many bytes may cost: twice what the most laborious
        real one does, and ten times what nearly all do.
        """
        self.spent = 0
        self._most = _STEPS_A_LINE + _STEPS_A_KIBIBYTE * size // 1024
        self._replaced = 0

    def spend(self, steps: int) -> None:
        """Count steps; raise OverBudget when there are none left."""
        self.spent += steps
        if self._most is not None and self.spent > self._most:
            raise OverBudget

    def count_replaced(self) -> None:
        """Count a string that was replaced unseen; raise LineOverBudget when there are too many."""
        self._replaced += 1
        if self._replaced > _MOST_REPLACED:
            raise LineOverBudget
