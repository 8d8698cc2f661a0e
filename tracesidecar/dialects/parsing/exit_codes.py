"""The exit code of a command, as a member of a line or in what a tool says of it."""

from __future__ import annotations

import re

from tracesidecar.dialects.parsing.values import real

_SHOWN = 500
"""How much of the beginning and of the end is looked at: a shell's tool says the code there."""
_SAID = re.compile(
    r"^(?:Exit [Cc]ode:?|Process exited with code|<exited with exit code) (-?\d{1,10})(?=[\s>]|\Z)",
    re.MULTILINE,
)


def exit_code(value: object) -> int | None:
    """Return a whole number of 32 bits, which may be negative: -1 where a signal ended it."""
    number = real(value)
    if number is None or number != int(number) or not -(2**31) <= number < 2**32:
        return None
    return int(number)


def exit_code_in(said: str | None) -> int | None:
    """Return the exit code that the result of a shell's tool begins or ends with."""
    if said is None:
        return None
    found = _SAID.search(said[:_SHOWN]) or _SAID.search(said[-_SHOWN:])
    return exit_code(found[1]) if found is not None else None
