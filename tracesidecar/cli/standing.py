"""How far every sink is and what every source has at risk, worked out from the journal and the files as they are now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tracesidecar.collect.records import SegmentRecord
from tracesidecar.config.schema import Configuration
from tracesidecar.ship.journal import Journal, SinkRow
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import SINK_TYPES

Offsets = Mapping[int, int]
"""Segment id to the end of what a sink has durably."""

_READABLE = frozenset({"live", "deleted", "missing"})


@dataclass(frozen=True, slots=True)
class SinkStanding:
    """One sink. `lag_bytes` is on disk and not delivered; `lag_seconds` is how long that has been so, at least."""

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
    """One source. `at_risk_bytes` are undelivered and would be lost with the file: no hard link holds them."""

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


def standing(configuration: Configuration, journal: Journal, now: float) -> Standing:
    """Take stock at `now`, in seconds since the epoch."""
    running = is_running(configuration.state_directory)
    segments = journal.load_segments()
    sizes = {segment.id: size_now(segment) for segment in segments}
    offsets = {sink.name: {id_: at.offset for id_, at in journal.offsets(sink.name).items()} for sink in configuration.sink}
    rows = {row.name: row for row in journal.sinks()}
    quarantined = journal.quarantine_counts()
    sinks = []
    for options in configuration.sink:
        mine = [segment for segment in segments if takes(options, segment.source)]
        lag, seconds = _lag(mine, sizes, offsets[options.name], rows.get(options.name), now)
        count = sum(lines for (source, sink, _), lines in quarantined.items() if sink in ("", options.name) and takes(options, source))
        sinks.append(_sink(options, rows.get(options.name), count, lag, seconds, is_stopped=running is False))
    lost = {source.name: 0 for source in configuration.source}
    for loss in journal.losses():
        lost[loss.source] = lost.get(loss.source, 0) + loss.bytes
    sources = tuple(
        SourceStanding(
            name,
            files=sum(segment.source == name and segment.state == "live" for segment in segments),
            bytes=sum(sizes[segment.id] for segment in segments if segment.source == name),
            at_risk_bytes=_at_risk(configuration, (segment for segment in segments if segment.source == name), sizes, offsets),
            quarantined=sum(lines for (source, _, _), lines in quarantined.items() if source == name),
            lost_bytes=lost_bytes,
        )
        for name, lost_bytes in lost.items()
    )
    return Standing(running, tuple(sinks), sources)


def takes(sink: SinkOptions, source: str) -> bool:
    """Tell whether a sink ships a source."""
    return not sink.sources or source in sink.sources


def size_now(segment: SegmentRecord) -> int:
    """The segment's length: that of the file as it is now where it still has its name, else as the journal knows it."""
    try:
        status = os.stat(segment.path)
    except OSError:
        return segment.size
    is_same = (status.st_dev, status.st_ino) == (segment.device, segment.inode)
    return max(status.st_size, 0) if is_same and segment.compression == "none" and segment.state == "live" else segment.size


def is_running(state_directory: str) -> bool | None:
    """Tell whether a process holds the state directory, from the kernel's list of locks: trying the lock could stop one that starts."""
    lock = os.path.join(state_directory, "lock")
    if not os.path.exists(lock):
        return False
    try:
        inode = os.stat(lock).st_ino
        with open("/proc/locks", encoding="ascii") as file:
            return any(fields[1] == "FLOCK" and fields[5].endswith(f":{inode}") for fields in map(str.split, file) if len(fields) > 5)
    except OSError:
        return None


def pending(segment: SegmentRecord, size: int, offset: int) -> int:
    """How many bytes of a segment a sink has still to deliver; of a compressed one only whether it has begun is known."""
    if segment.state not in _READABLE or (segment.compression != "none" and offset):
        return 0
    return max(0, size - offset)


def _lag(segments: Iterable[SegmentRecord], sizes: Mapping[int, int], offsets: Offsets, row: SinkRow | None, now: float) -> tuple[int, float]:
    behind = {segment.id: segment for segment in segments if pending(segment, sizes[segment.id], offsets.get(segment.id, 0))}
    committed_at = row.committed_at if row and row.committed_at else 0.0
    since = min((max(segment.modified_ns / 1e9, committed_at) for segment in behind.values()), default=now)
    total = sum(pending(segment, sizes[id_], offsets.get(id_, 0)) for id_, segment in behind.items())
    return total, round(max(0.0, now - since), 1)


def _at_risk(configuration: Configuration, segments: Iterator[SegmentRecord], sizes: Mapping[int, int], offsets: Mapping[str, Offsets]) -> int:
    required = [sink for sink in configuration.sink if sink.required]
    folders = [source.hold_directory for source in configuration.source if source.hold_directory]
    folders.append(os.path.join(configuration.state_directory, "held"))
    total = 0
    for segment in segments:
        reached = (offsets[sink.name].get(segment.id, 0) for sink in required if takes(sink, segment.source))
        left = pending(segment, sizes[segment.id], min(reached, default=sizes[segment.id]))
        if left and not any(os.path.lexists(os.path.join(folder, f"segment-{segment.id}")) for folder in folders):
            total += left
    return total


def _sink(options: SinkOptions, row: SinkRow | None, quarantined: int, lag: int, seconds: float, *, is_stopped: bool) -> SinkStanding:
    sink_type = SINK_TYPES[options.type]
    state = (row.state if row else "") or "not started"
    return SinkStanding(
        name=options.name,
        type=options.type,
        promise=sink_type.promise,
        destination=sink_type.load().destination(options),
        state="stopped" if row and is_stopped else state,
        delivered_lines=row.lines if row else 0,
        delivered_bytes=row.bytes if row else 0,
        batches=row.batches if row else 0,
        retries=row.retries if row else 0,
        quarantined=quarantined,
        lag_bytes=lag,
        lag_seconds=seconds,
    )
