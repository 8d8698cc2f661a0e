"""OTLP-JSON lines: spans, log records and metrics as the collector's file exporter, SDKs and Visual
Studio write them; one line holds many.

Source: OpenTelemetry specification, protocol/file-exporter.md and the JSON encoding of OTLP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import otlp_records
from tracesidecar.dialects.truncate import raw_column

_NOTHING = msgspec.Raw(b"{}")


class Scope(msgspec.Struct, rename="camel"):
    """Records of one instrumentation scope."""

    scope: msgspec.Raw = _NOTHING
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None
    metrics: list[msgspec.Raw] | None = None


class Resource(msgspec.Struct, rename="camel"):
    """What one program sent."""

    resource: msgspec.Raw = _NOTHING
    scope_spans: list[Scope] | None = None
    scope_logs: list[Scope] | None = None
    scope_metrics: list[Scope] | None = None


class Batch(msgspec.Struct, rename="camel"):
    """One line; the specification wants one kind of signal in a file."""

    resource_spans: list[Resource] | None = None
    resource_logs: list[Resource] | None = None
    resource_metrics: list[Resource] | None = None


class State(msgspec.Struct):
    """Nothing is carried: each record has all that it says."""


Reader = Callable[[msgspec.Raw, otlp_records.Flat], Event]

_decode = msgspec.json.Decoder(Batch).decode
_WRAPS = {
    "spans": (
        b'{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":%s,"spans":[%s]}]}]}',
        otlp_records.span,
    ),
    "logs": (
        b'{"resourceLogs":[{"resource":%s,"scopeLogs":[{"scope":%s,"logRecords":[%s]}]}]}',
        otlp_records.log_record,
    ),
    "metrics": (
        b'{"resourceMetrics":[{"resource":%s,"scopeMetrics":[{"scope":%s,"metrics":[%s]}]}]}',
        otlp_records.metric,
    ),
}


def recognise(_path: str, line: Mapping[str, object]) -> bool:
    """A line that has one of the three signals."""
    return any(
        isinstance(line.get(signal), list)
        for signal in ("resourceSpans", "resourceLogs", "resourceMetrics")
    )


def events(data: bytes, _state: State) -> Sequence[Event]:
    """One event a record, in the order of the line.

    Of many, each has as `raw` a line of its own that holds nothing else.
    """
    batch = _decode(data)
    found = [event for signal, resource in _resources(batch) for event in _events(signal, resource)]
    if len(found) == 1:
        found[0].raw = None
    return found


def _resources(batch: Batch) -> Iterator[tuple[str, Resource]]:
    for signal, resources in (
        ("spans", batch.resource_spans),
        ("logs", batch.resource_logs),
        ("metrics", batch.resource_metrics),
    ):
        for resource in resources or ():
            yield signal, resource


def _events(signal: str, resource: Resource) -> Iterator[Event]:
    wrap, read = _WRAPS[signal]
    shared = otlp_records.resource(resource.resource)
    for scope in (
        *(resource.scope_spans or ()),
        *(resource.scope_logs or ()),
        *(resource.scope_metrics or ()),
    ):
        for record in (*(scope.spans or ()), *(scope.log_records or ()), *(scope.metrics or ())):
            event = _event(read, record, shared)
            event.raw = raw_column(wrap % (resource.resource, scope.scope, record), ())[0]
            yield event


def _event(read: Reader, record: msgspec.Raw, shared: otlp_records.Flat) -> Event:
    """A record of another shape than OTLP's takes no other with it."""
    try:
        return read(record, shared)
    except (msgspec.ValidationError, RecursionError):
        return Event(event_kind="unknown")


DIALECT: Dialect[State] = Dialect(
    name="otlp",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    events=events,
)
