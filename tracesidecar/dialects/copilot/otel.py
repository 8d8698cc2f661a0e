"""Copilot's OpenTelemetry file: one flat span, log record or metric a line, not OTLP.

One model call may be told by its span, by log records and by the agent's span around it; it is
counted once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import genai
from tracesidecar.dialects.parsing.correlation import remember
from tracesidecar.dialects.parsing.times import milliseconds_between, utc
from tracesidecar.dialects.parsing.values import at, fields, items, text

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


class Record(msgspec.Struct, rename="camel"):
    """A line as the JavaScript SDK's console and file exporters shape it; times are ISO,
    milliseconds or `[seconds, nanoseconds]`.
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
    """The conversation of each trace, and which kind of record counts the calls of a trace or a
    response.
    """

    conversations: dict[str, str] = {}
    counted: dict[str, str] = {}


_decode = msgspec.json.Decoder(Record).decode


def _recognise(path: str, line: Mapping[str, object]) -> bool:
    if "/.copilot/otel/" in path.replace("\\", "/"):
        return True
    attributes = fields(line.get("attributes"))
    is_flat = any(key in line for key in ("traceId", "spanContext", "hrTime", "startTime"))
    return is_flat and any(name.startswith(_OWN) for name in attributes)


def _begin(_path: str) -> State:
    return State()


def _events(line: bytes, state: State) -> Sequence[Event]:
    record = _decode(line)
    attributes = fields(record.attributes)
    if record.type == "metric":
        event = _placed(Event(event_kind="state"), record)
        event.operation_name = text(record.name)
        return [event]
    if _is_span(record):
        return [_span(record, attributes, state)]
    if attributes or record.type == "log":
        return [_log(record, attributes, state)]
    raise UnknownType(str(record.type or ""), _placed(Event(event_kind="unknown"), record))


def _is_span(record: Record) -> bool:
    if record.type is not None:
        return record.type == "span"
    return text(record.name) is not None and (
        record.start_time is not None or record.span_id is not None or record.trace_id is not None
    )


def _placed(event: Event, record: Record) -> Event:
    event.event_time = _time(record.start_time) or _time(record.hr_time) or _time(record.timestamp)
    event.event_time_source = "line" if event.event_time else None
    event.agent_name = event.agent_name or "copilot"
    event.agent_version = event.agent_version or text(
        at(record.resource, "attributes", "service.version")
    )
    return event


def _span(record: Record, attributes: Mapping[str, object], state: State) -> Event:
    event = _placed(
        genai.span_event(text(record.name), attributes, _status(at(record.status, "code"))), record
    )
    event.native_id, event.parent_id = _of_context(record, "spanId"), text(record.parent_span_id)
    event.duration_ms = milliseconds_between(event.event_time, _time(record.end_time))
    if event.outcome == "failure":
        event.error_message = event.error_message or text(at(record.status, "message"))
    return _counted(
        _identified(event, record, attributes, event.native_id, state), "span", attributes, state
    )


def _status(code: object) -> genai.Status:
    match code:
        case 1 | "OK":
            return "ok"
        case 2 | "ERROR":
            return "error"
    return "unset"


def _log(record: Record, attributes: Mapping[str, object], state: State) -> Event:
    body = text(record.body) or text(record.raw_body)
    name = text(attributes.get("event.name")) or next(
        (name for beginning, name in _BODIES if (body or "").startswith(beginning)), ""
    )
    event = _placed(
        genai.log_event(
            name, attributes, None if name in (_INFERENCE, _TURN) else body, is_error=False
        ),
        record,
    )
    event.parent_id = _of_context(record, "spanId")
    if name == _TURN and event.usage_scope is not None:
        event.event_kind, event.usage_scope = "model_call", "call"
    return _counted(
        _identified(event, record, attributes, event.parent_id, state), name, attributes, state
    )


def _identified(
    event: Event, record: Record, attributes: Mapping[str, object], span: str | None, state: State
) -> Event:
    """A record without a conversation is of the one that its trace is known to be of."""
    trace = _of_context(record, "traceId")
    said = next((name for key in _CONVERSATIONS if (name := text(attributes.get(key)))), None)
    if trace is not None and said is not None:
        remember(state.conversations, trace, said)
    event.conversation_id = said or state.conversations.get(trace or "")
    return genai.identified(event, trace, span)


def _counted(event: Event, source: str, attributes: Mapping[str, object], state: State) -> Event:
    """Of span, inference record and turn record that tell of one response or trace, the kind that
    comes first counts; spans usually do.
    """
    if event.usage_scope != "call":
        return event
    keys = [
        key
        for key in (text(attributes.get("gen_ai.response.id")), event.trace_id)
        if key is not None
    ]
    if any(state.counted.get(key, source) != source for key in keys):
        event.event_kind, event.usage_scope = "state", "repeat"
        return event
    for key in keys:
        remember(state.counted, key, source)
    return event


def _of_context(record: Record, key: str) -> str | None:
    own = record.trace_id if key == "traceId" else record.span_id
    return text(own) or text(at(record.span_context, key))


def _time(value: object) -> str | None:
    """Also a pair of seconds and nanoseconds."""
    match items(value):
        case [int(seconds), int(nanoseconds)]:
            return utc(seconds * 1_000_000_000 + nanoseconds)
    return utc(value)


DIALECT: Dialect[State] = Dialect(
    name="copilot_otel",
    recognise=_recognise,
    state=State,
    begin=_begin,
    events=_events,
    bulky=(("attributes", "gen_ai.tool.definitions"), ("attributes", "gen_ai.system_instructions")),
)
