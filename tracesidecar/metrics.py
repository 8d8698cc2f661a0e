"""The Prometheus metrics, with their public names and descriptions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from tracesidecar import __version__
from tracesidecar.line_types import LineTypes

PREFIX = "tracesidecar_"

CounterKey = tuple[str, tuple[str, ...]]
"""The name of a counter without the prefix, and the values of its labels in order."""

OUTCOMES = ("ok", "retry", "rejected")
"""How an attempt to send can end."""


_UNKNOWN_TYPES = "unknown_types_total"
_BY_TOTAL = (
    "batches_total",
    "retries_total",
    "sink_restarts_total",
    _UNKNOWN_TYPES,
    "id_conflicts_total",
    "displaced_records_total",
)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._counters: dict[str, Counter] = {}
        ProcessCollector(registry=self.registry)
        self.files = self._gauge("files", "Files followed, by source and state.", "source", "state")
        self.read_bytes = self._counter(
            "read_bytes_total",
            "Bytes read from trace files, once however many sinks take them.",
            "source",
        )
        self.lines = self._counter("lines_total", "Lines that passed validation.", "source")
        self.quarantined_lines = self._counter(
            "quarantined_lines_total", "Rejected lines, by reason.", "source", "reason"
        )
        self.redactions = self._counter("redactions_total", "Redacted secrets, by rule.", "rule")
        self.open_messages = self._counter(
            "open_messages_total",
            "Streamed messages taken before their end: a secret that is split there is not seen.",
            "source",
        )
        self.repaired_lines = self._counter(
            "repaired_lines_total",
            "Lines that `repair` fixed or saved.",
            "source",
        )
        self.blank_lines = self._counter("blank_lines_total", "Blank lines skipped.", "source")
        self.delivered_lines = self._counter(
            "delivered_lines_total", "Lines that are durable at the destination.", "sink"
        )
        self.delivered_bytes = self._counter(
            "delivered_bytes_total", "Bytes delivered, before compression.", "sink"
        )
        self.batches = self._counter(
            "batches_total",
            f"Send attempts, by outcome: {', '.join(OUTCOMES)}; to connect counts if it fails.",
            "sink",
            "outcome",
        )
        self.send_seconds = Histogram(
            PREFIX + "send_seconds",
            "How long one send took.",
            ("sink",),
            registry=self.registry,
            buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
        )
        self.retries = self._counter(
            "retries_total", "Sends that must be repeated, by reason.", "sink", "reason"
        )
        self.circuit_open = self._gauge(
            "circuit_open", "1 while the destination is considered down.", "sink"
        )
        self.lag_bytes = self._gauge(
            "lag_bytes", "Bytes on disk that the sink does not have yet.", "sink"
        )
        self.lag_seconds = self._gauge(
            "lag_seconds", "Seconds since the sink is behind, 0 if it has everything.", "sink"
        )
        self.sink_restarts = self._counter(
            "sink_restarts_total", "Restarts of a sink after a bug in it.", "sink"
        )
        self.id_conflicts = self._counter(
            "id_conflicts_total",
            "Events whose id another line had: they are stored under a derived id.",
            "sink",
        )
        self.held_bytes = self._gauge(
            "held_bytes", "Bytes of deleted files kept for sinks that are behind."
        )
        self.at_risk_bytes = self._gauge(
            "at_risk_bytes",
            "Undelivered bytes that nothing protects from deletion, or that cannot be read.",
        )
        self.lost_bytes = self._counter(
            "lost_bytes_total",
            "Bytes that were gone before they could be read, by reason.",
            "reason",
        )
        self.lost_files = self._counter(
            "lost_files_total",
            "Files that lost a number of bytes that nobody knows, by reason.",
            "reason",
        )
        self.rewritten_files = self._counter(
            "rewritten_files_total",
            "Files that no longer held what had been read: shortened, rewritten or replaced.",
            "source",
        )
        self.repeated_bytes = self._counter(
            "repeated_bytes_total",
            "Bytes that had arrived and were sent again, because they follow a gap in a file that "
            "was rewritten.",
            "sink",
        )
        self.displaced_records = self._counter(
            "displaced_records_total",
            "Records in the partition of the day of arrival, because their batch had too many.",
            "source",
        )
        self._line_types = LineTypes()
        self._unknown_types = self._counter(
            _UNKNOWN_TYPES,
            "Lines of a type that the dialect does not know; `other`: beyond the first 50 types.",
            "dialect",
            "type",
        )
        self.ready = self._gauge("ready", "1 while /readyz answers 200.")
        self.config_reload_success = self._gauge(
            "config_reload_success", "0 after a reload that was rejected, else 1."
        )
        self.config_reload_success.set(1)
        self.last_delivery_timestamp_seconds = self._gauge(
            "last_delivery_timestamp_seconds",
            "When the sink last committed a batch, in seconds since the epoch; 0: never.",
            "sink",
        )
        self.unreadable = self._gauge(
            "unreadable", "Directories and files that exist and cannot be read now.", "source"
        )
        self.skipped = self._gauge(
            "skipped",
            "What a pattern matches and is not read, by reason: link (a symbolic link that is not "
            "followed), owner (a second hard link, and a strange owner), own (our own output).",
            "source",
            "reason",
        )
        self.limit_reached = self._gauge(
            "limit_reached",
            "1 while something of the source waits at this one of its limits.",
            "source",
            "limit",
        )
        self.memory_used = self._gauge("memory_used_bytes", "Bytes held in batches and caches.")
        Gauge(
            PREFIX + "build_info", "The program's version.", ("version",), registry=self.registry
        ).labels(__version__).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        made = self._counters[name] = Counter(PREFIX + name, text, labels, registry=self.registry)
        return made

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def forget_sink(self, name: str) -> None:
        """Drop the gauges of a sink that is no longer served; its counters stay."""
        for gauge in (
            self.lag_bytes,
            self.lag_seconds,
            self.circuit_open,
            self.last_delivery_timestamp_seconds,
        ):
            gauge.remove(name)

    def add(self, counts: Mapping[CounterKey, float]) -> None:
        """Add to counters."""
        for (name, labels), value in counts.items():
            try:
                counter = self._counters[name].labels(*labels)
            except (KeyError, ValueError):
                continue  # another version had counted it, or with other labels
            counter.inc(value)

    def restore(self, counts: Mapping[CounterKey, float]) -> dict[CounterKey, CounterKey]:
        """Add what an earlier process had counted.

        Return what is counted under another key from now on, with that key: types of lines beyond
        the limit, which an earlier version did not have.
        """
        moved = {
            key: (_UNKNOWN_TYPES, (key[1][0], self._line_types.admit(*key[1])))
            for key in counts
            if key[0] == _UNKNOWN_TYPES and len(key[1]) == 2
        }
        totals: defaultdict[CounterKey, float] = defaultdict(float)
        for key, value in counts.items():
            totals[moved.get(key, key)] += value
        self.add(totals)
        return {former: key for former, key in moved.items() if former != key}

    def count_unknown_type(self, dialect: str, line_type: str) -> None:
        """Count a line of a type that its dialect does not know."""
        self._unknown_types.labels(dialect, self._line_types.admit(dialect, line_type)).inc()

    def list_totals(self) -> dict[CounterKey, float]:
        """Return the counters that no commit counts by itself, for the journal."""
        return {
            (name, tuple(sample.labels.values())): sample.value
            for name in _BY_TOTAL
            for family in self._counters[name].collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }

    def declare_sink(self, name: str, retry_reasons: Iterable[str]) -> None:
        """Let the counters of a sink exist at 0: an alert on an increase needs a first value."""
        for counter in (
            self.delivered_lines,
            self.delivered_bytes,
            self.sink_restarts,
            self.id_conflicts,
            self.repeated_bytes,
        ):
            counter.labels(name)
        for outcome in OUTCOMES:
            self.batches.labels(name, outcome)
        for reason in retry_reasons:
            self.retries.labels(name, reason)
        self.send_seconds.labels(name)
        self.circuit_open.labels(name)
        self.last_delivery_timestamp_seconds.labels(name)

    def declare_source(
        self,
        name: str,
        rejection_reasons: Iterable[str],
        skip_reasons: Iterable[str],
        limits: Iterable[str],
    ) -> None:
        """Let the counters of a source exist at 0."""
        for counter in (
            self.read_bytes,
            self.lines,
            self.open_messages,
            self.repaired_lines,
            self.blank_lines,
            self.rewritten_files,
            self.displaced_records,
        ):
            counter.labels(name)
        for reason in rejection_reasons:
            self.quarantined_lines.labels(name, reason)
        self.unreadable.labels(name)
        for reason in skip_reasons:
            self.skipped.labels(name, reason)
        for limit in limits:
            self.limit_reached.labels(name, limit)

    def declare(self, *, rules: Iterable[str], loss_reasons: Iterable[str]) -> None:
        """Let the counters of the redaction and of losses exist at 0."""
        for rule in rules:
            self.redactions.labels(rule)
        for reason in loss_reasons:
            self.lost_bytes.labels(reason)
            self.lost_files.labels(reason)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
