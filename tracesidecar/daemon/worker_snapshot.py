"""A snapshot of what the worker thread knows of the service, taken a piece at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracesidecar.introspect.lag import Backlog, LagMeter, LagReport, Remainder
from tracesidecar.pipeline import WorkerContext
from tracesidecar.tail import (
    READABLE_STATES,
    ReachedLimit,
    Scan,
    SegmentState,
    SkipReason,
    UnreadablePath,
    UnreadFile,
    is_protected,
)

PIECE_SECONDS = 0.01
"""How long a piece takes: other work may have to wait for it."""

_AT_ONCE = 64
"""How many files are looked at between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that cannot be read now, and what the sinks lack of it."""

    file: UnreadFile
    backlog: Backlog

    def measure(self, sinks: Iterable[str]) -> int:
        """Return how many bytes one of these sinks lacks at most."""
        remainders = self.backlog.remainders
        return max((remainders[name].bytes for name in sinks if name in remainders), default=0)


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """What the worker thread knows at one time. `held_bytes` is by sink."""

    lag: LagReport
    held_bytes: Mapping[str, int]
    scan: Scan | None
    scanned_at: float
    files: Mapping[tuple[str, SegmentState], int]
    cached_bytes: int
    unreadable: Sequence[UnreadablePath]
    skipped: Mapping[tuple[str, SkipReason], int]
    limits: tuple[ReachedLimit, ...] = ()
    unread: Sequence[Unread] = ()


class SnapshotBuilder:
    """Takes one snapshot. For the worker thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is that of the service."""
        self._clock = clock
        self._steps: Iterator[WorkerSnapshot | None] | None = None

    def go_on(self, context: WorkerContext, /) -> WorkerSnapshot | None:
        """Look at some more files; return the snapshot once all were looked at."""
        if self._steps is None:
            self._steps = self._take(context)
        until = time.monotonic() + PIECE_SECONDS
        snapshot = next(self._steps)
        while snapshot is None and time.monotonic() < until:
            snapshot = next(self._steps)
        return snapshot

    def _take(self, context: WorkerContext) -> Iterator[WorkerSnapshot | None]:
        intake, sinks = context.intake, context.intake.sinks
        meter = LagMeter([sink.options for sink in sinks.values()], time.time())
        cannot_read = context.tailer.list_unread()
        unread = list(_find_unread(context, cannot_read, self._clock))
        for each in unread:
            meter.add(each.backlog)
        readable = _find_backlogs(context, {file.segment.id for file in cannot_read}, self._clock)
        for count, backlog in enumerate(readable, 1):
            meter.add(backlog)
            if not count % _AT_ONCE:
                yield None
        files = Counter[tuple[str, SegmentState]]()
        known = context.tailer.list_known()
        for start in range(0, len(known), _AT_ONCE):
            files.update(context.tailer.counts(known[start : start + _AT_ONCE]))
            yield None
        yield WorkerSnapshot(
            meter.report(),
            {name: sink.held_bytes for name, sink in sinks.items()},
            intake.last_scan,
            intake.scanned_at,
            files,
            context.cached_bytes,
            context.tailer.list_unreadable(),
            context.tailer.count_skipped(),
            intake.list_reached_limits(),
            unread,
        )


def _find_unread(
    context: WorkerContext, files: Iterable[UnreadFile], clock: Callable[[], float]
) -> Iterator[Unread]:
    """Find what sinks still lack of files that cannot be read now."""
    sinks, epoch = context.intake.sinks.values(), time.time() - clock()
    for file in files:
        segment, source = file.segment.id, file.segment.source
        lacking = {
            sink.name: Remainder(
                file.size - sink.find_committed_checkpoint(segment).offset,
                epoch + sink.behind_since.get(segment, file.since),
            )
            for sink in sinks
            if sink.takes(source) and sink.find_committed_checkpoint(segment).offset < file.size
        }
        if lacking:
            yield Unread(file, Backlog(source, is_protected=False, remainders=lacking))


def _find_backlogs(
    context: WorkerContext, unread: Collection[int], clock: Callable[[], float]
) -> Iterator[Backlog]:
    """Find what sinks still lack of files that can be read.

    Only segments that are behind are looked at.
    """
    sinks, views = tuple(context.intake.sinks.values()), context.tailer.segments()
    epoch = time.time() - clock()  # `behind_since` is by the clock
    behind = {segment for sink in sinks for segment in sink.behind_since}
    for segment in behind.difference(unread):
        view = views.get(segment)
        if view is None or view.state not in READABLE_STATES:
            continue
        yield Backlog(
            view.segment.source,
            is_protected(view.protection),
            {
                sink.name: Remainder(
                    max(0, view.size - sink.find_committed_checkpoint(segment).offset),
                    epoch + since,
                )
                for sink in sinks
                if (since := sink.behind_since.get(segment)) is not None
            },
        )
    for waiting in context.tailer.list_undecided():
        remainder = Remainder(waiting.size, epoch + waiting.since)
        source = waiting.segment.source
        takers = (sink for sink in sinks if sink.takes(source))
        yield Backlog(source, is_protected=False, remainders={s.name: remainder for s in takers})
