"""Which new names are looked at now, which in a later scan, and which only when there is room."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tracesidecar.rotation import rank_in_family
from tracesidecar.tail.discovery.location import FileLocation
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


class _NewNames:
    """The new names of a directory that wait, the rotated files of one name together."""

    def __init__(self) -> None:
        self._in_order: list[tuple[str, tuple[int, int], bool, str]] = []
        self._locations: dict[str, FileLocation] = {}

    def __len__(self) -> int:
        return len(self._locations)

    def add(self, location: FileLocation) -> bool:
        """Take a name; return False if it waits already."""
        name = location.name
        if name in self._locations:
            return False
        self._locations[name] = location
        heapq.heappush(self._in_order, (*rank_in_family(name), name))
        return True

    @property
    def family(self) -> str:
        """The name from which the next one was rotated, or that itself."""
        return self._in_order[0][0]

    def pop(self) -> FileLocation:
        """Return the next one, which no longer waits."""
        return self._locations.pop(heapq.heappop(self._in_order)[3])


class Admission:
    """Admits new files: a share of each source in each scan, and no more than `limits.files`.

    What is beyond the limit is not remembered but by its directory, which is listed again once
    there is room. Of a directory that is being listed, nothing is admitted before the end: its
    rotated files have to be known together.
    """

    def __init__(self, sources: Sequence[SourceOptions], files: FileTable, turns: Turns) -> None:
        self._sources = sources
        self._files = files
        self._turns = turns
        self._queues: defaultdict[int, dict[Directory, _NewNames]] = defaultdict(dict)
        self._queued: Counter[int] = Counter()
        self._being_listed: dict[Directory, defaultdict[int, set[str]]] = {}
        self._withheld: defaultdict[int, dict[str, set[str]]] = defaultdict(dict)
        self._directories: Counter[int] = Counter()
        self._names: defaultdict[int, int] = defaultdict(int)

    def is_queued(self, directory: Directory) -> bool:
        """Return whether new names of a directory wait for their turn."""
        return directory in self._queues[directory.source]

    def begin_listing(self, directory: Directory) -> None:
        """Note that the names which are added until the end are all new ones of a directory."""
        self._being_listed[directory] = defaultdict(set)

    def end_listing(self, directory: Directory) -> None:
        """Note that all new names of a directory are known, or that it is gone.

        What is withheld now is what was withheld meanwhile: nothing else is there any more.
        """
        met = self._being_listed.pop(directory, None)
        if met is None:
            return
        for source in self._withheld.keys() | met.keys():
            self._names[source] -= len(self._withheld[source].pop(directory.path, ()))
            if source in met:
                self._withheld[source][directory.path] = met[source]
                self._names[source] += len(met[source])

    def add(self, locations: Iterable[FileLocation]) -> None:
        """Take new names."""
        for location in sorted(locations, key=lambda location: location.directory.path):
            source, directory = location.source or 0, location.directory
            if not self._has_room(source, self._queued[source]):
                self.withhold(source, location)
                continue
            names = self._queues[source].get(directory)
            if names is None:
                names = self._queues[source][directory] = _NewNames()
            self._queued[source] += names.add(location)

    def take(self) -> Iterator[FileLocation]:
        """Yield the names whose turn it is, source by source."""
        for source in self._turns.order(self._queues):
            queue = self._queues[source]
            for directory in list(queue):
                if directory in self._being_listed:
                    continue
                yield from self._take_of(source, queue[directory])
                if queue[directory]:
                    break
                del queue[directory]

    def _take_of(self, source: int, names: _NewNames) -> Iterator[FileLocation]:
        last, together = "", 0
        while names:
            family = names.family
            together = together + 1 if family == last else 0
            if not self._turns.take(source, "new") and not 0 < together < _LARGEST_FAMILY:
                return
            last, location = family, names.pop()
            self._queued[source] -= 1
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
        met = self._being_listed.get(location.directory)
        if met is not None:
            if len(met[source]) < _MOST_NAMES:
                met[source].add(name)
            return
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
