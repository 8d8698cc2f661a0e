"""A mistake in the configuration, told in one sentence with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Where a value stands in the document: `("sink", 0, "batch", "age")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the key and what is wrong with it.

    The message never holds a credential's value.
    """

    path: KeyPath
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or a warning as it is told: `line` is 0 where the configuration is not a file."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


def dotted(path: KeyPath) -> str:
    """Write a key path as people write it, without indexes: the line tells which block is meant."""
    return ".".join(part for part in path if isinstance(part, str))


def place(problem: Problem, file: str, lines: Mapping[KeyPath, int] | None) -> Finding:
    """Add file and line: that of the key, or of the nearest block that holds it.

    `lines` is None where there is no file.
    """
    if lines is None:
        return Finding(file, 0, dotted(problem.path), problem.message)
    path = problem.path
    while path and path not in lines:
        path = path[:-1]
    return Finding(file, lines.get(path, 1), dotted(problem.path), problem.message)
