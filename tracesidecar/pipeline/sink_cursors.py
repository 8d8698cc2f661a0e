"""Where one sink is in every segment, and which segments have something for it."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace

from tracesidecar.batch import BatchCapacity, BatchSpec
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.pipeline.fair_queue import FairQueue
from tracesidecar.sinks import SinkOptions


class SinkCursors:
    """One sink's way through the files. Lives in the worker thread.

    For each segment, `committed` is what the journal has; reading is ahead of it while a batch
    fills. Segments that may have more are ready, and take turns, source by source.
    """

    def __init__(
        self,
        options: SinkOptions,
        spec: BatchSpec,
        committed: dict[int, Checkpoint],
        *,
        buffer_bytes: int,
        planned: Container[int] = (),
    ) -> None:
        """`buffer_bytes` is the memory that the sink's batch may take.

        `planned` are the segments in plans of an earlier run: some of them may have arrived.
        """
        self.name = options.name
        self.options = options
        self.spec = spec
        self.interprets = spec.interprets
        batch = options.batch
        self.capacity = BatchCapacity(batch.bytes, batch.lines, buffer_bytes)
        self._committed = committed
        self._reading: dict[int, Checkpoint] = {}
        self._ready = FairQueue()
        self._postponed: dict[int, float] = {}
        self._behind_since: dict[int, float] = {}
        self._target: Mapping[int, int] | None = None
        self._read_bytes = 0
        self._held_bytes = 0
        self._planned = planned

    @property
    def read_bytes(self) -> int:
        """Source bytes taken so far, less those that will be read again."""
        return self._read_bytes

    @property
    def held_bytes(self) -> int:
        """The memory taken by the batch that fills or is being sent."""
        return self._held_bytes

    @property
    def has_ready(self) -> bool:
        """Whether some segment may have more."""
        return bool(self._ready.sources)

    @property
    def ready_sources(self) -> frozenset[str]:
        """The sources of which some segment may have more."""
        return self._ready.sources

    @property
    def has_several_sources(self) -> bool:
        """Whether the sink reads more than one source."""
        return self._ready.has_several_sources

    @property
    def known_segments(self) -> int:
        """How many segments the sink has committed something of."""
        return len(self._committed)

    @property
    def behind_since(self) -> Mapping[int, float]:
        """The segments that the destination does not have completely, with the time since when."""
        return self._behind_since

    def takes(self, source: str) -> bool:
        """Return whether the sink takes this source."""
        return self.options.takes(source)

    def find_committed_checkpoint(self, segment: int) -> Checkpoint:
        """Return how far the destination has the segment."""
        return self._committed.get(segment, BEGINNING)

    def has_committed(self, segment: int, offset: int) -> bool:
        """Return whether the sink has committed beyond an offset."""
        return segment in self._committed and self._committed[segment].offset > offset

    def cursor(self, segment: int) -> Checkpoint:
        """Return where to read next."""
        return self._reading.get(segment) or self.find_committed_checkpoint(segment)

    def is_reading(self, segment: int) -> bool:
        """Return whether something of the segment is read and not committed."""
        return segment in self._reading

    def may_have_more(self, segment: int) -> bool:
        """Return whether a plan of an earlier run may have delivered more of the segment."""
        return segment in self._planned

    def settle_plans(self) -> None:
        """Note that no plan of an earlier run is left."""
        self._planned = ()

    def end(self, segment: int, size: int) -> int:
        """Return where reading ends: at the segment's size, in a drain at its size at the start."""
        return size if self._target is None else min(size, self._target.get(segment, size))

    def is_finished(self, segment: int) -> bool:
        """Return whether a drain has read all that the segment had when it began."""
        return self._target is not None and self.cursor(segment).offset >= self._target.get(
            segment, 0
        )

    def offer(self, segment: int, now: float, source: str | None = None) -> None:
        """Note that there may be something new in the segment of a source.

        The source need not be given again.
        """
        if segment not in self._ready:
            self._ready.add(segment, now, source)
        self._behind_since.setdefault(segment, now)

    def pause(self, sources: frozenset[str]) -> None:
        """Read nothing of these sources for now."""
        self._ready.pause(sources)

    def next_ready(self) -> tuple[int, float]:
        """Take the next ready segment; return it with the time since when it was ready."""
        return self._ready.pop()

    def take(self, segment: int, reached: Checkpoint, since: float) -> None:
        """Note that the segment was read up to here.

        It stays ready since the same time, unless a drain has read all of it.
        """
        read_bytes = reached.offset - self.cursor(segment).offset
        self._read_bytes += read_bytes
        self._ready.charge(segment, read_bytes)
        self._reading[segment] = reached
        if not self.is_finished(segment):
            self._ready.add(segment, since)

    @property
    def has_postponed(self) -> bool:
        """Whether some segment has a slow chunk that is being cleaned."""
        return bool(self._postponed)

    def postpone(self, segment: int, since: float, read_bytes: int = 0) -> None:
        """Note that the segment, ready since then, goes on with a slow chunk that is not clean.

        Or with a long line, of which `read_bytes` were measured.
        """
        self._postponed[segment] = since
        self._ready.charge(segment, read_bytes)

    def resume(self, is_cleaning: Callable[[int, int], bool]) -> None:
        """Make the segments ready again whose slow chunk is clean."""
        for segment, since in list(self._postponed.items()):
            if not is_cleaning(segment, self.cursor(segment).offset):
                del self._postponed[segment]
                if segment not in self._ready:
                    self._ready.add(segment, since)

    def exhaust(self, segment: int) -> None:
        """Note that nothing whole is left to read in the segment for now."""
        if segment not in self._reading:
            self._behind_since.pop(segment, None)

    def hold(self, held_bytes: int) -> None:
        """Note how much memory the sink's batch takes."""
        self._held_bytes = held_bytes

    def recall(self, committed: Mapping[int, Checkpoint]) -> None:
        """Note how far the journal has segments that rested, or were other segments, until now."""
        for segment, checkpoint in committed.items():
            self._committed.setdefault(segment, checkpoint)

    def advance(self, reached: Mapping[int, Checkpoint]) -> None:
        """Note the checkpoints that the journal has now."""
        for segment, checkpoint in reached.items():
            self._committed[segment] = checkpoint
            if self._reading.get(segment) == checkpoint:
                del self._reading[segment]
            ready_since = self._ready.since(segment)
            if ready_since is None:
                ready_since = self._postponed.get(segment)
            if ready_since is not None:
                self._behind_since[segment] = ready_since
            else:
                self._behind_since.pop(segment, None)
        self._held_bytes = 0

    def go_on(self, former: int, segment: int, limit: Checkpoint) -> None:
        """Read another segment from where the batch has the former one, from `limit` at most.

        The commit that has the former says so of the other, too.
        """
        if former not in self._reading:
            return
        at = self._reading[former]
        at = replace(at if at.offset <= limit.offset else limit, state=b"")
        ahead = at.offset - self.cursor(segment).offset
        if ahead > 0:
            self._read_bytes += ahead
            self._reading[segment] = at

    def rewind(self, now: float) -> None:
        """Forget what was read and not committed: it is read again."""
        for segment, at in self._reading.items():
            self._read_bytes -= at.offset - self.find_committed_checkpoint(segment).offset
            self.offer(segment, now)
        self._reading.clear()
        self._held_bytes = 0

    @property
    def is_limited(self) -> bool:
        """Whether a drain has begun: open messages are taken as they are, in this very thread.

        The event loop learns of the drain later. A step that asked it would still leave an open
        message, and nobody would offer that message again.
        """
        return self._target is not None

    def limit(self, target: Mapping[int, int]) -> None:
        """Begin a drain: read no further than these sizes, by segment."""
        self._target = target

    def forget_all_but(self, known: frozenset[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self._ready.forget_all_but(known | self._reading.keys() | self._postponed.keys())
        self._committed = {
            segment: at for segment, at in self._committed.items() if segment in known
        }
