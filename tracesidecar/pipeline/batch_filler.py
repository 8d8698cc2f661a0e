"""The batches of all sinks while they fill, a step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from tracesidecar.batch import BatchBuilder, PreparedBatch
from tracesidecar.deliver import UNANIMOUS
from tracesidecar.errors import EncodingFailed
from tracesidecar.model import Checkpoint, CleanChunk
from tracesidecar.pipeline.chunk_reader import MEASURED_BYTES, ChunkReader
from tracesidecar.pipeline.event_cache import COUNTED_BYTES, EventCache
from tracesidecar.pipeline.intake import Intake
from tracesidecar.pipeline.line_locator import LineLocator
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()

STEP_BYTES = 4 << 20
"""How much the sinks take at most in one round of steps. Each sink gets its share of it, and finds
in the cache what the one before it has read.
"""
STEP_SECONDS = 0.02
"""A step ends after this time, however little it has taken, so that the other sinks, the scan and
the health pages have their turn.
"""
LONG_CHUNK_SECONDS = 0.05
"""After a chunk that took this long, the next ones of its file have fewer lines, if other sources
wait for the end of the step.
"""
TOGETHER_BYTES = 64 << 20
"""Sinks that are no further apart than this go side by side; one with a backlog goes alone."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of filling did.

    `taken_bytes` counts source bytes, `read_bytes` those of all steps, less what is read again.
    `is_ahead`: nothing was taken, so that a slower sink can catch up. `is_waiting`: nothing is left
    to read but slow chunks that are being cleaned, and long lines. `is_measuring`: more of such a
    line can be measured at once. `has_more`: some segment may have more for the sink.
    `taken_sources` are those of what was taken, `ready_sources` those of which something may be
    left.
    """

    taken_bytes: int
    read_bytes: int
    is_empty: bool
    is_full: bool
    has_more: bool
    taken_sources: frozenset[str] = frozenset()
    ready_sources: frozenset[str] = frozenset()
    is_waiting: bool = False
    is_ahead: bool = False
    is_measuring: bool = False


class BatchFiller:
    """Fills one batch for each sink. Lives in the worker thread."""

    def __init__(
        self,
        *,
        tailer: Tailer,
        chunks: ChunkReader,
        events: EventCache,
        locator: LineLocator,
        labels: PathLabels,
        intake: Intake,
        clock: Callable[[], float],
        at: Callable[[str], None],
    ) -> None:
        self._tailer = tailer
        self._chunks = chunks
        self._events = events
        self._locator = locator
        self._labels = labels
        self._intake = intake
        self._clock = clock
        self._at = at
        self._builders: dict[str, BatchBuilder] = {}
        self._careful: set[str] = set()
        self._has_encoded: set[str] = set()
        self._are_writers_gone = False
        self._has_read = self._is_measuring = False

    def end_writers(self) -> None:
        """Take last lines without a newline, too: no file grows any more."""
        self._are_writers_gone = True

    def fill(self, name: str, slower: Mapping[str, int]) -> Step:
        """Take up to a step's worth of chunks for a sink, one from each ready segment in turn.

        `slower` are the sinks to wait for: name → the lead in bytes that this sink may have.
        """
        self._is_measuring = False
        sink = self._intake.sinks[name]
        builder = self._builders.get(name)
        if builder is None:
            builder = self._builders[name] = BatchBuilder(
                sink.spec, capacity=sink.capacity, is_careful=name in self._careful
            )
        is_ahead = not builder.is_full and any(
            self._leads(sink, other, lead) for other, lead in slower.items()
        )
        sources: set[str] = set()
        taken = 0 if is_ahead else self._take_step(sink, builder, sources)
        read, ready, postponed = sink.read_bytes, sink.ready_sources, sink.has_postponed
        return Step(
            taken,
            read,
            builder.is_empty,
            builder.is_full,
            bool(ready) or postponed,
            frozenset(sources),
            ready,
            is_waiting=postponed and not ready,
            is_ahead=is_ahead,
            is_measuring=self._is_measuring,
        )

    def close(self, name: str) -> PreparedBatch:
        """Close the sink's batch; the next `fill` begins a new one.

        Raise EncodingFailed if its lines fail the encoder and nothing says that it works at all.
        """
        builder = self._builders.pop(name)
        if not builder.records and builder.failures:
            is_proven = name in self._has_encoded and builder.failures < UNANIMOUS
            if not is_proven:
                raise EncodingFailed(f"{builder.failures} lines of a batch, and no other in it")
        try:
            prepared = builder.close()
        except Exception:
            self._careful.add(name)
            raise
        self._careful.discard(name)
        if builder.records:
            self._has_encoded.add(name)
        return prepared

    def discard(self, name: str) -> None:
        """Drop the sink's batch."""
        self._builders.pop(name, None)

    def _leads(self, sink: SinkCursors, other: str, allowed: int) -> bool:
        slower = self._intake.sinks.get(other)
        return (
            slower is not None
            and slower.has_ready
            and allowed < sink.read_bytes - slower.read_bytes <= TOGETHER_BYTES
        )

    def _take_step(self, sink: SinkCursors, builder: BatchBuilder, sources: set[str]) -> int:
        """Take chunks until the step is over; return how many source bytes they have.

        Their sources are added to `sources`.
        """
        taken, step_bytes = 0, STEP_BYTES // max(len(self._intake.sinks), 1)
        sink.resume(self._chunks.is_cleaning)
        began = time.monotonic()
        while (
            sink.has_ready
            and taken < step_bytes
            and not builder.is_full
            and time.monotonic() - began < STEP_SECONDS
        ):
            taken += self._fill_from_next(sink, builder, sources)
        sink.hold(builder.held_bytes)
        return taken

    def _fill_from_next(self, sink: SinkCursors, builder: BatchBuilder, sources: set[str]) -> int:
        """Take a chunk of the next ready segment; return how many source bytes it has."""
        began = time.monotonic()
        segment, since = sink.next_ready()
        if sink.is_finished(segment):
            return 0
        at = sink.cursor(segment)
        if sink.interprets and not self._events.prepare(segment, at):
            self._is_measuring = True
            sink.postpone(segment, since, COUNTED_BYTES)
            return 0
        final = self._are_writers_gone or self._tailer.is_writer_gone(segment)
        clean = self._chunks.next(
            segment, at, final=final, flush=final or sink.is_limited, now=self._clock()
        )
        if clean is None:
            if self._chunks.is_slow(segment, at.offset):
                sink.postpone(segment, since)
            elif self._chunks.is_queued(segment):
                self._is_measuring = True
                sink.postpone(segment, since)
            elif self._chunks.is_measuring(segment, at.offset):
                self._is_measuring = True
                sink.postpone(segment, since, MEASURED_BYTES)
            else:
                sink.exhaust(segment)
            return 0
        if not self._has_read:
            self._has_read = True
            log.info("pipeline.first_read")
        self._at("read")
        self._add(sink, builder, clean, at)
        sink.take(segment, builder.reached[segment], since)
        sources.add(clean.segment.source)
        if time.monotonic() - began > LONG_CHUNK_SECONDS and sink.has_several_sources:
            self._chunks.shorten(segment)
        return clean.end - clean.start

    def _add(
        self, sink: SinkCursors, builder: BatchBuilder, clean: CleanChunk, at: Checkpoint
    ) -> None:
        segment = clean.segment
        label = self._labels.label(segment.path)
        if sink.interprets:
            events, state = self._events.interpret(clean, at.state)
            try:
                rejected = builder.add(clean, label, events, state)
            except Exception:
                self._careful.add(sink.name)  # its next batch finds the lines that cause it
                raise
        else:
            rejected = builder.add(clean, label)
        if rejected:
            builder.quarantine(self._locator.quarantine_rejected(clean, rejected, sink.name))
