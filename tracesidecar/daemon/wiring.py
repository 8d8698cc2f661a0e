"""Put the parts together as the configuration says."""

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
from tracesidecar.daemon.redaction_check import prove
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
from tracesidecar.sinks.options import SinkOptions
from tracesidecar.sinks.registry import (
    build_sink,
    content_of,
    destination_of,
    record_limit_of,
    sink_type,
)
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.tailer import Tailer

CACHE_BYTES = 8 << 20
MEANINGS_CACHE_BYTES = 12 << 20


class Wiring:
    """The parts of one configuration, over one journal.

    Routes are made one by one, so that a reload can change a single sink.
    """

    def __init__(
        self,
        configuration: Configuration,
        journal: Journal,
        metrics: Metrics,
        *,
        notices: Watcher | None,
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
        prove(self.sanitizer)
        self.collector = Tailer(
            configuration.source,
            journal,
            key=journal.key,
            held_directory=os.path.join(state, "held"),
            held_limit=daemon.held_limit,
            poll_interval=daemon.poll_interval,
            notices=notices,
            at=at,
        )
        interpreting = interpreters_wanted(configuration)
        pieces_bytes = (
            min(CACHE_BYTES, daemon.memory_limit // 4) if len(configuration.sink) > 1 else 0
        )
        meanings_bytes = (
            min(MEANINGS_CACHE_BYTES, daemon.memory_limit // 4) if interpreting > 1 else 0
        )
        self._cache_bytes = pieces_bytes + meanings_bytes
        sources = {source.name: source for source in configuration.source}
        sealing.sweep(state, journal.sealed_files())
        vault = (
            sealing.Vault(state, seal_to) if (seal_to := configuration.quarantine.seal_to) else None
        )
        interprets = interpreting > 0 or self._has_planned_events()
        pieces = ChunkReader(
            self.collector,
            self.sanitizer,
            sources,
            key=journal.key,
            metrics=metrics,
            cache_bytes=pieces_bytes,
            vault=vault,
            with_places=interprets,
        )
        self._meanings = EventCache(
            self.collector,
            pieces,
            self._interpreters() if interprets else {},
            cache_bytes=meanings_bytes,
        )
        self.pipeline = Pipeline(
            collector=self.collector,
            material=ReplaySource(pieces, self._meanings),
            journal=journal,
            metrics=metrics,
            at=at,
        )
        for options in sorted(
            configuration.sink, key=lambda options: options.start == "now"
        ):  # the others have a say in what is still needed
            self.pipeline.exchange((), [self.route(options)])
        journal.forget_redrives(options.name for options in configuration.sink)
        self.pipeline.retain_refused()
        self.pipeline.settle(tuple(self.collector.segments()))

    def route(self, options: SinkOptions) -> SinkState:
        """Make one sink's way; in the worker thread, once there is one.

        Raises ConfigurationError as `refuse_moved` does.
        """
        self._begin(options)
        daemon = self.configuration.daemon
        form = BatchSpec(
            sink=options.name,
            host=host_name(),
            form=form_of(options),
            fingerprint=fingerprint(self.configuration, options, self.sanitizer.version),
            rules=self.sanitizer.version,
            labels={source.name: source.labels for source in self.configuration.source},
        )
        delivery = Delivery(build_sink(options), SinkEvents(options.name, self._metrics))
        share = (daemon.memory_limit - self._cache_bytes) // len(self.configuration.sink)
        return SinkState(
            options,
            delivery,
            form,
            self._journal.offsets(options.name),
            share,
            progressed_at=time.monotonic(),
        )

    def _has_planned_events(self) -> bool:
        """Tell whether a plan of a sink that took events before is still to be finished."""
        plans = (
            plan
            for options in self.configuration.sink
            for plan in self._journal.plans(options.name)
        )
        return any(format_of(each.name) != "raw" for plan in plans for each in plan.objects)

    def _interpreters(self) -> dict[str, Interpreter]:
        """One for each source."""
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
        refuse_moved(options, self._journal)
        destination = destination_of(options)
        if destination == self._journal.destination(options.name):
            return
        reached = self._ends(options) if options.start == "now" else {}
        self._journal.begin_sink(options.name, destination, reached)

    def _ends(self, options: SinkOptions) -> dict[int, Checkpoint]:
        """The end of the last whole line of every segment that is there now."""
        self.pipeline.look(full=True)
        ends = {}
        for segment, view in self.collector.segments().items():
            if options.takes(view.segment.source):
                at = BEGINNING
                while (
                    chunk := self.collector.read(segment, at)
                ) is not None and chunk.end <= view.size:
                    at = chunk.next
                ends[segment] = (
                    replace(at, state=self._meanings.entry(segment, at.offset))
                    if form_of(options).interprets
                    else at
                )
        return ends


def form_of(options: SinkOptions) -> Encoding:
    """How the records of a sink are encoded."""
    return Encoding(
        sink_type(options.type).delivery_unit,
        options.format,
        content_of(options),
        options.compression,
        record_limit_of(options),
    )


def interpreters_wanted(configuration: Configuration) -> int:
    """How many sinks take events."""
    return sum(form_of(options).interprets for options in configuration.sink)


def refuse_moved(options: SinkOptions, journal: Journal) -> None:
    """Raise ConfigurationError where the sink's name stood for another destination and nothing says
    what is meant.
    """
    before, now = (
        journal.destination(options.name),
        destination_of(options),
    )
    if before not in (None, now) and options.start is None:
        raise ConfigurationError(
            f'sink "{options.name}" used to deliver to {before} and is now to deliver to {now}: say start = "beginning" '
            '(deliver everything that is still on disk to the new place) or start = "now", or give the sink another name'
        )


def host_name() -> str:
    """This host's name as it may stand in an object's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "host"


def fingerprint(configuration: Configuration, options: SinkOptions, rules: str) -> str:
    """Name all that shapes the bytes of a sink's batches: a repeat with the same fingerprint has
    the same bytes.
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
    if form_of(options).interprets:
        meaning = [
            (source.name, source.dialect, sorted(source.labels.items()))
            for source in configuration.source
        ]
        what += (
            content_of(options),
            record_limit_of(options),
            SCHEMA_VERSION,
            cost_source(),
            meaning,
            host_name(),
        )
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]
