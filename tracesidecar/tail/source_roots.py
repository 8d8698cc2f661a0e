"""Where a file is below the roots of its source, whatever these are called on this host."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tracesidecar.tail.glob import GlobPattern


class SourceRoots:
    """The directories in which the includes of a source begin, in their order."""

    def __init__(self, include: Sequence[str]) -> None:
        self._roots = tuple(dict.fromkeys(GlobPattern.parse(glob).root for glob in include))

    def locate(self, path: str) -> tuple[int, str] | None:
        """Return the number of the first root that a file is below, and its folder in there.

        The folder is relative, empty for a file in the root itself. None if there is no such root.
        """
        folder = os.path.dirname(path)
        for number, root in enumerate(self._roots):
            if folder == root:
                return number, ""
            prefix = f"{root.rstrip('/')}/"
            if folder.startswith(prefix):
                return number, folder.removeprefix(prefix)
        return None
