"""Which new names are looked at, and which only when there is room."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.file_table import Directory, FileTable
from tracesidecar.tail.limits import ReachedLimit
from tracesidecar.tail.options import SourceOptions

_MOST_NAMES = 10_000
"""How many names that wait are remembered of a source, to count them."""


class Admission:
    """Admits new files and directories, of each source no more than `limits.files` of either.

    What is beyond the limit is not remembered but by its directory, which is listed again once
    there is room.
    """

    def __init__(self, sources: Sequence[SourceOptions], files: FileTable) -> None:
        self._sources = sources
        self._files = files
        self._withheld: defaultdict[int, dict[str, set[str]]] = defaultdict(dict)
        self._directories: Counter[int] = Counter()
        self._names: defaultdict[int, int] = defaultdict(int)

    def begin_listing(self, directory: Directory) -> None:
        """Note that the names which are added next are all new ones of a directory."""
        for source in self._withheld:
            self._names[source] -= len(self._withheld[source].pop(directory.path, ()))

    def admit(self, locations: Iterable[FileLocation]) -> Iterator[FileLocation]:
        """Yield the new names for which there is room when they are asked for."""
        for location in locations:
            source = location.source or 0
            if self.has_room(source):
                yield location
            else:
                self.withhold(source, location)

    def has_room(self, source: int) -> bool:
        """Return whether a source may have one more file."""
        return self._files.count(source) < self._sources[source].limits.files

    def has_room_for_directory(self, source: int) -> bool:
        """Return whether a source may have one more directory: as many as files."""
        return self._directories[source] < self._sources[source].limits.files

    def count_directory(self, source: int, change: int) -> None:
        """Note that a directory is walked for a source from now on (1), or no longer (-1)."""
        self._directories[source] += change

    def withhold(self, source: int, location: FileLocation) -> None:
        """Note a name that is looked at once there is room."""
        name = location.name
        names = self._withheld[source].setdefault(location.directory.path, set())
        if name not in names and self._names[source] < _MOST_NAMES:
            names.add(name)
            self._names[source] += 1

    def release(self) -> list[str]:
        """Return the directories in which names have waited for the room that is there now.

        A directory with very many names is not listed for each file that goes.
        """
        released: list[str] = []
        for source, folders in self._withheld.items():
            limit = self._sources[source].limits.files
            wanted = min(max(1, limit // 100), max(1, self._names[source]))
            used = max(self._files.count(source), self._directories[source])
            if folders and limit - used >= wanted:
                released += folders
                folders.clear()
                self._names[source] = 0
        return released

    def list_reached(self) -> Iterator[ReachedLimit]:
        """Yield the sources of which names wait for room."""
        for source, folders in sorted(self._withheld.items()):
            if folders:
                options = self._sources[source]
                yield ReachedLimit(
                    options.name,
                    "files",
                    max(self._files.count(source), self._directories[source]),
                    options.limits.files,
                    max(1, self._names[source]),
                    min(folders),
                )
