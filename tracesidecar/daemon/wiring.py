"""Build the parts of the pipeline that a configuration describes, and connect them."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version

import msgspec

from tracesidecar import __version__
from tracesidecar.batch.bodies import Encoding
from tracesidecar.batch.builder import BatchSpec
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.redaction_check import check_redaction
from tracesidecar.deliver.delivery import Delivery
from tracesidecar.deliver.events import SinkEvents
from tracesidecar.dialects import SCHEMA_VERSION, Interpreter, cost_source, select_dialect
from tracesidecar.encode.lake_layout import format_of
from tracesidecar.errors import ConfigurationError
from tracesidecar.journal import sealing
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.event_cache import EventCache
from tracesidecar.pipeline.replay import ReplaySource
from tracesidecar.pipeline.sink_loop import Pipeline
from tracesidecar.pipeline.sink_state import SinkState
from tracesidecar.sanitize import Sanitizer
from tracesidecar.sinks import (
    SinkOptions,
    build_sink,
    content_of,
    destination_of,
    record_limit_of,
    sink_type,
)
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
    ) -> None:
        self.configuration = configuration
        self._journal = journal
        self._metrics = metrics
        state, daemon = configuration.state_directory, configuration.daemon
        self.sanitizer = Sanitizer(
            configuration.redaction,
            cache_directory=os.path.join(state, "cache"),
            digest_key=journal.key,
        )
        check_redaction(self.sanitizer)
        self.tailer = Tailer(
            configuration.source,
            journal,
            key=journal.key,
            held_directory=os.path.join(state, "held"),
            held_limit=daemon.held_limit,
            poll_interval=daemon.poll_interval,
            notices=watcher,
            at=at,
        )
        interpreting = interpreting_sinks(configuration)
        chunk_cache_bytes = (
            min(CHUNK_CACHE_BYTES, daemon.memory_limit // 4) if len(configuration.sink) > 1 else 0
        )
        event_cache_bytes = (
            min(EVENT_CACHE_BYTES, daemon.memory_limit // 4) if interpreting > 1 else 0
        )
        self._cache_bytes = chunk_cache_bytes + event_cache_bytes
        sources = {source.name: source for source in configuration.source}
        sealing.sweep(state, journal.sealed_files())
        vault = (
            sealing.Vault(state, seal_to) if (seal_to := configuration.quarantine.seal_to) else None
        )
        interprets = interpreting > 0 or self._has_planned_events()
        chunk_reader = ChunkReader(
            self.tailer,
            self.sanitizer,
            sources,
            key=journal.key,
            metrics=metrics,
            cache_bytes=chunk_cache_bytes,
            vault=vault,
            with_places=interprets,
        )
        self._events = EventCache(
            self.tailer,
            chunk_reader,
            self._interpreters() if interprets else {},
            cache_bytes=event_cache_bytes,
        )
        self.pipeline = Pipeline(
            collector=self.tailer,
            material=ReplaySource(chunk_reader, self._events),
            journal=journal,
            metrics=metrics,
            at=at,
        )
        # sinks that start "now" come last: what is still needed depends on the others too
        for options in sorted(configuration.sink, key=lambda options: options.start == "now"):
            self.pipeline.exchange((), [self.sink_state(options)])
        journal.forget_redrives(options.name for options in configuration.sink)
        self.pipeline.retain_refused()
        self.pipeline.settle(tuple(self.tailer.segments()))

    def sink_state(self, options: SinkOptions) -> SinkState:
        """Build one sink, with its delivery and its position in every segment.

        Call it in the worker thread once there is one. Raises ConfigurationError as
        `reject_moved_destination` does.
        """
        self._begin(options)
        daemon = self.configuration.daemon
        spec = BatchSpec(
            sink=options.name,
            host=host_name(),
            form=encoding_of(options),
            fingerprint=fingerprint(self.configuration, options, self.sanitizer.version),
            rules=self.sanitizer.version,
            labels={source.name: source.labels for source in self.configuration.source},
        )
        delivery = Delivery(build_sink(options), SinkEvents(options.name, self._metrics))
        share = (daemon.memory_limit - self._cache_bytes) // len(self.configuration.sink)
        return SinkState(
            options,
            delivery,
            spec,
            self._journal.offsets(options.name),
            share,
            progressed_at=time.monotonic(),
        )

    def _has_planned_events(self) -> bool:
        """Return whether a plan with events is unfinished: the sink may take raw lines by now."""
        plans = (
            plan
            for options in self.configuration.sink
            for plan in self._journal.plans(options.name)
        )
        return any(format_of(each.name) != "raw" for plan in plans for each in plan.objects)

    def _interpreters(self) -> dict[str, Interpreter]:
        """Return one interpreter for each source."""
        metric = self._metrics.unknown_types
        return {
            source.name: Interpreter(
                select_dialect(source.dialect),
                labels=source.labels,
                host=host_name(),
                observe=lambda dialect, line_type: metric.labels(dialect, line_type).inc(),
            )
            for source in self.configuration.source
        }

    def _begin(self, options: SinkOptions) -> None:
        """Let a sink that is new, or has a new destination, start where its options say."""
        reject_moved_destination(options, self._journal)
        destination = destination_of(options)
        if destination == self._journal.destination(options.name):
            return
        reached = self._current_ends(options) if options.start == "now" else {}
        self._journal.begin_sink(options.name, destination, reached)

    def _current_ends(self, options: SinkOptions) -> dict[int, Checkpoint]:
        """Return the end of the last whole line of every segment that is there now."""
        self.pipeline.look(full=True)
        ends = {}
        for segment, view in self.tailer.segments().items():
            if options.takes(view.segment.source):
                at = BEGINNING
                while (
                    chunk := self.tailer.read(segment, at)
                ) is not None and chunk.end <= view.size:
                    at = chunk.next
                ends[segment] = (
                    replace(at, state=self._events.entry(segment, at.offset))
                    if encoding_of(options).interprets
                    else at
                )
        return ends


def encoding_of(options: SinkOptions) -> Encoding:
    """Return how the records of a sink are encoded."""
    return Encoding(
        sink_type(options.type).delivery_unit,
        options.format,
        content_of(options),
        options.compression,
        record_limit_of(options),
    )


def interpreting_sinks(configuration: Configuration) -> int:
    """Return how many sinks take events, for which lines must be interpreted."""
    return sum(encoding_of(options).interprets for options in configuration.sink)


def reject_moved_destination(options: SinkOptions, journal: Journal) -> None:
    """Raise ConfigurationError if the sink's name belongs to another destination in the journal,
    and the options do not say where to start at the new one.
    """
    before = journal.destination(options.name)
    now = destination_of(options)
    if before not in (None, now) and options.start is None:
        raise ConfigurationError(
            f'sink "{options.name}" used to deliver to {before} and is now to deliver to {now}: '
            'set start = "beginning" (deliver everything that is still on disk to the new '
            'destination) or start = "now", or give the sink another name'
        )


def host_name() -> str:
    """Return the name of this host in the form in which objects are named after it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "host"


def fingerprint(configuration: Configuration, options: SinkOptions, rules: str) -> str:
    """Return a digest of everything that determines the bytes of a sink's batches: a batch that is
    built again under the same fingerprint has the same bytes.
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
            content_of(options),
            record_limit_of(options),
            SCHEMA_VERSION,
            cost_source(),
            interpretation,
            host_name(),
        )
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]
