"""Everything that lives in the worker thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from tracesidecar.batch import PreparedBatch
from tracesidecar.journal import QuarantinedLine
from tracesidecar.metrics import CounterKey
from tracesidecar.model import Checkpoint, CleanChunk
from tracesidecar.pipeline.batch_filler import BatchFiller, Step
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.event_cache import EventCache
from tracesidecar.pipeline.intake import Intake, ScanOutcome
from tracesidecar.pipeline.line_locator import LineLocator
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.pipeline.replay_reader import ReplayReader
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail.tailer import Tailer

T = TypeVar("T")

Landmarks = dict[int, bytes]
"""The landmarks of segments, by their ids."""

MARKED_AT_ONCE = 64
"""How many files get landmarks in one step."""


class WorkerContext:
    """The files and all that reads, cleans and interprets them. Made in the worker thread.

    It is the resident of a `WorkerThread`: pass its methods, or functions that take it, to `run`.
    Every attribute raises RuntimeError in another thread.
    """

    def __init__(
        self,
        *,
        tailer: Tailer,
        sanitizer: Sanitizer,
        chunks: ChunkReader,
        replay: ReplayReader,
        events: EventCache,
        locator: LineLocator,
        labels: PathLabels,
        intake: Intake,
        filler: BatchFiller,
    ) -> None:
        self._thread = threading.get_ident()
        self._tailer = tailer
        self._sanitizer = sanitizer
        self._chunks = chunks
        self._replay = replay
        self._events = events
        self._locator = locator
        self._labels = labels
        self._intake = intake
        self._filler = filler

    @property
    def tailer(self) -> Tailer:
        """Finds and reads the trace files."""
        return self._in_thread(self._tailer)

    @property
    def sanitizer(self) -> Sanitizer:
        """Validates and redacts."""
        return self._in_thread(self._sanitizer)

    @property
    def replay(self) -> ReplayReader:
        """Reads planned ranges and rejected lines again."""
        return self._in_thread(self._replay)

    @property
    def events(self) -> EventCache:
        """Interprets clean chunks."""
        return self._in_thread(self._events)

    @property
    def locator(self) -> LineLocator:
        """Finds where rejected lines stand, and seals their bytes."""
        return self._in_thread(self._locator)

    @property
    def labels(self) -> PathLabels:
        """Paths as they may leave the machine."""
        return self._in_thread(self._labels)

    @property
    def intake(self) -> Intake:
        """Discovery, and where each sink is in every file."""
        return self._in_thread(self._intake)

    @property
    def filler(self) -> BatchFiller:
        """The batches while they fill."""
        return self._in_thread(self._filler)

    @property
    def cached_bytes(self) -> int:
        """The memory taken by clean chunks and events that more than one sink may want."""
        return self._in_thread(self._chunks).cached_bytes + self._events.cached_bytes

    # What the event loop runs:

    def scan(self, *, full: bool) -> ScanOutcome:
        """Scan, as `Intake.scan`."""
        return self.intake.scan(full=full)

    def replace_sinks(self, removed: Iterable[str], make: MakeSinks) -> list[SinkState]:
        """Make sinks and serve them in place of some, in one step."""
        made = make(self)
        self.intake.replace_sinks(removed, [cursors for _, cursors in made])
        return [state for state, _ in made]

    def fill(self, name: str, slower: Mapping[str, int]) -> Step:
        """Take a step of filling a sink's batch, as `BatchFiller.fill`."""
        return self.filler.fill(name, slower)

    def close_batch(self, name: str) -> PreparedBatch:
        """Close a sink's batch, as `BatchFiller.close`."""
        return self.filler.close(name)

    def close_and_mark(self, name: str) -> tuple[PreparedBatch, Landmarks]:
        """Close a sink's batch, and make landmarks of its first files."""
        prepared = self.close_batch(name)
        return prepared, self.mark(islice(prepared.reached, MARKED_AT_ONCE))

    def mark(self, segments: Iterable[int]) -> Landmarks:
        """Make landmarks of segments, as `Tailer.mark`; of few at a time, each takes a read."""
        return self.tailer.mark(segments)

    def commit(
        self, name: str, reached: Mapping[int, Checkpoint], rejected_in: Iterable[int]
    ) -> None:
        """Advance a sink to what the journal has, as `Intake.commit`."""
        self.intake.commit(name, reached, rejected_in)

    def note_rejected(self, lines: Iterable[QuarantinedLine]) -> None:
        """Note that the journal has rejected lines, as `Intake.note_rejected`."""
        self.intake.note_rejected(lines)

    def count(self, clean: CleanChunk) -> None:
        """Count the lines of a chunk that is replayed, as `ChunkReader.count`."""
        self._in_thread(self._chunks).count(clean)

    def take_counts(self, reached: Mapping[int, Checkpoint]) -> dict[CounterKey, float]:
        """Return what a commit adds to the saved counters, as `ChunkReader.take_counts`."""
        return self._in_thread(self._chunks).take_counts(reached)

    def rewind(self, name: str) -> None:
        """Drop a sink's batch, and read again what was in it."""
        self.filler.discard(name)
        self.intake.rewind(name)

    def _in_thread(self, part: T) -> T:
        if threading.get_ident() != self._thread:
            raise RuntimeError("this belongs to the worker thread: pass a function to its `run`")
        return part


MakeSinks = Callable[[WorkerContext], Sequence[tuple[SinkState, SinkCursors]]]
"""Makes sinks in the worker thread.

Return, for each sink, its SinkState (event loop) and its SinkCursors (worker thread).
"""
