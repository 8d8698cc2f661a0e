"""The Prometheus metrics, with their public names and descriptions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tracesidecar import __version__

PREFIX = "tracesidecar_"


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
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
            "batches_total", "Send attempts, by outcome: ok, retry, rejected.", "sink", "outcome"
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
        self.held_bytes = self._gauge(
            "held_bytes", "Bytes of deleted files kept for sinks that are behind."
        )
        self.at_risk_bytes = self._gauge(
            "at_risk_bytes", "Undelivered bytes that nothing protects from deletion."
        )
        self.lost_bytes = self._counter(
            "lost_bytes_total",
            "Bytes that were gone before they could be read, by reason.",
            "reason",
        )
        self.unknown_types = self._counter(
            "unknown_types_total",
            "Lines of a type that the dialect does not know.",
            "dialect",
            "type",
        )
        self.memory_used = self._gauge("memory_used_bytes", "Bytes held in batches and caches.")
        Gauge(
            PREFIX + "build_info", "The program's version.", ("version",), registry=self.registry
        ).labels(__version__).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def forget_sink(self, name: str) -> None:
        """Drop the gauges of a sink that is no longer served; its counters stay."""
        for gauge in (self.lag_bytes, self.lag_seconds, self.circuit_open):
            gauge.remove(name)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
