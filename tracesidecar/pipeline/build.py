"""Build everything that lives in the worker thread, and connect it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracesidecar.dialects import Interpreter
from tracesidecar.journal import Journal, Vault
from tracesidecar.metrics import Metrics
from tracesidecar.model import Chunk, CleanChunk
from tracesidecar.pipeline.batch_filler import BatchFiller
from tracesidecar.pipeline.chunk_cleaner import ChunkCleaner
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.event_cache import EventCache
from tracesidecar.pipeline.file_identities import FileIdentities, FileNames
from tracesidecar.pipeline.intake import Intake
from tracesidecar.pipeline.late_beginnings import LateBeginnings
from tracesidecar.pipeline.line_locator import LineLocator
from tracesidecar.pipeline.line_metrics import LineMetrics
from tracesidecar.pipeline.losses import Losses
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.pipeline.rejected_budget import RejectedBudget
from tracesidecar.pipeline.replay_reader import ReplayReader
from tracesidecar.pipeline.rewrites import Rewrites
from tracesidecar.pipeline.slow_chunks import SlowChunks
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.progress import Progress
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail import SourceOptions
from tracesidecar.tail.tailer import Tailer


def build_context(
    *,
    tailer: Tailer,
    sanitizer: Sanitizer,
    make_sanitizer: Callable[[], Sanitizer],
    journal: Journal,
    metrics: Metrics,
    line_metrics: LineMetrics,
    sources: Mapping[str, SourceOptions],
    interpreters: Mapping[str, Interpreter],
    vault: Vault | None,
    chunk_cache_bytes: int,
    event_cache_bytes: int,
    clock: Callable[[], float],
    progress: Progress,
    at: Callable[[str], None],
) -> WorkerContext:
    """Build the context in the thread that calls this; nothing else may use it.

    `sources` and `interpreters` are by name of the source; no interpreters: nobody takes events.
    `make_sanitizer` makes one more of the same, for another thread. `vault` is where rejected bytes
    are sealed, None if they stay in the source only. `clock` is in seconds and never goes back.
    Each piece of work is noted in `progress`. `at` is called at named points.
    """
    locator = LineLocator(tailer, key=journal.key, vault=vault)
    labels = PathLabels(sanitizer)
    cleaner = ChunkCleaner(
        sanitizer, sources, locator, key=journal.key, with_positions=bool(interpreters)
    )
    chunks = ChunkReader(
        tailer,
        cleaner,
        sources,
        line_metrics,
        has_events=bool(interpreters),
        cache_bytes=chunk_cache_bytes,
        slow_chunks=_build_dear_chunks(
            make_sanitizer, sources, locator, key=journal.key, progress=progress
        ),
        progress=progress,
    )
    identities = FileIdentities(FileNames(sources, labels), journal.identities)
    events = EventCache(
        tailer, chunks, labels, identities, interpreters, cache_bytes=event_cache_bytes
    )
    intake = Intake(
        tailer,
        chunks,
        journal,
        Losses(tailer, journal, metrics),
        Rewrites(journal, metrics),
        beginnings=LateBeginnings(tailer, journal),
        rejected=RejectedBudget(tailer, journal, sources),
        clock=clock,
    )
    filler = BatchFiller(
        tailer=tailer,
        chunks=chunks,
        events=events,
        locator=locator,
        labels=labels,
        intake=intake,
        clock=clock,
        at=at,
    )
    return WorkerContext(
        tailer=tailer,
        sanitizer=sanitizer,
        chunks=chunks,
        replay=ReplayReader(tailer, cleaner, sources, key=journal.key),
        events=events,
        locator=locator,
        labels=labels,
        intake=intake,
        filler=filler,
    )


def _build_dear_chunks(
    make_sanitizer: Callable[[], Sanitizer],
    sources: Mapping[str, SourceOptions],
    locator: LineLocator,
    *,
    key: bytes,
    progress: Progress,
) -> SlowChunks:
    def make_cleaner() -> Callable[[Chunk, bool], CleanChunk]:
        cleaner = ChunkCleaner(make_sanitizer(), sources, locator, key=key, with_positions=False)
        return lambda chunk, flush: cleaner.clean(chunk, flush=flush)

    return SlowChunks(make_cleaner, progress)
