"""Copilot's OpenTelemetry file: one flat span, log record or metric a line, but not OTLP.

A model call may be in its span, in log records and in the agent's span around it; it is counted
once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.otel import SpanStatus, identify, log_event, span_event
from tracesidecar.dialects.parsing import (
    JsonObject,
    at,
    fields,
    items,
    milliseconds_between,
    recall,
    remember,
    text,
    utc,
)

_INFERENCE, _TURN = "gen_ai.client.inference.operation.details", "copilot_chat.agent.turn"
_BODIES = (("GenAI inference:", _INFERENCE), (_TURN, _TURN))
_CONVERSATIONS = (
    "gen_ai.conversation.id",
    "copilot_chat.session_id",
    "copilot_chat.chat_session_id",
    "session.id",
    "github.copilot.interaction_id",
)
_OWN = ("gen_ai.", "copilot_chat.", "github.copilot.")


class Line(msgspec.Struct, rename="camel"):
    """A line in the shape of the JavaScript SDK's console and file exporters.

    Times are ISO, milliseconds or `[seconds, nanoseconds]`.
    """

    type: object = None
    name: object = None
    trace_id: object = None
    span_id: object = None
    parent_span_id: object = None
    span_context: object = None
    start_time: object = None
    end_time: object = None
    hr_time: object = None
    timestamp: object = None
    status: object = None
    attributes: object = None
    resource: object = None
    body: object = None
    raw_body: object = msgspec.field(default=None, name="_body")


class State(msgspec.Struct):
    """The conversation of each trace, and which kind of record counts the calls of a trace."""

    conversations: dict[str, str] = {}
    counted: dict[str, str] = {}


_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the file of Copilot, and flat records with attributes that only Copilot has."""
    if "/.copilot/otel/" in with_slashes(path):
        return True
    attributes = fields(line.get("attributes"))
    is_flat = any(key in line for key in ("traceId", "spanContext", "hrTime", "startTime"))
    return is_flat and any(name.startswith(_OWN) for name in attributes)


def begin(_file: FileName) -> State:
    """Return an empty state."""
    return State()


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a record to one event."""
    line = _decode(data)
    attributes = fields(line.attributes)
    if line.type == "metric":
        event = _set_envelope(Event(event_kind="state"), line)
        event.operation_name = text(line.name)
        return [event]
    if _is_span(line):
        return [_span(line, attributes, state)]
    if attributes or line.type == "log":
        return [_log(line, attributes, state)]
    raise UnknownType(str(line.type or ""), _set_envelope(Event(event_kind="unknown"), line))


def _is_span(line: Line) -> bool:
    if line.type is not None:
        return line.type == "span"
    return text(line.name) is not None and (
        line.start_time is not None or line.span_id is not None or line.trace_id is not None
    )


def _set_envelope(event: Event, line: Line) -> Event:
    event.event_time = _time(line.start_time) or _time(line.hr_time) or _time(line.timestamp)
    event.event_time_source = "line" if event.event_time else None
    event.agent_name = event.agent_name or "copilot"
    event.agent_version = event.agent_version or text(
        at(line.resource, "attributes", "service.version")
    )
    return event


def _span(line: Line, attributes: JsonObject, state: State) -> Event:
    event = _set_envelope(
        span_event(text(line.name), attributes, _status(at(line.status, "code"))), line
    )
    event.native_id, event.parent_id = _context_id(line, "spanId"), text(line.parent_span_id)
    event.duration_ms = milliseconds_between(event.event_time, _time(line.end_time))
    if event.outcome == "failure":
        event.error_message = event.error_message or text(at(line.status, "message"))
    return _mark_repeat(
        _identify(event, line, attributes, event.native_id, state), "span", attributes, state
    )


def _status(code: object) -> SpanStatus:
    match code:
        case 1 | "OK":
            return "ok"
        case 2 | "ERROR":
            return "error"
    return "unset"


def _log(line: Line, attributes: JsonObject, state: State) -> Event:
    body = text(line.body) or text(line.raw_body)
    name = text(attributes.get("event.name")) or next(
        (name for beginning, name in _BODIES if (body or "").startswith(beginning)), ""
    )
    event = _set_envelope(
        log_event(name, attributes, None if name in (_INFERENCE, _TURN) else body, is_error=False),
        line,
    )
    event.parent_id = _context_id(line, "spanId")
    if name == _TURN and event.usage_scope is not None:
        event.event_kind, event.usage_scope = "model_call", "call"
    return _mark_repeat(
        _identify(event, line, attributes, event.parent_id, state), name, attributes, state
    )


def _identify(
    event: Event, line: Line, attributes: JsonObject, span: str | None, state: State
) -> Event:
    """Set conversation and ids; without a conversation, take that of the trace."""
    trace = _context_id(line, "traceId")
    named = next((name for key in _CONVERSATIONS if (name := text(attributes.get(key)))), None)
    if trace is not None and named is not None:
        remember(state.conversations, trace, named)
    event.conversation_id = named or recall(state.conversations, trace)
    return identify(event, trace, span)


def _mark_repeat(event: Event, source: str, attributes: JsonObject, state: State) -> Event:
    """Return the event, as a repeat if another kind of record counted its call before.

    Span, inference record and turn record may describe one response. The kind that comes first
    counts, which is usually the span.
    """
    if event.usage_scope != "call":
        return event
    keys = [
        key
        for key in (text(attributes.get("gen_ai.response.id")), event.trace_id)
        if key is not None
    ]
    if any(recall(state.counted, key) not in (None, source) for key in keys):
        event.event_kind, event.usage_scope = "state", "repeat"
        return event
    for key in keys:
        remember(state.counted, key, source)
    return event


def _context_id(line: Line, key: str) -> str | None:
    own = line.trace_id if key == "traceId" else line.span_id
    return text(own) or text(at(line.span_context, key))


def _time(value: object) -> str | None:
    """Return the time, which may be a pair of seconds and nanoseconds."""
    match items(value):
        case [int(seconds), int(nanoseconds)]:
            return utc(seconds * 1_000_000_000 + nanoseconds)
    return utc(value)


DIALECT: Dialect[State] = Dialect(
    name="copilot_otel",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    bulky=(("attributes", "gen_ai.tool.definitions"), ("attributes", "gen_ai.system_instructions")),
)
