"""The rejected lines as people and scripts see them.

Location, reason, and where the bytes are, but never their content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tracesidecar.config import Configuration
from tracesidecar.journal import Journal, QuarantineEntry, vault_path
from tracesidecar.logs import printable
from tracesidecar.sanitize import RejectionReason
from tracesidecar.tail import READABLE_STATES, SegmentRecord, SegmentState, link_folders, link_path

BytesLocation = Literal["source", "sealed", "gone"]
LOCATIONS: Mapping[BytesLocation, str] = {
    "source": "in the file",
    "sealed": "sealed",
    "gone": "bytes gone",
}


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
            "meaning": next(
                (known.meaning for known in RejectionReason if known == line.reason),
                "The destination rejected it.",
            ),
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
    segments = {segment.id: segment for segment in journal.segments.load()} if entries else {}
    redrives = journal.redrive_requests.load()
    return [
        _report(configuration, entry, segments.get(entry.line.segment), redrives.get(entry.id, ()))
        for entry in entries
    ]


def _report(
    configuration: Configuration,
    entry: QuarantineEntry,
    segment: SegmentRecord | None,
    redrives: tuple[str, ...],
) -> RejectedLineReport:
    sealed = vault_path(configuration.state_directory, entry.line.sealed)
    is_sealed = bool(entry.line.sealed) and os.path.exists(sealed)
    location: BytesLocation = "sealed" if is_sealed else "gone"
    if (
        not entry.is_gone
        and segment is not None
        and _is_readable(configuration, segment, entry.line.end)
    ):
        location = "source"
    return RejectedLineReport(entry, location, is_sealed, redrives)


def _is_readable(configuration: Configuration, segment: SegmentRecord, end: int) -> bool:
    """Return whether the bytes are still there, as far as that can be seen without reading them.

    The name is still that of the file, or a hard link keeps it.
    """
    folders = link_folders(configuration.state_directory, configuration.source)
    if segment.state not in READABLE_STATES:
        return False
    if any(os.path.lexists(link_path(folder, segment.id)) for folder in folders):
        return True
    try:
        status = os.stat(segment.path)
    except OSError:
        return False
    return (
        segment.state is SegmentState.LIVE
        and status.st_ino == segment.inode
        and (segment.compression != "none" or status.st_size >= end)
    )
