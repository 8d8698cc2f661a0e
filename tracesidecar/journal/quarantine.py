"""Refused lines: where each stands and why; never what it says."""

from __future__ import annotations

from dataclasses import dataclass

from tracesidecar.model import Rejection, Segment


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """One refused line: [start, end) of a segment, in bytes. `sink` is empty where validation
    refused it; `digest` is keyed.

    `sealed` names the file that has its bytes encrypted, among others' from `sealed_at` on; empty
    where they are only in the source.
    """

    segment: int
    sink: str
    start: int
    end: int
    source: str
    path: str
    generation: int
    reason: str
    digest: bytes | None
    sealed: str = ""
    sealed_at: int = 0


def quarantined_line(segment: Segment, rejection: Rejection, sink: str = "") -> QuarantinedLine:
    """Return the row of a rejected line."""
    return QuarantinedLine(
        segment.id,
        sink,
        rejection.start,
        rejection.end,
        segment.source,
        segment.path,
        segment.generation,
        rejection.reason,
        rejection.digest,
        rejection.sealed,
        rejection.sealed_at,
    )


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A refused line as the journal lists it; `at` is seconds since the epoch.

    `is_gone`: its bytes were looked for in the source in vain.
    """

    id: int
    line: QuarantinedLine
    at: float
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes of a segment that were gone before they could be read; counted, never passed over in
    silence.
    """

    segment: int
    source: str
    path: str
    start: int
    bytes: int
    reason: str
    at: float = 0.0
