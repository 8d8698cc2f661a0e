"""A refused line as people and scripts see it: place, reason, and where its bytes are; never what
it says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tracesidecar.config import Configuration
from tracesidecar.journal import Journal, QuarantineEntry
from tracesidecar.logs import printable
from tracesidecar.sanitize import RejectionReason
from tracesidecar.tail import SegmentRecord

Bytes = Literal["source", "sealed", "gone"]
TOLD: Mapping[Bytes, str] = {"source": "in the file", "sealed": "sealed", "gone": "bytes gone"}


@dataclass(frozen=True, slots=True)
class Refused:
    """One entry. `source` bytes can be redriven, `sealed` ones only be opened by who has the key.

    `asked` are the sinks that have it still to come.
    """

    entry: QuarantineEntry
    bytes: Bytes
    is_sealed: bool
    asked: tuple[str, ...]

    @property
    def document(self) -> dict[str, object]:
        """The stable keys of `--json`."""
        entry, line = self.entry, self.entry.line
        return {
            "id": entry.id,
            "at": self.when,
            "source": line.source,
            "path": printable(line.path),
            "generation": line.generation,
            "start": line.start,
            "end": line.end,
            "reason": line.reason,
            "meaning": next(
                (known.meaning for known in RejectionReason if known == line.reason),
                "The destination refused it.",
            ),
            "sink": line.sink or None,
            "bytes": TOLD[self.bytes],
            "sealed": self.is_sealed,
            "redrive": list(self.asked),
        }

    @property
    def row(self) -> tuple[object, ...]:
        """The cells of the table."""
        entry, line = self.entry, self.entry.line
        where = f"{TOLD[self.bytes]}{', redrive asked' if self.asked else ''}"
        return (
            entry.id,
            self.when,
            line.source,
            printable(line.path),
            line.start,
            line.end,
            line.reason,
            line.sink or "validation",
            where,
        )

    @property
    def when(self) -> str:
        """When it was refused, UTC."""
        return (
            datetime.fromtimestamp(self.entry.at, UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z")
        )


def refused(
    configuration: Configuration, journal: Journal, entry_id: int | None = None
) -> list[Refused]:
    """All refused lines, or the one of that id; where their bytes are is looked up now."""
    entries = journal.quarantine.load(entry_id)
    segments = {segment.id: segment for segment in journal.segments.load()} if entries else {}
    asked = journal.redrive_requests.load()
    return [
        _refused(configuration, entry, segments.get(entry.line.segment), asked.get(entry.id, ()))
        for entry in entries
    ]


def _refused(
    configuration: Configuration,
    entry: QuarantineEntry,
    segment: SegmentRecord | None,
    asked: tuple[str, ...],
) -> Refused:
    sealed = os.path.join(configuration.state_directory, "quarantine", entry.line.sealed)
    is_sealed = bool(entry.line.sealed) and os.path.exists(sealed)
    if (
        not entry.is_gone
        and segment is not None
        and _is_readable(configuration, segment, entry.line.end)
    ):
        return Refused(entry, "source", is_sealed, asked)
    return Refused(entry, "sealed" if is_sealed else "gone", is_sealed, asked)


def _is_readable(configuration: Configuration, segment: SegmentRecord, end: int) -> bool:
    """As far as can be seen without reading: the file is still itself under its name, or a link
    holds it.
    """
    folders = [
        source.hold_directory
        for source in configuration.source
        if source.name == segment.source and source.hold_directory
    ]
    folders.append(os.path.join(configuration.state_directory, "held"))
    if segment.state not in ("live", "deleted", "missing"):
        return False
    if any(os.path.lexists(os.path.join(folder, f"segment-{segment.id}")) for folder in folders):
        return True
    try:
        status = os.stat(segment.path)
    except OSError:
        return False
    return (
        segment.state == "live"
        and status.st_ino == segment.inode
        and (segment.compression != "none" or status.st_size >= end)
    )
