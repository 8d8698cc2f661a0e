"""Under which name the files of each source are recorded, and what happens when that changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.segments import SegmentTable
from tracesidecar.tail import SegmentRecord

_KEY = "sources"
_SETTLED_KEY = "sources_settled"


class SourceNames:
    """The sources that ever ran with this state directory: id → the name that its rows have."""

    def __init__(self, database: JournalDatabase, segments: SegmentTable) -> None:
        self._database = database
        self._segments = segments

    def load(self) -> dict[str, str]:
        """Return the name of each source id; before this was recorded, names were ids."""
        content = self._database.find_meta(_KEY)
        if content is not None:
            try:
                return msgspec.json.decode(content, type=dict[str, str])
            except msgspec.DecodeError as error:
                problem = "the names of the sources cannot be read"
                raise self._database.explain_damage(problem) from error
        return {name: name for name in self._segments.resting.list_sources()}

    def save(self, names: Mapping[str, str]) -> None:
        """Record the name of each source id."""
        self._database.set_meta(_KEY, msgspec.json.encode(dict(names)))

    def load_files(self, names: Collection[str]) -> list[SegmentRecord]:
        """Return the files of the sources of these names."""
        return self._segments.load_of_sources(names)

    def read_files(self, names: Collection[str]) -> Iterator[SegmentRecord]:
        """Read the files of the sources of these names, some at a time: there may be very many."""
        return self._segments.read_of_sources(names)

    def reassign(self, names: Mapping[int, str]) -> None:
        """Give files, with their rejected lines and losses, to the sources of these names."""
        if names:
            self._segments.rename_sources(names)

    def find_settled(self) -> bytes | None:
        """Return the description of the sources with which `settle` was called last."""
        return self._database.find_meta(_SETTLED_KEY)

    def settle(self, sources: bytes) -> None:
        """Note that every file has the source that it belongs to, as long as these are the ones."""
        self._database.set_meta(_SETTLED_KEY, sources)
