"""Which new names are looked at now, which in a later scan, and which only when there is room."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.rotated_names import rank_in_family
from tracesidecar.tail.file_table import Directory, FileTable
from tracesidecar.tail.limits import ReachedLimit
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.turns import Turns

_MOST_NAMES = 10_000
"""How many names that wait are remembered of a source, to count them."""

_LARGEST_FAMILY = 64
"""So many rotated files of one name are looked at together, for only together they show which was
made of which.
"""


class Admission:
    """Admits new files: a share of each source in each scan, and no more than `limits.files`.

    What is beyond the limit is not remembered but by its directory, which is listed again once
    there is room.
    """

    def __init__(self, sources: Sequence[SourceOptions], files: FileTable, turns: Turns) -> None:
        self._sources = sources
        self._files = files
        self._turns = turns
        self._queues: defaultdict[int, dict[tuple[Directory, str], FileLocation]] = defaultdict(
            dict
        )
        self._withheld: defaultdict[int, dict[str, set[str]]] = defaultdict(dict)
        self._directories: Counter[int] = Counter()
        self._names: defaultdict[int, int] = defaultdict(int)

    @property
    def is_waiting(self) -> bool:
        """Return whether some names wait for their turn."""
        return any(self._queues.values())

    def begin_listing(self, directory: Directory) -> None:
        """Note that the names which are added next are all new ones of a directory."""
        for source in self._withheld:
            self._names[source] -= len(self._withheld[source].pop(directory.path, ()))

    def add(self, locations: Sequence[FileLocation]) -> None:
        """Take new names."""
        for location in sorted(locations, key=_find_family):
            source, queue = location.source or 0, self._queues[location.source or 0]
            if self._has_room(source, len(queue)):
                queue[location.directory, location.name] = location
            else:
                self.withhold(source, location)

    def take(self) -> Iterator[FileLocation]:
        """Yield the names whose turn it is, source by source."""
        for source, queue in sorted(self._queues.items()):
            last, together = None, 0
            while queue:
                key = next(iter(queue))
                family = _find_family(queue[key])[1:3]
                together = together + 1 if family == last else 0
                if not self._turns.take(source, "new") and not 0 < together < _LARGEST_FAMILY:
                    break
                last, location = family, queue.pop(key)
                if self._has_room(source):
                    yield location
                else:
                    self.withhold(source, location)

    def has_room(self, source: int) -> bool:
        """Return whether a source may have one more file."""
        return self._has_room(source)

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

    def _has_room(self, source: int, queued: int = 0) -> bool:
        return self._files.count(source) + queued < self._sources[source].limits.files


def _find_family(location: FileLocation) -> tuple[int, str, str, tuple[int, int], bool]:
    return location.source or 0, location.directory.path, *rank_in_family(location.name)
