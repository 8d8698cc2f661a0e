"""Build one sink: its state for the event loop, and its cursors for the worker thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from tracesidecar.batch import BatchSpec
from tracesidecar.config import Configuration
from tracesidecar.daemon.processing import encoding_of, fingerprint, host_name
from tracesidecar.deliver import Delivery, SinkEvents
from tracesidecar.errors import RetryReason
from tracesidecar.journal import Journal
from tracesidecar.masking import Mask
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING, Checkpoint
from tracesidecar.pipeline import SinkCursors, SinkState, WorkerContext
from tracesidecar.sinks import SinkOptions, build_sink, destination_key_of, keeps_records
from tracesidecar.tail import SegmentView, SourceOptions
from tracesidecar.tail.tailer import Tailer


class SinkBuilder:
    """Builds the sinks of configurations that have the same rules."""

    def __init__(
        self,
        journal: Journal,
        metrics: Metrics,
        *,
        rules: str,
        cache_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        """`rules` is their fingerprint. `cache_bytes` are used by all sinks together."""
        self._journal = journal
        self._metrics = metrics
        self._rules = rules
        self._cache_bytes = cache_bytes
        self._clock = clock

    def build(
        self, context: WorkerContext, configuration: Configuration, options: SinkOptions
    ) -> tuple[SinkState, SinkCursors]:
        """Build a sink in the worker thread, and let it begin where it is to begin."""
        self._begin(context, configuration.source, options)
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
            partitions={source.name: source.limits.partitions for source in configuration.source},
        )
        events = SinkEvents(options.name, self._metrics)
        delivery = Delivery(build_sink(options), events, mask=Mask.of(options))
        share = (daemon.memory_limit - self._cache_bytes) // len(configuration.sink)
        committed = self._journal.sinks.load_offsets(options.name, context.tailer.list_known())
        plans = self._journal.plans.load(options.name)
        planned = frozenset(each.segment for plan in plans for each in plan.ranges)
        return (
            SinkState(options, spec, delivery, clock=self._clock),
            SinkCursors(options, spec, committed, buffer_bytes=share, planned=planned),
        )

    def _begin(
        self, context: WorkerContext, sources: Sequence[SourceOptions], options: SinkOptions
    ) -> None:
        """Let a sink that is new, or has a new destination, start where its options say."""
        sinks, destination = self._journal.sinks, destination_key_of(options)
        if destination != sinks.find_destination(options.name):
            reached = _current_ends(context, sources, options) if options.start == "now" else {}
            sinks.begin(options.name, destination, reached)
        names = (source.name for source in sources)
        sinks.note_sources(options.name, {name: options.takes(name) for name in names})


def _current_ends(
    context: WorkerContext, sources: Sequence[SourceOptions], options: SinkOptions
) -> dict[int, Checkpoint]:
    """Return the end of the last whole line of every segment that is there now.

    Of a file that cannot be read it is the size, without a digest (`LateBeginnings`). The states
    are made when more of the files is read: to count lines may take long.
    """
    context.intake.scan(full=True)
    tailer, ends = context.tailer, {}
    documents = {source.name for source in sources if source.documents}
    for segment, view in tailer.segments().items():
        if not options.takes(view.segment.source):
            continue
        if view.segment.source in documents:
            ends[segment] = _find_end_of_documents(tailer, view)
        elif view.state in ("live", "deleted"):
            limit = view.size if view.compression == "none" else None
            ends[segment] = tailer.find_end(segment, limit)
        else:
            ends[segment] = BEGINNING
    for waiting in tailer.list_undecided():
        if options.takes(waiting.segment.source):
            ends[waiting.segment.id] = tailer.find_end(waiting.segment.id)
    for unread in tailer.list_unread():
        if unread.is_new and options.takes(unread.segment.source):
            ends[unread.segment.id] = tailer.find_end(unread.segment.id)
    return ends


def _find_end_of_documents(tailer: Tailer, view: SegmentView) -> Checkpoint:
    """Return where the last document ends that was there when the files were looked at."""
    at = BEGINNING
    while (chunk := tailer.read(view.segment.id, at)) is not None and chunk.end <= view.size:
        at = chunk.next
    if chunk is None and tailer.is_unreadable(view.segment.id):
        return Checkpoint(view.size, b"")
    return at
