"""Refused lines: where each stands and why; never what it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """One refused line: [start, end) of a segment, in bytes. `sink` is empty where validation refused it; `digest` is keyed."""

    segment: int
    sink: str
    start: int
    end: int
    source: str
    path: str
    generation: int
    reason: str
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A refused line as the journal lists it; `at` is seconds since the epoch."""

    id: int
    line: QuarantinedLine
    at: float


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes of a segment that were gone before they could be read; counted, never passed over in silence."""

    segment: int
    source: str
    path: str
    start: int
    bytes: int
    reason: str
    at: float = 0.0
