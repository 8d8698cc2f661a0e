"""How far every sink is and what every source has at risk, worked out from the journal and the
files as they are now.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracesidecar.config import Configuration
from tracesidecar.journal.journal import Journal, SinkRow
from tracesidecar.journal.quarantine import LostBytes
from tracesidecar.sinks import SinkOptions, destination_of, promise_of
from tracesidecar.tail import SegmentRecord

Offsets = Mapping[int, int]
"""Segment id to the end of what a sink has durably."""

_READABLE = frozenset({"live", "deleted", "missing"})


@dataclass(frozen=True, slots=True)
class SinkStanding:
    """One sink. `lag_bytes` is on disk and not delivered; `lag_seconds` is how long that has been
    so, at least.
    """

    name: str
    type: str
    promise: str
    destination: str
    state: str
    delivered_lines: int
    delivered_bytes: int
    batches: int
    retries: int
    quarantined: int
    lag_bytes: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """One source.

    `at_risk_bytes` are undelivered and would be lost with the file: no hard link holds them.
    """

    name: str
    files: int
    bytes: int
    at_risk_bytes: int
    quarantined: int
    lost_bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it. `is_running` is None where that cannot be known."""

    is_running: bool | None
    sinks: tuple[SinkStanding, ...]
    sources: tuple[SourceStanding, ...]


@dataclass(frozen=True, slots=True)
class _Books:
    """All that the journal and the file system say, read once."""

    configuration: Configuration
    is_running: bool | None
    now: float
    segments: list[SegmentRecord]
    sizes: Mapping[int, int]
    offsets: Mapping[str, Offsets]
    rows: Mapping[str, SinkRow]
    quarantined: Mapping[tuple[str, str, str], int]
    losses: list[LostBytes]


def standing(configuration: Configuration, journal: Journal, now: float) -> Standing:
    """Take stock at `now`, in seconds since the epoch."""
    segments = journal.load_segments()
    books = _Books(
        configuration,
        is_running(configuration.state_directory),
        now,
        segments,
        sizes={segment.id: size_now(segment) for segment in segments},
        offsets={
            sink.name: {id_: at.offset for id_, at in journal.offsets(sink.name).items()}
            for sink in configuration.sink
        },
        rows={row.name: row for row in journal.sinks()},
        quarantined=journal.quarantine_counts(),
        losses=journal.losses(),
    )
    names = dict.fromkeys(
        [source.name for source in configuration.source] + [segment.source for segment in segments]
    )
    sinks = tuple(_sink(books, options) for options in configuration.sink)
    return Standing(books.is_running, sinks, tuple(_source(books, name) for name in names))


def size_now(segment: SegmentRecord) -> int:
    """The segment's length: that of the file as it is now where it still has its name, else as the
    journal knows it.
    """
    try:
        status = os.stat(segment.path)
    except OSError:
        return segment.size
    is_same = (status.st_dev, status.st_ino) == (segment.device, segment.inode)
    return (
        max(status.st_size, 0)
        if is_same and segment.compression == "none" and segment.state == "live"
        else segment.size
    )


def is_running(state_directory: str) -> bool | None:
    """Tell whether a process holds the state directory, from the kernel's list of locks: trying the
    lock could stop one that starts.
    """
    lock = os.path.join(state_directory, "lock")
    if not os.path.exists(lock):
        return False
    try:
        inode = os.stat(lock).st_ino
        with open("/proc/locks", encoding="ascii") as file:
            return any(
                fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")
                for fields in map(str.split, file)
                if len(fields) > 5
            )
    except OSError:
        return None


def pending(segment: SegmentRecord, size: int, offset: int) -> int:
    """How many bytes of a segment a sink has still to deliver; of a compressed one only whether it
    has begun is known.
    """
    if segment.state not in _READABLE or (segment.compression != "none" and offset):
        return 0
    return max(0, size - offset)


def _lag(books: _Books, sink: SinkOptions) -> tuple[int, float]:
    offsets, row = books.offsets[sink.name], books.rows.get(sink.name)
    left = {
        segment.id: pending(segment, books.sizes[segment.id], offsets.get(segment.id, 0))
        for segment in books.segments
        if sink.takes(segment.source)
    }
    committed_at = row.committed_at if row and row.committed_at else 0.0
    since = min(
        (
            max(segment.modified_ns / 1e9, committed_at)
            for segment in books.segments
            if left.get(segment.id)
        ),
        default=books.now,
    )
    return sum(left.values()), round(max(0.0, books.now - since), 1)


def _at_risk(books: _Books, segments: Iterable[SegmentRecord]) -> int:
    """Count what a required sink has still to get of segments that no hard link holds."""
    folders = [
        source.hold_directory for source in books.configuration.source if source.hold_directory
    ]
    folders.append(os.path.join(books.configuration.state_directory, "held"))
    total = 0
    for segment in segments:
        size = books.sizes[segment.id]
        required = (
            sink
            for sink in books.configuration.sink
            if sink.required and sink.takes(segment.source)
        )
        left = pending(
            segment,
            size,
            min((books.offsets[sink.name].get(segment.id, 0) for sink in required), default=size),
        )
        if left and not any(
            os.path.lexists(os.path.join(folder, f"segment-{segment.id}")) for folder in folders
        ):
            total += left
    return total


def _source(books: _Books, name: str) -> SourceStanding:
    mine = [segment for segment in books.segments if segment.source == name]
    return SourceStanding(
        name,
        files=sum(segment.state == "live" for segment in mine),
        bytes=sum(books.sizes[segment.id] for segment in mine),
        at_risk_bytes=_at_risk(books, mine),
        quarantined=sum(
            lines for (source, _, _), lines in books.quarantined.items() if source == name
        ),
        lost_bytes=sum(loss.bytes for loss in books.losses if loss.source == name),
    )


def _sink(books: _Books, options: SinkOptions) -> SinkStanding:
    row = books.rows.get(options.name)
    lag_bytes, lag_seconds = _lag(books, options)
    refused = (
        lines
        for (source, sink, _), lines in books.quarantined.items()
        if sink in ("", options.name) and options.takes(source)
    )
    state = (row.state if row else "") or "not started"
    return SinkStanding(
        name=options.name,
        type=options.type,
        promise=promise_of(options),
        destination=destination_of(options),
        state="stopped" if row and books.is_running is False else state,
        delivered_lines=row.lines if row else 0,
        delivered_bytes=row.bytes if row else 0,
        batches=row.batches if row else 0,
        retries=row.retries if row else 0,
        quarantined=sum(refused),
        lag_bytes=lag_bytes,
        lag_seconds=lag_seconds,
    )
