"""Records of format `otlp`.

Each is a log record of OpenTelemetry with `gen_ai.*` attributes, as one line of OTLP/JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from tracesidecar import __version__
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.event_fields import epoch_microseconds, parse_labels
from tracesidecar.encode.severity import severity_of

SCOPE = {"name": "tracesidecar", "version": __version__}

INFO, WARN, ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")

_OTHER_FIELDS = {
    "event_kind": "`eventName`, as `tracesidecar.<kind>`, and attribute `tracesidecar.event_kind`",
    "event_time": "`timeUnixNano`",
    "ingest_time": "`observedTimeUnixNano`",
    "text": "`body`",
    "trace_id": (
        "`traceId` if it is 32 hexadecimal digits, otherwise attribute `tracesidecar.trace_id`"
    ),
    "native_id": (
        "`spanId` if it is 16 hexadecimal digits and there is a trace, "
        "otherwise attribute `tracesidecar.native_id`"
    ),
    "agent_name": "resource `service.name`, and attribute `gen_ai.agent.name`",
    "agent_version": "resource `service.version`, and attribute `gen_ai.agent.version`",
    "host_name": "resource `host.name`",
    "finish_reason": "`gen_ai.response.finish_reasons`, an array",
    "labels": "resource attributes, by their own names; they replace those with the same name",
}
_SPAN_FIELDS = ("parent_id", "duration_ms", "outcome")
"""Columns whose name in OpenTelemetry is a field of a span, which a log record lacks."""

_NAMED = {
    column.name: column.otel
    for column in COLUMNS
    if column.otel and column.name not in _SPAN_FIELDS
}
_ATTRIBUTES: tuple[tuple[str, str], ...] = tuple(
    (column.name, _NAMED.get(column.name, f"tracesidecar.{column.name}"))
    for column in COLUMNS
    if column.name not in _OTHER_FIELDS or column.name in ("agent_name", "agent_version")
)
COLUMN_MAPPING: Mapping[str, str] = {
    column: f"`{name}`" for column, name in _ATTRIBUTES
} | _OTHER_FIELDS

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")

_encode = msgspec.json.Encoder().encode
Value = dict[str, object]


def encode(event: Event, dialect: str) -> bytes:
    """Return a `resourceLogs` message with one record.

    Each line can be read alone, as OTLP's file format requires.
    """
    return b'{"resourceLogs":[{"resource":%s,"scopeLogs":[{"scope":%s,"logRecords":[%s]}]}]}' % (
        _resource(event.agent_name, event.agent_version, event.host_name, event.labels),
        _SCOPE,
        _encode(log_record(event, dialect)),
    )


def log_record(event: Event, dialect: str) -> Value:
    """Return the record by OTLP's JSON mapping.

    64-bit integers, times among them, are text, and ids are hexadecimal.
    """
    severity_number, severity_text = _severity(event)
    record: Value = {
        "timeUnixNano": str(epoch_microseconds(event.event_time) * 1000),
        "severityNumber": severity_number,
        "severityText": severity_text,
        "eventName": f"tracesidecar.{event.event_kind}",
        "attributes": [{"key": key, "value": value} for key, value in _attributes(event, dialect)],
    }
    if event.ingest_time is not None:
        record["observedTimeUnixNano"] = str(epoch_microseconds(event.ingest_time) * 1000)
    if event.text is not None:
        record["body"] = {"stringValue": event.text}
    if _is_id(event.trace_id, _TRACE_ID):
        record["traceId"] = event.trace_id
        if _is_id(event.native_id, _SPAN_ID):
            record["spanId"] = event.native_id
    return record


def any_value(value: object) -> Value:
    """Return a value as an `AnyValue`."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}


def _attributes(event: Event, dialect: str) -> Iterator[tuple[str, Value]]:
    yield "tracesidecar.dialect", {"stringValue": dialect}
    yield "tracesidecar.event_kind", {"stringValue": event.event_kind}
    for column, name in _ATTRIBUTES:
        value = getattr(event, column)
        if value is not None:
            yield name, any_value(value)
    if event.finish_reason is not None:
        yield (
            "gen_ai.response.finish_reasons",
            {"arrayValue": {"values": [{"stringValue": event.finish_reason}]}},
        )
    has_trace = _is_id(event.trace_id, _TRACE_ID)
    if event.trace_id is not None and not has_trace:
        yield "tracesidecar.trace_id", {"stringValue": event.trace_id}
    if event.native_id is not None and not (has_trace and _is_id(event.native_id, _SPAN_ID)):
        yield "tracesidecar.native_id", {"stringValue": event.native_id}


def _is_id(text: str | None, form: re.Pattern[str]) -> bool:
    """Return whether the text is an id; one of only zeros is invalid (W3C Trace Context)."""
    return text is not None and form.fullmatch(text) is not None and text.strip("0") != ""


def _severity(event: Event) -> tuple[int, str]:
    if event.event_kind == "error":
        return ERROR
    return INFO if severity_of(event) == "informational" else WARN


@lru_cache(maxsize=256)
def _resource(
    agent_name: str | None,
    agent_version: str | None,
    host_name: str | None,
    label_column: str | None,
) -> bytes:
    fields = {
        "service.name": agent_name,
        "service.version": agent_version,
        "host.name": host_name,
        **parse_labels(label_column),
    }
    return _encode(
        {
            "attributes": [
                {"key": key, "value": any_value(value)}
                for key, value in fields.items()
                if value is not None
            ]
        }
    )


_SCOPE = _encode(SCOPE)
