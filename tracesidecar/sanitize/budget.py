"""How much work may be spent on one line.

It is counted in steps, never in time, so that the same line always has the same result. Each part
of the redaction prices its steps by what they take on a usual machine.
"""

from __future__ import annotations

_STEPS_PER_LINE = 150_000
_STEPS_PER_KIB = 250
"""More than real lines need, such as 6,000 members with a secret each, or a log of 1 MB with a
token in each line."""


class OverBudget(Exception):
    """A line needs more work than its size allows: it is withheld, never half of it."""


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

    @property
    def total(self) -> int:
        """The steps spent on all lines so far."""
        return self._before + self.spent

    def begin(self, size: int) -> int:
        """Start a line or a text of `size` bytes; return how many steps it has."""
        self._before += self.spent
        self.spent = 0
        self._most = most = _STEPS_PER_LINE + _STEPS_PER_KIB * size // 1024
        return most

    def spend(self, steps: int) -> None:
        """Spend steps; raise OverBudget if none are left."""
        self.spent += steps
        if self._most is not None and self.spent > self._most:
            raise OverBudget

    def reserve(self, steps: int) -> None:
        """Keep this many steps for later, negative: give them back."""
        if self._most is not None:
            self._most -= steps
