"""Build the parts of the pipeline that a configuration describes, and connect them."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

import msgspec
import structlog

from tracesidecar import __version__
from tracesidecar.batch import BatchSpec, Encoding
from tracesidecar.config import Configuration, list_own_paths
from tracesidecar.daemon.continuity import announce_move, reject_repetition
from tracesidecar.daemon.redaction_check import warn_of_cache
from tracesidecar.daemon.succession import take_over_sources
from tracesidecar.deliver import Delivery, SinkEvents
from tracesidecar.dialects import SCHEMA_VERSION, Interpreter, cost_source, select_dialect
from tracesidecar.encode import describe_level, format_of
from tracesidecar.errors import RetryReason
from tracesidecar.journal import Journal, Vault, sweep_sealed
from tracesidecar.masking import Mask
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING, Checkpoint
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
from tracesidecar.sinks import (
    SinkOptions,
    build_sink,
    content_of,
    destination_key_of,
    keeps_records,
    record_limit_of,
    sink_type,
)
from tracesidecar.tail import LossReason, SkipReason, SourceOptions, link_folder
from tracesidecar.tail.build import build_tailer

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher

log = structlog.get_logger()

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build everything; blocks until it is done. `line_metrics` is of the generation before.

        Raises ConfigurationError or RedactionError if the configuration cannot be run.
        """
        self._configuration = configuration
        self._journal = journal
        self._metrics = metrics
        self._at = at
        self._clock = clock
        self.line_metrics = line_metrics or LineMetrics(metrics)
        self._sinks: list[SinkState] = []
        self._engine = self._rules = ""
        chunk_cache_bytes, event_cache_bytes = self._cache_sizes()
        self._cache_bytes = chunk_cache_bytes + event_cache_bytes
        self._progress = Progress()
        self.worker = WorkerThread(
            lambda: self._build(watcher, chunk_cache_bytes, event_cache_bytes), self._progress
        )

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
        Raises ConfigurationError as `reject_repetition` does.
        """
        wanted = [options for options in configuration.sink if options.name in names]
        for options in wanted:
            reject_repetition(options, self._journal, configuration)
        context.tailer.note_own_paths(list_own_paths(configuration))
        return [self._make_sink(context, configuration, options) for options in wanted]

    # ---------------------------------------------------------------- in the worker thread

    def _build(
        self, watcher: Watcher | None, chunk_cache_bytes: int, event_cache_bytes: int
    ) -> WorkerContext:
        configuration, journal = self._configuration, self._journal
        state, daemon = configuration.state_directory, configuration.daemon

        def make_sanitizer() -> Sanitizer:
            return Sanitizer(
                configuration.redaction,
                cache_directory=os.path.join(state, "cache"),
                cache_key=journal.key,
                digest_key=journal.key,
            )

        sanitizer = make_sanitizer()
        self._engine, self._rules = sanitizer.engine, sanitizer.version
        warn_of_cache(sanitizer.cache_trouble)
        journal.identities.forget_old_names()
        announce_move(state, journal)
        take_over_sources(configuration.source, journal, state)
        for options in configuration.sink:  # before anything is loaded: that may be very much
            reject_repetition(options, journal, configuration)
        self._metrics.declare(rules=sanitizer.marks, loss_reasons=get_args(LossReason))
        for source in configuration.source:
            self._metrics.declare_source(source.name, RejectionReason, get_args(SkipReason))
        configured = {source.name for source in configuration.source}
        left = set(journal.sources.load().values()) - configured
        journal.segments.let_rest(self._list_takers(), left)
        tailer = build_tailer(
            configuration.source,
            journal.segments,
            key=journal.key,
            link_directory=link_folder(state),
            own_paths=list_own_paths(configuration),
            held_limit=daemon.held_limit,
            poll_interval=daemon.poll_interval,
            watcher=watcher,
            progress=self._progress,
            at=self._at,
        )
        self.line_metrics.recall(journal.segments.load_frontier(tailer.segments()))
        set_aside = sweep_sealed(
            state, journal.quarantine.list_sealed_files(), journal.segments.find_progress
        )
        if set_aside:
            log.warning(
                "quarantine.set_aside",
                files=set_aside,
                problem="sealed lines that the journal does not know were moved to "
                "quarantine/unknown in the state directory: decrypt them with age, or delete them",
            )
        seal_to = configuration.quarantine.seal_to
        interprets = interpreting_sinks(configuration) > 0 or self._has_planned_events()
        context = build_context(
            tailer=tailer,
            sanitizer=sanitizer,
            make_sanitizer=make_sanitizer,
            journal=journal,
            metrics=self._metrics,
            line_metrics=self.line_metrics,
            sources={source.name: source for source in configuration.source},
            interpreters=self._interpreters() if interprets else {},
            vault=Vault(state, seal_to) if seal_to else None,
            chunk_cache_bytes=chunk_cache_bytes,
            event_cache_bytes=event_cache_bytes,
            clock=self._clock,
            progress=self._progress,
            at=self._at,
        )
        journal.segments.expect_sinks(
            lambda: {name: sink.takes for name, sink in context.intake.sinks.items()},
            lambda lost: report_losses(self._metrics, lost),
        )
        tailer.announce_recalls(lambda segments: self._recall(context, segments))
        # sinks that start "now" come last: what is still needed depends on the others too
        for options in sorted(configuration.sink, key=lambda options: options.start == "now"):
            sink, cursors = self._make_sink(context, configuration, options)
            context.intake.replace_sinks((), [cursors])
            self._sinks.append(sink)
        journal.redrive_requests.forget_other_sinks(options.name for options in configuration.sink)
        context.intake.retain_rejected()
        context.intake.acknowledge_all()
        return context

    def _cache_sizes(self) -> tuple[int, int]:
        """Return how much clean chunks and events may take: nothing if only one sink takes them."""
        configuration, limit = self._configuration, self._configuration.daemon.memory_limit // 4
        return (
            min(CHUNK_CACHE_BYTES, limit) if len(configuration.sink) > 1 else 0,
            min(EVENT_CACHE_BYTES, limit) if interpreting_sinks(configuration) > 1 else 0,
        )

    def _make_sink(
        self, context: WorkerContext, configuration: Configuration, options: SinkOptions
    ) -> tuple[SinkState, SinkCursors]:
        self._begin(context, options)
        self._metrics.declare_sink(options.name, get_args(RetryReason))
        daemon, encoding = configuration.daemon, encoding_of(options)
        spec = BatchSpec(
            encoding.takes,
            encoding.format,
            encoding.content,
            encoding.compression,
            encoding.record_limit_bytes,
            encoding.is_text,
            self._journal.key,
            sink=options.name,
            host=host_name(),
            fingerprint=fingerprint(configuration, options, self._rules),
            rules=self._rules,
            labels={source.name: source.labels for source in configuration.source},
            keeps_records=keeps_records(options),
        )
        events = SinkEvents(options.name, self._metrics)
        delivery = Delivery(build_sink(options), events, mask=Mask.of(options))
        share = (daemon.memory_limit - self._cache_bytes) // len(configuration.sink)
        committed = self._journal.sinks.load_offsets_in(options.name, context.tailer.list_known())
        plans = self._journal.plans.load(options.name)
        planned = frozenset(each.segment for plan in plans for each in plan.ranges)
        return (
            SinkState(options, spec, delivery, clock=self._clock),
            SinkCursors(options, spec, committed, buffer_bytes=share, planned=planned),
        )

    def _list_takers(self) -> dict[str, list[str]]:
        """Return for each source the sinks that take it, and have begun before.

        One that begins now misses nothing of a file that is gone already. A source that only such
        sinks take is left out.
        """
        sinks, find = self._configuration.sink, self._journal.sinks.find_destination
        known = [sink for sink in sinks if find(sink.name) is not None]
        takers = {
            source.name: [sink.name for sink in known if sink.takes(source.name)]
            for source in self._configuration.source
        }
        return {source: names for source, names in takers.items() if names}

    def _recall(self, context: WorkerContext, segments: Collection[int]) -> None:
        """Note where the journal has segments that were at rest until now."""
        for name, cursors in context.intake.sinks.items():
            cursors.recall(self._journal.sinks.load_offsets_in(name, segments))
        self.line_metrics.recall(self._journal.segments.load_frontier(segments))

    def _has_planned_events(self) -> bool:
        """Return whether a plan with events is unfinished: the sink may take raw lines by now."""
        plans = (
            plan
            for options in self._configuration.sink
            for plan in self._journal.plans.load(options.name)
        )
        return any(format_of(each.name) != "raw" for plan in plans for each in plan.objects)

    def _interpreters(self) -> dict[str, Interpreter]:
        """Return one interpreter for each source."""
        metric = self._metrics.unknown_types
        return make_interpreters(
            self._configuration,
            self._rules,
            lambda dialect, line_type: metric.labels(dialect, line_type).inc(),
        )

    def _begin(self, context: WorkerContext, options: SinkOptions) -> None:
        """Let a sink that is new, or has a new destination, start where its options say."""
        destination = destination_key_of(options)
        if destination == self._journal.sinks.find_destination(options.name):
            return
        reached = _current_ends(context, options) if options.start == "now" else {}
        self._journal.sinks.begin(options.name, destination, reached)


def _current_ends(context: WorkerContext, options: SinkOptions) -> dict[int, Checkpoint]:
    """Return the end of the last whole line of every segment that is there now."""
    context.intake.scan(full=True)
    tailer, ends = context.tailer, {}
    for segment, view in tailer.segments().items():
        if options.takes(view.segment.source):
            at = BEGINNING
            while (chunk := tailer.read(segment, at)) is not None and chunk.end <= view.size:
                at = chunk.next
            if encoding_of(options).interprets:
                at = replace(at, state=context.events.state_at(segment, at.offset))
            ends[segment] = at
    for waiting in tailer.list_undecided():
        if options.takes(waiting.segment.source):
            ends[waiting.segment.id] = tailer.find_end(waiting.segment.id)
    return ends


def encoding_of(options: SinkOptions) -> Encoding:
    """Return how the records of a sink are encoded."""
    return Encoding(
        sink_type(options.type).delivery_unit,
        options.format,
        content_of(options),
        options.compression,
        record_limit_of(options),
        sink_type(options.type).takes_text,
    )


def make_interpreters(
    configuration: Configuration, rules: str, observe: Callable[[str, str], None]
) -> dict[str, Interpreter]:
    """Return one interpreter for each source; `observe` is called with what is unknown to them.

    Its arguments are the dialect and the type of the line. `rules` is the version of the sanitizer.
    """
    return {
        source.name: Interpreter(
            select_dialect(source.dialect),
            source=source.identity,
            labels=source.labels,
            host=host_name(),
            processed_by=describe_processing(source, rules),
            observe=observe,
        )
        for source in configuration.source
    }


def describe_processing(source: SourceOptions, rules: str) -> str:
    """Return the program's version and a digest of what it redacts and interprets a source by.

    It is the same for all sinks, and on all hosts that have the source with these rules: two events
    with the same id and the same description have the same line, or one of them is not what it
    says.
    """
    what = (rules, source.repair, source.documents, source.dialect, SCHEMA_VERSION, cost_source())
    return f"{__version__}+{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:8]}"


def interpreting_sinks(configuration: Configuration) -> int:
    """Return how many sinks take events, for which lines must be interpreted."""
    return sum(encoding_of(options).interprets for options in configuration.sink)


def host_name() -> str:
    """Return the name of this host in the form in which objects are named after it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "host"


def fingerprint(configuration: Configuration, options: SinkOptions, rules: str) -> str:
    """Return a digest of everything that determines the bytes of a sink's batches.

    A batch that is built again under the same fingerprint has the same bytes.
    """
    sources: Mapping[str, tuple[bool, int]] = {
        source.name: (source.repair, int(source.max_line)) for source in configuration.source
    }
    package = (
        "pyarrow"
        if options.format == "parquet"
        else {"gzip": "isal", "zstd": "zstandard", "none": ""}[options.compression]
    )
    compressor = version(package) if package else ""
    what: tuple[object, ...] = (
        __version__,
        rules,
        options.format,
        options.compression,
        compressor,
        sorted(sources.items()),
    )
    if encoding_of(options).interprets:
        interpretation = [
            (source.name, source.dialect, sorted(source.labels.items()))
            for source in configuration.source
        ]
        what += (
            describe_level(content_of(options)),
            record_limit_of(options),
            SCHEMA_VERSION,
            cost_source(),
            interpretation,
            host_name(),
        )
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]
