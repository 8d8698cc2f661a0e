"""Build the parts of the pipeline that a configuration describes, and connect them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from tracesidecar.config import Configuration, list_own_paths
from tracesidecar.daemon.continuity import reject_repetition
from tracesidecar.daemon.preparation import (
    has_planned_events,
    prepare_journal,
    set_aside_unknown_seals,
)
from tracesidecar.daemon.processing import interpreting_sinks, make_interpreters
from tracesidecar.daemon.redaction_check import warn_of_cache
from tracesidecar.daemon.sink_builder import SinkBuilder
from tracesidecar.dialects import Interpreter
from tracesidecar.journal import Journal, Vault
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline import (
    LineMetrics,
    SinkCursors,
    SinkState,
    WorkerContext,
    WorkerThread,
    build_context,
    report_losses,
)
from tracesidecar.progress import Progress
from tracesidecar.sanitize import RejectionReason
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail import LimitName, LossReason, SkipReason, link_folder
from tracesidecar.tail.build import build_tailer

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher
    from tracesidecar.tail.tailer import Tailer

CHUNK_CACHE_BYTES = 8 << 20
EVENT_CACHE_BYTES = 12 << 20


class Wiring:
    """The parts of one configuration, over one journal.

    Sinks are built one by one, so that a reload can replace a single one.
    """

    def __init__(
        self,
        configuration: Configuration,
        journal: Journal,
        metrics: Metrics,
        *,
        watcher: Watcher | None,
        at: Callable[[str], None],
        line_metrics: LineMetrics | None = None,
        inherited: Mapping[int, int] = MappingProxyType({}),
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build everything; blocks until it is done.

        `line_metrics` is of the generation before, as `inherited` is, for `build_tailer`.

        Raise ConfigurationError or RedactionError if the configuration cannot be run, and
        Interrupted if `progress` is interrupted before that is done.
        """
        self._configuration = configuration
        self._journal = journal
        self._metrics = metrics
        self._at = at
        self._clock = clock
        self._inherited = inherited
        self.line_metrics = line_metrics or LineMetrics(metrics)
        self._sinks: list[SinkState] = []
        self._engine = self._rules = ""
        self._progress = progress or Progress()
        self.worker = WorkerThread(lambda: self._build(watcher), self._progress)

    @property
    def sinks(self) -> Sequence[SinkState]:
        """The configured sinks, in the order in which they were built."""
        return self._sinks

    @property
    def engine(self) -> str:
        """The name of the pattern engine that finds secrets."""
        return self._engine

    @property
    def rules(self) -> str:
        """The fingerprint of the redaction rules."""
        return self._rules

    def make_sinks(
        self, context: WorkerContext, configuration: Configuration, names: Collection[str]
    ) -> list[tuple[SinkState, SinkCursors]]:
        """Build sinks of a changed configuration in the worker thread.

        Return, for each sink, its SinkState (event loop) and its SinkCursors (worker thread).
        Raise ConfigurationError as `reject_repetition` does.
        """
        wanted = [options for options in configuration.sink if options.name in names]
        for options in wanted:
            reject_repetition(options, self._journal, configuration)
        context.tailer.note_own_paths(list_own_paths(configuration))
        return [self._sink_builder.build(context, configuration, options) for options in wanted]

    # In the worker thread:

    def _build(self, watcher: Watcher | None) -> WorkerContext:
        configuration, journal = self._configuration, self._journal
        sanitizer = self._make_sanitizer()
        self._engine, self._rules = sanitizer.engine, sanitizer.version
        warn_of_cache(sanitizer.cache_trouble)
        prepare_journal(configuration, journal)
        self._declare_metrics(sanitizer)
        tailer = self._build_tailer(watcher)
        self.line_metrics.recall(journal.segments.load_frontier(tailer.segments()))
        set_aside_unknown_seals(configuration, journal)
        caches = _CacheSizes.of(configuration)
        context = self._build_context(tailer, sanitizer, caches)
        self._sink_builder = SinkBuilder(
            journal, self._metrics, rules=self._rules, cache_bytes=caches.total, clock=self._clock
        )
        self._connect_journal(context)
        self._begin_sinks(context)
        return context

    def _make_sanitizer(self) -> Sanitizer:
        return Sanitizer(
            self._configuration.redaction,
            cache_directory=os.path.join(self._configuration.state_directory, "cache"),
            cache_key=self._journal.key,
            digest_key=self._journal.key,
        )

    def _declare_metrics(self, sanitizer: Sanitizer) -> None:
        self._metrics.declare(rules=sanitizer.marks, loss_reasons=get_args(LossReason))
        for source in self._configuration.source:
            self._metrics.declare_source(
                source.name, RejectionReason, get_args(SkipReason), get_args(LimitName)
            )

    def _build_tailer(self, watcher: Watcher | None) -> Tailer:
        configuration, daemon = self._configuration, self._configuration.daemon
        return build_tailer(
            configuration.source,
            self._journal.segments,
            key=self._journal.key,
            link_directory=link_folder(configuration.state_directory),
            own_paths=list_own_paths(configuration),
            held_limit=daemon.held_limit,
            poll_interval=daemon.poll_interval,
            watcher=watcher,
            progress=self._progress,
            inherited=self._inherited,
            at=self._at,
        )

    def _build_context(
        self, tailer: Tailer, sanitizer: Sanitizer, caches: _CacheSizes
    ) -> WorkerContext:
        configuration, journal = self._configuration, self._journal
        seal_to = configuration.quarantine.seal_to
        interprets = interpreting_sinks(configuration) > 0 or has_planned_events(
            configuration, journal
        )
        return build_context(
            tailer=tailer,
            sanitizer=sanitizer,
            make_sanitizer=self._make_sanitizer,
            journal=journal,
            metrics=self._metrics,
            line_metrics=self.line_metrics,
            sources={source.name: source for source in configuration.source},
            interpreters=self._interpreters() if interprets else {},
            vault=Vault(configuration.state_directory, seal_to) if seal_to else None,
            chunk_cache_bytes=caches.chunks,
            event_cache_bytes=caches.events,
            clock=self._clock,
            progress=self._progress,
            at=self._at,
        )

    def _connect_journal(self, context: WorkerContext) -> None:
        """Let the journal know who takes what, and note what it has of segments that rest."""
        self._journal.segments.expect_sinks(
            lambda: {name: sink.takes for name, sink in context.intake.sinks.items()},
            lambda lost: report_losses(self._metrics, lost),
        )
        context.tailer.announce_recalls(lambda segments: self._recall(context, segments))

    def _begin_sinks(self, context: WorkerContext) -> None:
        configuration = self._configuration
        # sinks that start "now" come last: what is still needed depends on the others too
        for options in sorted(configuration.sink, key=lambda options: options.start == "now"):
            sink, cursors = self._sink_builder.build(context, configuration, options)
            context.intake.replace_sinks((), [cursors])
            self._sinks.append(sink)
        self._journal.redrive_requests.forget_other_sinks(
            options.name for options in configuration.sink
        )
        context.intake.retain_rejected()
        context.intake.acknowledge_all()

    def _recall(self, context: WorkerContext, segments: Collection[int]) -> None:
        """Note where the journal has segments that were at rest until now."""
        for name, cursors in context.intake.sinks.items():
            cursors.recall(self._journal.sinks.load_offsets(name, segments))
        self.line_metrics.recall(self._journal.segments.load_frontier(segments))

    def _interpreters(self) -> dict[str, Interpreter]:
        """Return one interpreter for each source."""
        return make_interpreters(self._configuration, self._rules, self._metrics.count_unknown_type)


@dataclass(frozen=True, slots=True)
class _CacheSizes:
    """How much clean chunks and events may take, in bytes."""

    chunks: int
    events: int

    @property
    def total(self) -> int:
        return self.chunks + self.events

    @classmethod
    def of(cls, configuration: Configuration) -> _CacheSizes:
        """Return the sizes for a configuration: nothing for what only one sink takes."""
        limit = configuration.daemon.memory_limit // 4
        return cls(
            min(CHUNK_CACHE_BYTES, limit) if len(configuration.sink) > 1 else 0,
            min(EVENT_CACHE_BYTES, limit) if interpreting_sinks(configuration) > 1 else 0,
        )
