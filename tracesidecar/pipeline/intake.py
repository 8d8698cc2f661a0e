"""Discovery, offers to the sinks, acknowledgements to the tailer, and losses."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tracesidecar.journal import Journal, QuarantinedLine
from tracesidecar.model import Checkpoint, Segment
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.late_beginnings import LateBeginnings
from tracesidecar.pipeline.losses import Losses
from tracesidecar.pipeline.rejected_budget import RejectedBudget
from tracesidecar.pipeline.rewrites import Rewrites
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.rotation import rank_in_family
from tracesidecar.sinks import deciding_sinks
from tracesidecar.tail import ReachedLimit, Scan, SegmentView
from tracesidecar.tail.tailer import Tailer

IsContinued = Callable[[Segment], bool]
"""Whether a service that follows in this process goes on with a segment."""

JUDGE_SECONDS = 1.0
"""How often to see whether files with rejected lines were deleted."""

RELEASE_SECONDS = 0.01
"""How long a scan or a commit goes on with what was delivered; the next one goes on with it."""

LEAST_RELEASED = 16
"""So many segments are acknowledged in any case."""

FEW_SEGMENTS = 1000
"""How many segments that are over may be remembered: to search for fewer is not worth it."""


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What a scan found, and the names of the sinks that have something to read.

    `limits` are the budgets at which sources wait. `has_more`: the next scan should not wait long.
    """

    scan: Scan
    ready: frozenset[str]
    limits: tuple[ReachedLimit, ...] = ()
    has_more: bool = False


class Intake:
    """What stands between the files and the sinks. Lives in the worker thread.

    `sinks` says where each sink is, by name; only `replace_sinks` changes it.
    """

    def __init__(
        self,
        tailer: Tailer,
        chunks: ChunkReader,
        journal: Journal,
        losses: Losses,
        rewrites: Rewrites,
        *,
        beginnings: LateBeginnings,
        rejected: RejectedBudget,
        clock: Callable[[], float],
    ) -> None:
        self._tailer = tailer
        self._chunks = chunks
        self._journal = journal
        self._losses = losses
        self._rewrites = rewrites
        self._beginnings = beginnings
        self._rejected = rejected
        self._judged_at = float("-inf")
        self._clock = clock
        self._retained: frozenset[int] = frozenset()
        self.sinks: Mapping[str, SinkCursors] = {}
        self._delivered: dict[int, None] = {}
        self._last_scan: Scan | None = None
        self._scanned_at = clock()

    @property
    def last_scan(self) -> Scan | None:
        """The last scan, None before the first has ended."""
        return self._last_scan

    @property
    def scanned_at(self) -> float:
        """When the last scan began, by the clock."""
        return self._scanned_at

    def replace_sinks(self, removed: Iterable[str], added: Sequence[SinkCursors]) -> None:
        """Serve other sinks in place of some, in one step: what a new one needs is not released.

        The new ones are offered what they lack at once, before they connect: it must count as their
        lag if they cannot be reached.
        """
        gone = set(removed)
        kept = {name: sink for name, sink in self.sinks.items() if name not in gone}
        self.sinks = kept | {sink.name: sink for sink in added}
        self._pause_sources()
        for sink in added:
            self._offer_backlog(sink)

    # Discovery:

    def scan(self, *, full: bool) -> ScanOutcome:
        """Scan, offer what may have something new to the sinks, and account for what is lost."""
        now, sinks = self._clock(), self.sinks.values()
        self._release(at_once=full)
        scan = self._tailer.scan(now, full=full)
        views = self._tailer.segments()
        self._rewrites.take(scan.rewrites, sinks)
        self.acknowledge(each.segment.id for each in scan.rewrites)
        for segment in dict.fromkeys((*scan.changed, *self._chunks.list_overdue(now))):
            view = views.get(segment)
            if view is None:
                continue
            takers = [sink for sink in sinks if sink.takes(view.segment.source)]
            for sink in takers:
                if self._beginnings.settle(sink, view):
                    sink.offer(segment, now, view.segment.source)
            if not takers:
                self._tailer.acknowledge(segment, view.size)
        self._last_scan, self._scanned_at = scan, now
        self._losses.withdraw(scan.recovered)
        self._losses.take(scan.losses, sinks)
        self._forget(scan.files)
        if now - self._judged_at >= JUDGE_SECONDS:
            self._judged_at = now
            self._rejected.judge()
            self._pause_sources()
        ready = frozenset(sink.name for sink in self.sinks.values() if sink.has_ready)
        return ScanOutcome(
            scan, ready, self.list_reached_limits(), has_more=scan.has_more or bool(self._delivered)
        )

    def record_losses(self) -> None:
        """Account for what reading has shown to be lost since the last scan."""
        self.release_all()
        self._losses.take(self._tailer.find_losses(), self.sinks.values())

    def record_endings(self, is_continued: IsContinued | None = None) -> frozenset[int]:
        """Account for what only this process can read, which ends; return those segments.

        Left out are segments that go on in this process (`is_continued`), and what a plan has of
        others: it may have arrived, and the next run finds out. Call this when no sink is served
        any more.
        """
        views = self._tailer.segments()
        ending = frozenset(
            segment
            for segment in self._tailer.list_ending()
            if is_continued is None
            or segment not in views
            or not is_continued(views[segment].segment)
        )
        planned = {
            each.segment
            for name in self.sinks
            for plan in self._journal.plans.load(name)
            for each in plan.ranges
        }
        for sink in self.sinks.values():
            sink.rewind(self._clock())
        self._losses.take(self._tailer.find_losses(ending - planned), self.sinks.values())
        return ending

    def _offer_backlog(self, sink: SinkCursors) -> None:
        """Offer a sink every segment that is known to hold more than the sink has.

        The rotated files of one name come oldest first: files that begin alike are counted in the
        order in which they are read.
        """
        now = self._clock()
        backlog = [
            (
                os.path.dirname(view.segment.path),
                rank_in_family(os.path.basename(view.segment.path)),
                segment,
                view.segment.source,
            )
            for segment, view in self._tailer.segments().items()
            if sink.takes(view.segment.source)
            and sink.cursor(segment).offset < view.size
            and self._beginnings.settle(sink, view)
        ]
        for _, _, segment, source in sorted(backlog):
            sink.offer(segment, now, source)

    def begin_drain(self) -> int:
        """Let no sink read beyond what is there now, nor wait for the end of an open message.

        The end of an archive that has not been read through is not known, so it has no limit, even
        if it was deleted. Return the number of segments.
        """
        views, now = self._tailer.segments(), self._clock()
        target = {
            segment: view.size
            if view.compression == "none" or (view.is_writer_gone and view.state != "deleted")
            else sys.maxsize
            for segment, view in views.items()
        }
        for sink in self.sinks.values():
            sink.limit(target)
            for segment in self._chunks.waiting():
                if segment in views and sink.takes(views[segment].segment.source):
                    sink.offer(segment, now, views[segment].segment.source)
        return len(target)

    def _forget(self, known: int) -> None:
        """Drop what is remembered of segments that are over, once that is more than half of it."""
        sinks = self.sinks.values()
        if any(sink.known_segments > 2 * known + FEW_SEGMENTS for sink in sinks):
            views = self._tailer.segments()
            self._chunks.forget_all_but(views)
            all_known = frozenset(self._tailer.list_known())
            for sink in sinks:
                sink.forget_all_but(all_known)

    # Acknowledgements:

    def retain_rejected(self) -> None:
        """Have the tailer keep the files that alone have bytes of rejected lines, and no others."""
        self._retained = self._journal.quarantine.list_segments()
        self._tailer.retain(self._retained)
        self._rejected.measure_lines()
        self._pause_sources()

    def note_rejected(self, lines: Iterable[QuarantinedLine]) -> None:
        """Let sources wait whose rejected lines, with these new ones, take too much of the disk."""
        self._rejected.add(lines)
        self._pause_sources()

    def _pause_sources(self) -> None:
        for sink in self.sinks.values():
            sink.pause(self._rejected.waiting)

    def commit(
        self, name: str, reached: Mapping[int, Checkpoint], rejected_in: Iterable[int]
    ) -> None:
        """Note where the journal has a sink, so that the tailer may release the bytes before.

        It keeps the segments `rejected_in`, which alone have the bytes of rejected lines.
        """
        if fresh := frozenset(rejected_in) - self._retained:
            self._retained |= fresh
            self._tailer.retain(self._retained)
        self.sinks[name].advance(reached)
        self._delivered.update(dict.fromkeys(reached))
        self._release()

    def settle_plans(self, name: str) -> None:
        """Note that the plans of an earlier run are finished: what is lost of them is known now."""
        self.sinks[name].settle_plans()
        self._losses.take((), self.sinks.values())

    def rewind(self, name: str) -> None:
        """Read again what a sink has read and not committed."""
        if name in self.sinks:
            self.sinks[name].rewind(self._clock())

    def _release(self, *, at_once: bool = False) -> None:
        """Acknowledge what was delivered, as much as there is time for; `at_once`: all.

        A batch may have many files, and to release them may take longer than others should wait.
        """
        until = time.monotonic() + RELEASE_SECONDS
        while self._delivered:
            some = list(islice(self._delivered, LEAST_RELEASED))
            for segment in some:
                del self._delivered[segment]
            self.acknowledge(some)
            if not at_once and time.monotonic() >= until:
                break

    def release_all(self) -> None:
        """Acknowledge all that was delivered."""
        self._release(at_once=True)

    def acknowledge(self, segments: Iterable[int]) -> None:
        """Report to the tailer how far every sink that must have a segment has it."""
        views = self._tailer.segments()
        for segment in segments:
            if segment in views:
                self._tailer.acknowledge(segment, self.find_required_offset(views[segment]))

    def acknowledge_all(self) -> None:
        """Report every segment, as the tailer expects after a start."""
        self.acknowledge(tuple(self._tailer.segments()))

    def list_reached_limits(self) -> tuple[ReachedLimit, ...]:
        """Return the budgets at which sources wait."""
        return (*self._tailer.list_reached_limits(), *self._rejected.reached)

    def find_required_offset(self, view: SegmentView) -> int:
        """Return how far every sink that must have the segment has it.

        If none must, every sink that takes it counts; if none takes it, it is its end.
        """
        options = (sink.options for sink in self.sinks.values())
        deciding = deciding_sinks(options, view.segment.source)
        return min(
            (
                self.sinks[sink.name].find_committed_checkpoint(view.segment.id).offset
                for sink in deciding
            ),
            default=view.size,
        )

    def is_searching(self) -> bool:
        """Return whether a file that some sink does not have is missing and not yet given up."""
        return any(
            view.state in ("missing", "ended") and self.find_required_offset(view) < view.size
            for view in self._tailer.segments().values()
        )
