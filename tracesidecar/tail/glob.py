"""Globs for a walk: which directories can hold a match, and which names in them match."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

Positions = frozenset[int]
"""Which components of a pattern the next name may match."""

_MAGIC = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")


def escape_glob(path: str) -> str:
    """Return the pattern that matches this path and no other: `*`, `?` and `[` in brackets."""
    return _MAGIC.sub(r"[\g<0>]", path)


def unescape_glob(pattern: str) -> str:
    """Return the path that a pattern without wildcards matches."""
    return _ESCAPED.sub(r"\1", pattern)


def _has_wildcard(name: str) -> bool:
    return _MAGIC.search(_ESCAPED.sub("", name)) is not None


@dataclass(frozen=True, slots=True)
class GlobPattern:
    """One include glob: its fixed directory, and the components after that (None for `**`).

    One that `is_literal` has no wildcard: it is the path of one file.
    """

    root: str
    components: tuple[re.Pattern[str] | None, ...]
    is_literal: bool = False

    @classmethod
    def parse(cls, glob: str) -> GlobPattern:
        """Parse a glob; a relative one begins in the working directory."""
        names = os.path.abspath(glob).split("/")[1:]
        fixed = next(
            (index for index, name in enumerate(names) if _has_wildcard(name)), len(names) - 1
        )
        components = tuple(
            None if name == "**" else re.compile(fnmatch.translate(name)) for name in names[fixed:]
        )
        is_literal = not any(map(_has_wildcard, names))
        return cls("/" + unescape_glob("/".join(names[:fixed])), components, is_literal)

    def start(self) -> Positions:
        """Return the positions at the root."""
        return self._close_over({0})

    def descend(self, positions: Positions, name: str) -> Positions:
        """Return the positions in the sub-directory `name`, none if nothing below it can match."""
        further = set()
        for position in positions:
            component = self.components[position]
            if component is None:
                further.add(position)
            elif component.match(name) and position + 1 < len(self.components):
                further.add(position + 1)
        return self._close_over(further)

    def accepts(self, positions: Positions, name: str) -> bool:
        """Return whether a file of that name matches."""
        last = len(self.components) - 1
        if last not in positions:
            return False
        component = self.components[last]
        return component is None or component.match(name) is not None

    def reaches(self, path: str) -> bool:
        """Return whether a whole path matches."""
        if not path.startswith(self.root.rstrip("/") + "/"):
            return False
        *directories, name = path.removeprefix(self.root).lstrip("/").split("/")
        positions = self.start()
        for directory in directories:
            positions = self.descend(positions, directory)
        return self.accepts(positions, name)

    def _close_over(self, positions: set[int]) -> Positions:
        closed = set(positions)
        for position in positions:
            while self.components[position] is None and position + 1 < len(self.components):
                position += 1  # noqa: PLW2901 - `**` also matches no directory at all
                closed.add(position)
        return frozenset(closed)


class Exclusions:
    """Exclude globs, matched against whole paths; a relative one may begin in any directory."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._patterns = [
            GlobPattern.parse(glob if glob.startswith("/") else f"/**/{glob.removeprefix('./')}")
            for glob in globs
        ]

    def __contains__(self, path: str) -> bool:
        return any(pattern.reaches(path) for pattern in self._patterns)

    def cover(self, directory: str) -> bool:
        """Return whether everything below the directory is excluded."""
        return any(
            pattern.components[-1] is None and pattern.reaches(f"{directory}/.")
            for pattern in self._patterns
        )
