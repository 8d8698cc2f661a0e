"""Under which name the files of each source are recorded, and what happens when that changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from tracesidecar.journal.database import JournalDatabase
from tracesidecar.journal.segments import SegmentTable
from tracesidecar.tail import SegmentRecord

_KEY = "sources"


class SourceNames:
    """The sources that ever ran with this state directory: id → the name that its rows have."""

    def __init__(self, database: JournalDatabase, segments: SegmentTable) -> None:
        self._database = database
        self._segments = segments

    def load(self) -> dict[str, str]:
        """Return the name of each source id; before this was recorded, names were ids."""
        content = self._database.find_meta(_KEY)
        if content is not None:
            return msgspec.json.decode(content, type=dict[str, str])
        return {record.source: record.source for record in self._segments.load()}

    def save(self, names: Mapping[str, str]) -> None:
        """Record the name of each source id."""
        self._database.set_meta(_KEY, msgspec.json.encode(dict(names)))

    def reassign(self, name_of: Callable[[SegmentRecord], str | None]) -> int:
        """Give the files, with their rejected lines and losses, to the sources of these names.

        `name_of` returns the new name, None to leave a file where it is. Return how many changed.
        """
        changed = {
            record.id: name
            for record in self._segments.load()
            if (name := name_of(record)) not in (None, record.source)
        }
        if changed:
            self._segments.rename_sources(changed)
        return len(changed)
