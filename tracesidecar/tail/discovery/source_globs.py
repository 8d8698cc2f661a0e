"""Which source wants a path: the include and exclude globs of all sources together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tracesidecar.tail.file_table import Claims, Directory
from tracesidecar.tail.glob import Exclusions, GlobPattern, Positions
from tracesidecar.tail.options import SourceOptions, Symlinks

Root = Literal["root"]


class SourceGlobs:
    """Matches paths and directories; where several sources match, the first one has the file."""

    def __init__(self, sources: Sequence[SourceOptions]) -> None:
        self._patterns = {
            (s, p): GlobPattern.parse(glob)
            for s, source in enumerate(sources)
            for p, glob in enumerate(source.include)
        }
        self._exclusions = [Exclusions(source.exclude) for source in sources]
        self._symlinks: list[Symlinks] = [source.symlinks for source in sources]
        self._with_family = [source.rotated == "family" for source in sources]

    @property
    def roots(self) -> list[str]:
        """Return the directories that the patterns begin in."""
        return sorted({pattern.root for pattern in self._patterns.values()})

    def root_of(self, directory: str) -> str | None:
        """Return the deepest root that a directory is, or is below; None if there is none."""
        roots = [
            root
            for root in self.roots
            if directory == root or directory.startswith(root.rstrip("/") + "/")
        ]
        return max(roots, key=len, default=None)

    def claims_at(self, path: str) -> Claims:
        """Return the claims of the patterns that begin in a directory."""
        return {
            key: pattern.start() for key, pattern in self._patterns.items() if pattern.root == path
        }

    def claims_below(self, directory: Directory, name: str, of: Claims | None = None) -> Claims:
        """Return the claims of a directory's patterns on one of its sub-directories.

        `of` are the directory's claims that count, by default all.
        """
        claims: dict[tuple[int, int], Positions] = {}
        path = directory.locate(name)
        for key, positions in (directory.claims if of is None else of).items():
            below = self._patterns[key].descend(positions, name)
            if below and not self._exclusions[key[0]].cover(path):
                claims[key] = below
        return claims

    def claims_on_link(self, directory: Directory, name: str) -> dict[Symlinks | Root, Claims]:
        """Return the claims of a directory's patterns that a symbolic link in it may serve.

        They are grouped by the links that their sources follow; "root" are the patterns without a
        wildcard, for which the link belongs to the root, unless the source follows all links.
        """
        groups: dict[Symlinks | Root, Claims] = {}
        path = directory.locate(name)
        for key, positions in directory.claims.items():
            pattern, excluded = self._patterns[key], self._exclusions[key[0]]
            is_wanted = pattern.accepts(positions, name) and path not in excluded
            if is_wanted or (pattern.descend(positions, name) and not excluded.cover(path)):
                symlinks = self._symlinks[key[0]]
                is_root = pattern.is_literal and symlinks != "follow"
                groups.setdefault("root" if is_root else symlinks, {})[key] = positions
        return groups

    def source_in(self, directory: Directory, name: str, of: Claims | None = None) -> int | None:
        """Return the first source that wants a file of that name in a walked directory.

        `of` are the directory's claims that count, by default all.
        """
        wanted = sorted(
            key[0]
            for key, positions in (directory.claims if of is None else of).items()
            if self._patterns[key].accepts(positions, name)
        )
        path = directory.locate(name) if wanted else ""
        return next((source for source in wanted if path not in self._exclusions[source]), None)

    def takes_family(self, source: int, path: str) -> bool:
        """Return whether a source takes rotated files that no glob matches, and this one."""
        return self._with_family[source] and path not in self._exclusions[source]

    def excludes(self, path: str) -> bool:
        """Return whether a source excludes a path."""
        return any(path in exclusions for exclusions in self._exclusions)

    def source_of(self, path: str) -> int | None:
        """Return the first source whose globs match a path, whether it is walked or not."""
        sources = sorted(
            source for (source, _), pattern in self._patterns.items() if pattern.reaches(path)
        )
        return next((source for source in sources if path not in self._exclusions[source]), None)

    def first_root_of(self, source: int) -> str:
        """Return the directory that a source's first pattern begins in."""
        return self._patterns[source, 0].root

    def is_below(self, source: int, path: str) -> bool:
        """Return whether a path is below a directory that a pattern of the source begins in."""
        return any(
            path.startswith(f"{pattern.root.rstrip('/')}/")
            for (number, _), pattern in self._patterns.items()
            if number == source
        )
