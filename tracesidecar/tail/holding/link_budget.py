"""How many bytes the hard links of each source may keep, and how many they keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tracesidecar.tail.file_table import File
from tracesidecar.tail.limits import ReachedLimit
from tracesidecar.tail.options import SourceOptions


class LinkBudget:
    """Counts the bytes behind the links of each source, and the files that have no room for one.

    What a link would keep counts, whether the file has another name or not: with one command an
    agent can delete all that it has written.
    """

    def __init__(self, sources: Sequence[SourceOptions]) -> None:
        self._sources = sources
        self._sizes: dict[int, tuple[int, int]] = {}
        self._bytes: Counter[int] = Counter()
        self._arriving = Counter[int]()
        self._arrived: dict[tuple[int, int], int] = {}
        self._unlinked: dict[int, dict[int, File]] = {}

    def count(self, file: File) -> None:
        """Note that a file has a link, and how long the file is now."""
        self.forget(file.id)
        self._arriving[file.source] -= self._arrived.pop((file.device, file.inode), 0)
        self._sizes[file.id] = file.source, file.disk_bytes
        self._bytes[file.source] += file.disk_bytes

    def forget(self, segment: int) -> None:
        """Note that a segment has no link."""
        source, size = self._sizes.pop(segment, (0, 0))
        self._bytes[source] -= size

    def begin_measuring(self) -> None:
        """Forget the files that are linked and are no segments yet: they are counted again."""
        self._arriving.clear()
        self._arrived.clear()

    def count_arrival(self, source: int, inode: tuple[int, int], size: int) -> None:
        """Note that a file is linked that is no segment yet; `inode` has its device number, too."""
        self._arriving[source] += size
        self._arrived[inode] = size

    def has_room(self, file: File) -> bool:
        """Return whether a file may have a link; if not, it is among those that wait for one."""
        limit = self._sources[file.source].limits.held
        counted = self._arrived.get((file.device, file.inode), 0)
        if self._measure_used(file.source) + max(0, file.disk_bytes - counted) <= limit:
            return True
        self._unlinked.setdefault(file.source, {})[file.id] = file
        return False

    def settle(self, file: File) -> None:
        """Note that a file needs no link, or has one."""
        waiting = self._unlinked.get(file.source)
        if waiting is not None and waiting.pop(file.id, None) is not None and not waiting:
            del self._unlinked[file.source]

    def list_linked(self, source: int) -> list[int]:
        """Return the segments of a source that have a link."""
        return [segment for segment, (owner, _) in self._sizes.items() if owner == source]

    def list_waiting(self, source: int) -> list[File]:
        """Return the files of a source that wait for room."""
        return list(self._unlinked.get(source, {}).values())

    @property
    def full(self) -> frozenset[int]:
        """The sources of which files wait for room, or that have used up everything."""
        used_up = (
            source
            for source, options in enumerate(self._sources)
            if self._measure_used(source) >= options.limits.held
        )
        return frozenset((*self._unlinked, *used_up))

    def list_reached(self) -> Iterator[ReachedLimit]:
        """Yield the sources of which files wait for a link."""
        for source in sorted(self.full):
            options, files = self._sources[source], self._unlinked.get(source, {})
            yield ReachedLimit(
                options.name,
                "held",
                self._measure_used(source),
                int(options.limits.held),
                len(files),
                next((file.path for file in files.values()), ""),
            )

    def _measure_used(self, source: int) -> int:
        return self._bytes[source] + self._arriving[source]
