"""One span, log record or metric of OTLP-JSON as an event."""

from __future__ import annotations

import msgspec

from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import genai
from tracesidecar.dialects.otel.genai import Attributes
from tracesidecar.dialects.otel.semantic_conventions import COLUMNS, TELLING_EVENTS
from tracesidecar.dialects.parsing import as_json, text, utc
from tracesidecar.dialects.truncate import SHORT_BYTES, shorten_id


class ArrayValue(msgspec.Struct):
    """An array of values."""

    values: list[AnyValue] | None = None


class KeyValueList(msgspec.Struct):
    """A map of values."""

    values: list[KeyValue] | None = None


class AnyValue(msgspec.Struct, rename="camel"):
    """A value of an attribute: exactly one member is set, and shows the type."""

    string_value: str | None = None
    int_value: object = None
    bool_value: bool | None = None
    double_value: object = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class KeyValue(msgspec.Struct):
    """An attribute."""

    key: str = ""
    value: AnyValue | None = None


class Attributed(msgspec.Struct, rename="camel"):
    """What has attributes: a resource, an event or link of a span, or a data point.

    Name and trace are there if it has them.
    """

    attributes: list[KeyValue] | None = None
    name: object = None
    trace_id: object = None
    time_unix_nano: object = None


class StatusObject(msgspec.Struct):
    """The status of a span: 0 unset, 1 ok, 2 error, or their names."""

    code: object = None
    message: object = None


class Span(msgspec.Struct, rename="camel"):
    """A span."""

    trace_id: object = None
    span_id: object = None
    parent_span_id: object = None
    name: object = None
    start_time_unix_nano: object = None
    end_time_unix_nano: object = None
    attributes: list[KeyValue] | None = None
    events: list[Attributed] | None = None
    links: list[Attributed] | None = None
    status: StatusObject | None = None


class LogRecord(msgspec.Struct, rename="camel"):
    """A log record; since OTLP 1.5 an event has its name beside the attributes."""

    time_unix_nano: object = None
    observed_time_unix_nano: object = None
    severity_number: object = None
    event_name: object = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: object = None
    span_id: object = None


class DataPoints(msgspec.Struct, rename="camel"):
    """The data points of a metric."""

    data_points: list[Attributed] | None = None


class Metric(msgspec.Struct, rename="camel"):
    """A metric of one of five kinds."""

    name: object = None
    gauge: DataPoints | None = None
    sum: DataPoints | None = None
    histogram: DataPoints | None = None
    exponential_histogram: DataPoints | None = None
    summary: DataPoints | None = None


_STATUS: dict[object, genai.SpanStatus] = {
    1: "ok",
    "STATUS_CODE_OK": "ok",
    2: "error",
    "STATUS_CODE_ERROR": "error",
}
_SEVERITY_ERROR = 17
_decode_resource = msgspec.json.Decoder(Attributed).decode
_decode_span = msgspec.json.Decoder(Span).decode
_decode_log = msgspec.json.Decoder(LogRecord).decode
_decode_metric = msgspec.json.Decoder(Metric).decode


def resource(data: msgspec.Raw) -> Attributes:
    """Return the attributes of a resource that determine a column.

    They hold for each of its records that does not have them itself.
    """
    try:
        attributes = _flatten(_decode_resource(data).attributes)
    except msgspec.ValidationError:
        return {}
    return {
        name: shorten_id(value, SHORT_BYTES) if isinstance(value, str) else value
        for name, value in attributes.items()
        if name in genai.NAMED and (isinstance(value, str) or _is_short(value))
    }


def _is_short(value: object) -> bool:
    return len(as_json(value) or "") <= SHORT_BYTES


def span(data: msgspec.Raw, shared: Attributes) -> Event:
    """Map a span.

    Its exceptions are part of it, and a link to another trace shows where its conversation came
    from.
    """
    record = _decode_span(data)
    own = _flatten(record.attributes)
    attributes = {**shared, **own}
    for each in record.events or ():
        if text(each.name) in TELLING_EVENTS:
            attributes.update(_flatten(each.attributes))
    status = record.status or StatusObject()
    outcome = _STATUS.get(status.code, "unset") if isinstance(status.code, int | str) else "unset"
    event = genai.span_event(text(record.name), attributes, outcome)
    event.native_id, event.parent_id = text(record.span_id), text(record.parent_span_id)
    event.event_time = utc(record.start_time_unix_nano)
    event.duration_ms = (
        _milliseconds(record.start_time_unix_nano, record.end_time_unix_nano) or event.duration_ms
    )
    if event.outcome == "failure":
        event.error_message = event.error_message or text(status.message)
    genai.identify(event, text(record.trace_id), event.native_id)
    event.parent_conversation_id = _find_linked_conversation(record.links or [], event)
    return _set_time_source(event)


def log_record(data: msgspec.Raw, shared: Attributes) -> Event:
    """Map a log record by the name of its event.

    The name is a member, an attribute, or the body, where coding agents repeat it in full.
    """
    record = _decode_log(data)
    attributes = {**shared, **_flatten(record.attributes)}
    body = _value(record.body)
    name = _event_name(record, attributes, body)
    severity = record.severity_number
    is_error = isinstance(severity, int) and severity >= _SEVERITY_ERROR
    event = genai.log_event(name, attributes, body, is_error=is_error)
    event.native_id, event.parent_id = text(attributes.get("log.record.uid")), text(record.span_id)
    event.event_time = (
        utc(record.time_unix_nano)
        or utc(attributes.get("event.timestamp"))
        or utc(record.observed_time_unix_nano)
    )
    # Only this event is the same call as its span: other records share the span of a turn.
    call = event.parent_id if name == "gen_ai.client.inference.operation.details" else None
    return _set_time_source(genai.identify(event, text(record.trace_id), call))


def metric(data: msgspec.Raw, shared: Attributes) -> Event:
    """Map a metric as bookkeeping: its sums repeat what spans and log records count.

    Its first data point has its time and origin.
    """
    record = _decode_metric(data)
    kinds = (
        record.gauge,
        record.sum,
        record.histogram,
        record.exponential_histogram,
        record.summary,
    )
    points = [point for kind in kinds if kind is not None for point in kind.data_points or ()]
    attributes = {**shared, **(_flatten(points[0].attributes) if points else {})}
    event = Event(event_kind="state", operation_name="metric", text=text(record.name))
    for column in ("conversation_id", "model", "agent_name", "agent_version"):
        known = (text(attributes.get(name)) for name in COLUMNS[column])
        setattr(event, column, next((value for value in known if value), None))
    event.event_time = utc(points[0].time_unix_nano) if points else None
    return _set_time_source(event)


def _set_time_source(event: Event) -> Event:
    if event.event_time is not None:
        event.event_time_source = "line"
    return event


def _milliseconds(start: object, end: object) -> float | None:
    """Return the milliseconds between two times in nanoseconds.

    Return None if one is missing, or the second is earlier.
    """
    begun, ended = _integer(start), _integer(end)
    if not isinstance(begun, int) or not isinstance(ended, int) or not 0 < begun <= ended:
        return None
    return round((ended - begun) / 1e6, 3)


def _event_name(record: LogRecord, attributes: Attributes, body: object) -> str:
    named = text(record.event_name) or text(attributes.get("event.name")) or ""
    is_in_full = isinstance(body, str) and "." in body and body.endswith(f".{named}")
    return str(body) if named and is_in_full else named


def _find_linked_conversation(links: list[Attributed], event: Event) -> str | None:
    for link in links:
        conversation = text(_flatten(link.attributes).get("gen_ai.conversation.id"))
        if conversation is not None and conversation != event.conversation_id:
            return conversation
        trace = text(link.trace_id)
        if trace is not None and event.conversation_id == event.trace_id != trace:
            return trace
    return None


def _flatten(attributes: list[KeyValue] | None) -> dict[str, object]:
    return {each.key: _value(each.value) for each in attributes or ()}


def _value(value: AnyValue | None) -> object:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    for plain in (value.bool_value, value.double_value, value.bytes_value):
        if plain is not None:
            return plain
    if value.array_value is not None:
        return [_value(item) for item in value.array_value.values or ()]
    return _flatten(value.kvlist_value.values) if value.kvlist_value is not None else None


def _integer(value: object) -> object:
    """Return the number: OTLP-JSON writes 64-bit integers as text."""
    if (
        isinstance(value, str)
        and len(value) <= 20
        and (value.isdecimal() or value.removeprefix("-").isdecimal())
    ):
        return int(value)
    return value
