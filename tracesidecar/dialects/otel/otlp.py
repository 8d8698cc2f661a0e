"""OTLP-JSON lines: spans, log records and metrics, many in one line.

The collector's file exporter, SDKs and Visual Studio write them. Source: OpenTelemetry
specification, protocol/file-exporter.md, and the JSON encoding of OTLP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from tracesidecar.dialects.dialect import MOST_EVENTS, Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import otlp_records
from tracesidecar.dialects.otel.genai import Attributes
from tracesidecar.dialects.otel.nested_calls import State, join_nested_calls
from tracesidecar.dialects.parsing import JsonObject
from tracesidecar.dialects.truncate import raw_column, stub

REPEATED_BYTES = 1 << 20
"""How much of resources and scopes the records of one line have in `raw`, in total."""
STUB_BYTES = 160
"""What is not longer than a stub is never replaced by one."""

_NOTHING = msgspec.Raw(b"{}")


class ScopeRecords(msgspec.Struct, rename="camel"):
    """The records of one instrumentation scope."""

    scope: msgspec.Raw = _NOTHING
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None
    metrics: list[msgspec.Raw] | None = None


class ResourceRecords(msgspec.Struct, rename="camel"):
    """What one program sent."""

    resource: msgspec.Raw = _NOTHING
    scope_spans: list[ScopeRecords] | None = None
    scope_logs: list[ScopeRecords] | None = None
    scope_metrics: list[ScopeRecords] | None = None


class Line(msgspec.Struct, rename="camel"):
    """A line; by the specification a file has one kind of signal."""

    resource_spans: list[ResourceRecords] | None = None
    resource_logs: list[ResourceRecords] | None = None
    resource_metrics: list[ResourceRecords] | None = None


Mapper = Callable[[msgspec.Raw, Attributes], Event]

_decode = msgspec.json.Decoder(Line).decode
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


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a line that has one of the three signals."""
    return any(
        isinstance(line.get(signal), list)
        for signal in ("resourceSpans", "resourceLogs", "resourceMetrics")
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map each record to one event, in the order of the line.

    If there are many, the `raw` of each is a line of its own that holds nothing else.
    """
    line = _decode(data)
    found = list(islice(_events(line), MOST_EVENTS + 1))
    join_nested_calls(found, state)
    if len(found) == 1:
        found[0].raw = None
    return found


def _by_signal(line: Line) -> Iterator[tuple[str, ResourceRecords]]:
    for signal, resources in (
        ("spans", line.resource_spans),
        ("logs", line.resource_logs),
        ("metrics", line.resource_metrics),
    ):
        for resource in resources or ():
            yield signal, resource


def _events(line: Line) -> Iterator[Event]:
    """Yield the event of each record.

    Resource and scope are in the `raw` of each, as long as they do not add up to far more than the
    line; then a stub is in their place.
    """
    repeated = 0
    for signal, resource in _by_signal(line):
        wrap, read = _WRAPS[signal]
        shared = otlp_records.resource(resource.resource)
        for scope in (
            *(resource.scope_spans or ()),
            *(resource.scope_logs or ()),
            *(resource.scope_metrics or ()),
        ):
            around = bytes(resource.resource), bytes(scope.scope)
            for record in (
                *(scope.spans or ()),
                *(scope.log_records or ()),
                *(scope.metrics or ()),
            ):
                event = _event(read, record, shared)
                is_stub = repeated > REPEATED_BYTES
                if is_stub:
                    around = _stub_for_long(around[0]), _stub_for_long(around[1])
                event.raw = raw_column(wrap % (*around, record), ())[0]
                event.truncated = is_stub or None
                repeated += len(around[0]) + len(around[1])
                yield event


def _stub_for_long(content: bytes) -> bytes:
    return stub("application/json", content) if len(content) > STUB_BYTES else content


def _event(read: Mapper, record: msgspec.Raw, shared: Attributes) -> Event:
    """Map a record; one that is not valid OTLP does not affect the others."""
    try:
        return read(record, shared)
    except (msgspec.ValidationError, RecursionError):
        return Event(event_kind="unknown")


DIALECT: Dialect[State] = Dialect(
    name="otlp",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
)
