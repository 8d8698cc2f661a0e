"""The paths that change notices have named and nobody has looked at yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.turns import Turns


class Announced:
    """Gives each source its turn: the notices of one may be very many."""

    def __init__(self, directories: WalkedDirectories) -> None:
        self._directories = directories
        self._paths: defaultdict[int, dict[str, None]] = defaultdict(dict)

    def __contains__(self, path: str) -> bool:
        return any(path in paths for paths in self._paths.values())

    def add(self, paths: Iterable[str]) -> None:
        """Take paths, each after those of its source that wait already."""
        for path in paths:
            self._paths[self._directories.find_source(path)][path] = None

    def take(self, turns: Turns) -> Iterator[str]:
        """Yield the paths whose turn it is."""
        for source in turns.order(self._paths):
            paths = self._paths[source]
            while paths and turns.take(source, "notice"):
                path = next(iter(paths))
                del paths[path]
                yield path

    def clear(self) -> None:
        """Forget all paths: everything has been looked at."""
        self._paths.clear()
