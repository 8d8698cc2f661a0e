"""The rejected lines as people and scripts see them.

Location, reason, and where the bytes are, but never their content.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tracesidecar.config import Configuration
from tracesidecar.journal import Journal, QuarantineEntry, vault_path
from tracesidecar.sanitize import RejectionReason, printable
from tracesidecar.tail import READABLE_STATES, SegmentRecord, SegmentState, find_links, link_folders

BytesLocation = Literal["source", "sealed", "gone"]
LOCATIONS: Mapping[BytesLocation, str] = {
    "source": "in the file",
    "sealed": "sealed",
    "gone": "bytes gone",
}
_MEANINGS: Mapping[str, str] = {reason.value: reason.meaning for reason in RejectionReason}


@dataclass(frozen=True, slots=True)
class RejectedLineReport:
    """One entry of the quarantine.

    Bytes in the `source` can be redriven; `sealed` bytes can only be read with the private key.
    `redrives` are the sinks that are still to get the line.
    """

    entry: QuarantineEntry
    bytes: BytesLocation
    is_sealed: bool
    redrives: tuple[str, ...]

    @property
    def document(self) -> dict[str, object]:
        """The object of `--json`; scripts rely on its keys."""
        entry, line = self.entry, self.entry.line
        return {
            "id": entry.id,
            "at": self.time,
            "source": line.source,
            "path": printable(line.path),
            "generation": line.generation,
            "start": line.start,
            "end": line.end,
            "reason": line.reason,
            "meaning": _MEANINGS.get(line.reason, "The destination rejected it."),
            "sink": line.sink or None,
            "bytes": LOCATIONS[self.bytes],
            "sealed": self.is_sealed,
            "redrive": list(self.redrives),
        }

    @property
    def row(self) -> tuple[object, ...]:
        """The cells of the table."""
        entry, line = self.entry, self.entry.line
        where = f"{LOCATIONS[self.bytes]}{', redrive requested' if self.redrives else ''}"
        return (
            entry.id,
            self.time,
            line.source,
            printable(line.path),
            line.start,
            line.end,
            line.reason,
            line.sink or "validation",
            where,
        )

    @property
    def time(self) -> str:
        """When the line was rejected, in UTC."""
        return (
            datetime.fromtimestamp(self.entry.at, UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z")
        )


def report_rejected_lines(
    configuration: Configuration, journal: Journal, entry_id: int | None = None
) -> list[RejectedLineReport]:
    """Return all rejected lines, or the one with that id; where the bytes are is looked up now."""
    entries = journal.quarantine.load(entry_id)
    found = journal.segments.recall({entry.line.segment for entry in entries})
    segments = {segment.id: segment for segment in found}
    redrives = journal.redrive_requests.load()
    find = _BytesFinder(configuration, segments)
    return [find.report(entry, redrives.get(entry.id, ())) for entry in entries]


class _BytesFinder:
    """Looks up where the bytes of rejected lines are: once for each file, not for each line."""

    def __init__(self, configuration: Configuration, segments: Mapping[int, SegmentRecord]) -> None:
        self._state_directory = configuration.state_directory
        self._links = find_links(link_folders(configuration.state_directory, configuration.source))
        self._segments = segments
        self._readable: dict[int, int] = {}
        self._sealed: dict[str, bool] = {"": False}

    def report(self, entry: QuarantineEntry, redrives: tuple[str, ...]) -> RejectedLineReport:
        """Return what is known of an entry."""
        line = entry.line
        if line.sealed not in self._sealed:
            path = vault_path(self._state_directory, line.sealed)
            self._sealed[line.sealed] = os.path.exists(path)
        is_sealed = self._sealed[line.sealed]
        if line.segment not in self._readable:
            self._readable[line.segment] = self._find_readable_bytes(line.segment)
        location: BytesLocation = "sealed" if is_sealed else "gone"
        if not entry.is_gone and line.end <= self._readable[line.segment]:
            location = "source"
        return RejectedLineReport(entry, location, is_sealed, redrives)

    def _find_readable_bytes(self, segment: int) -> int:
        """Return up to which offset a segment is there, as far as can be seen without reading it.

        The name is still that of the file, or a hard link keeps it; -1 if neither is.
        """
        record = self._segments.get(segment)
        if record is None or record.state not in READABLE_STATES:
            return -1
        if segment in self._links:
            return sys.maxsize
        try:
            status = os.stat(record.path)
        except OSError:
            return -1
        if record.state is not SegmentState.LIVE or status.st_ino != record.inode:
            return -1
        return status.st_size if record.compression == "none" else sys.maxsize
