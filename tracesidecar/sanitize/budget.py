"""How much work may be spent on one line.

It is counted in steps, never in time, so that the same line always has the same result.
"""

from __future__ import annotations

OVER_BUDGET_RULE = "over-budget"
"""The rule that replaces what could no longer be examined."""
_STEPS_PER_LINE = 3000
_STEPS_PER_KIB = 300
_MOST_REPLACED = 256


class OverBudget(Exception):
    """A line needs more work than its size allows: the string being examined is replaced."""


class LineOverBudget(Exception):
    """Too many strings of a line would have to be replaced: the line is withheld."""


class StepLimitExceeded(Exception):
    """A chunk takes more steps than its caller allows at once; nothing is wrong with it."""


class LineLimitExceeded(Exception):
    """A chunk has more lines than its caller allows at once; nothing is wrong with it."""


class Budget:
    """The steps spent on the current line, each about a microsecond; unlimited until `begin`.

    A cached result must be stored with its steps, and they must be spent again when it is reused:
    what was seen before must not decide what is redacted.
    """

    def __init__(self) -> None:
        self.spent = 0
        self._before = 0
        self._most: int | None = None
        self._replaced = 0

    @property
    def total(self) -> int:
        """The steps spent on all lines so far."""
        return self._before + self.spent

    def begin(self, size: int) -> None:
        """Start a line or a text of `size` bytes.

        The limit is twice what the most expensive real line needs, ten times what nearly all need.
        """
        self._before += self.spent
        self.spent = 0
        self._most = _STEPS_PER_LINE + _STEPS_PER_KIB * size // 1024
        self._replaced = 0

    def spend(self, steps: int) -> None:
        """Spend steps; raise OverBudget if none are left."""
        self.spent += steps
        if self._most is not None and self.spent > self._most:
            raise OverBudget

    def count_replaced(self) -> None:
        """Count a string replaced unexamined; raise LineOverBudget if there are too many."""
        self._replaced += 1
        if self._replaced > _MOST_REPLACED:
            raise LineOverBudget
