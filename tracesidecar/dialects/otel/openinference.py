"""Spans as one row each: exports of Phoenix, and of OpenTelemetry's console exporter in Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import genai
from tracesidecar.dialects.otel.nested_calls import State, join_nested_calls
from tracesidecar.dialects.otel.semantic_conventions import TELLING_EVENTS
from tracesidecar.dialects.parsing import (
    JsonObject,
    at,
    fields,
    items,
    milliseconds_between,
    text,
    utc,
)

_DEEPEST = 8


class Line(msgspec.Struct):
    """A span; its status is two members in Phoenix, and one object in the SDK."""

    name: object = None
    context: object = None
    parent_id: object = None
    start_time: object = None
    end_time: object = None
    status_code: object = None
    status_message: object = None
    status: object = None
    attributes: object = None
    events: object = None
    resource: object = None


_STATUS: dict[str, genai.SpanStatus] = {"OK": "ok", "ERROR": "error"}
_decode = msgspec.json.Decoder(Line).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a row that has the context and the attributes of a span."""
    return text(at(line, "context", "span_id")) is not None and isinstance(
        line.get("attributes"), dict
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a row to one event."""
    line = _decode(data)
    attributes = dict(_flatten("", fields(at(line.resource, "attributes")), _DEEPEST))
    attributes.update(_flatten("", fields(line.attributes), _DEEPEST))
    for each in map(fields, items(line.events)):
        if text(each.get("name")) in TELLING_EVENTS:
            attributes.update(_flatten("", fields(each.get("attributes")), _DEEPEST))
    status = text(line.status_code) or text(at(line.status, "status_code")) or ""
    event = genai.span_event(text(line.name), attributes, _STATUS.get(status, "unset"))
    event.native_id, event.parent_id = (
        _hexadecimal(at(line.context, "span_id")),
        _hexadecimal(line.parent_id),
    )
    event.event_time = utc(line.start_time)
    event.event_time_source = "line" if event.event_time is not None else None
    event.duration_ms = milliseconds_between(event.event_time, utc(line.end_time))
    if event.outcome == "failure":
        event.error_message = (
            event.error_message or text(line.status_message) or text(at(line.status, "description"))
        )
    genai.identify(event, _hexadecimal(at(line.context, "trace_id")), event.native_id)
    join_nested_calls((event,), state)
    return (event,)


def _hexadecimal(value: object) -> str | None:
    found = text(value)
    return found.removeprefix("0x") if found is not None else None


def _flatten(prefix: str, members: JsonObject, depth: int) -> Iterator[tuple[str, object]]:
    """Yield attributes by their full names.

    Exports write them flat, or as nested objects and lists.
    """
    for key, value in members.items():
        name = prefix + key
        yield name, value
        if depth and isinstance(value, dict):
            yield from _flatten(f"{name}.", value, depth - 1)
        elif depth and isinstance(value, list) and name.endswith("messages"):
            yield from _flatten(
                f"{name}.", {str(index): item for index, item in enumerate(value)}, depth - 1
            )


DIALECT: Dialect[State] = Dialect(
    name="openinference",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
)
