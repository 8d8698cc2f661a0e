"""A mistake in the configuration: one sentence with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""The path of a value in the document: `("sink", 0, "batch", "age")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the key and what is wrong with it.

    The message never holds a credential's value. `may_pass`: a file cannot be read just now, and
    nobody has to change anything.
    """

    path: KeyPath
    message: str
    may_pass: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class LocatedProblem:
    """A problem or warning as it is reported. `line` is 0 if the configuration is not a file."""

    file: str
    line: int
    key: str
    message: str
    may_pass: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


def join_key_path(path: KeyPath) -> str:
    """Write a key path without indexes: the line shows which block is meant."""
    return ".".join(part for part in path if isinstance(part, str))


def locate_problem(
    problem: Problem, file: str, lines: Mapping[KeyPath, int] | None
) -> LocatedProblem:
    """Add file and line: that of the key, or of the nearest block around it.

    `lines` is None if there is no file.
    """
    if lines is None:
        line = 0
    else:
        path = problem.path
        while path and path not in lines:
            path = path[:-1]
        line = lines.get(path, 1)
    key = join_key_path(problem.path)
    return LocatedProblem(file, line, key, problem.message, may_pass=problem.may_pass)
