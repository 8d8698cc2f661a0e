"""Where a file is, or was."""

from __future__ import annotations

from dataclasses import dataclass

from tracesidecar.tail.file_table import Directory


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A name in a directory, and the source that wants it (None: no glob matches it)."""

    directory: Directory
    name: str
    source: int | None

    @property
    def path(self) -> str:
        """Return the whole path."""
        return self.directory.locate(self.name)
