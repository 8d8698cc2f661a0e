"""OpenAI Agents SDK: what `export()` of its traces and spans returns, one object a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    fields,
    message_text,
    milliseconds_between,
    plain_text,
    recall,
    remember,
    text,
    tool_type,
    utc,
)


class Line(msgspec.Struct):
    """A trace, or a span when it has ended."""

    type: str = msgspec.field(name="object", default="")
    id: object = None
    trace_id: object = None
    parent_id: object = None
    started_at: object = None
    ended_at: object = None
    span_data: object = None
    error: object = None
    workflow_name: object = None
    group_id: object = None


class State(msgspec.Struct):
    """Conversations (`group_id`) by trace: spans do not have it, but their trace comes first."""

    groups: dict[str, str] = {}


_decode = msgspec.json.Decoder(Line).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise the SDK's names of its two objects, with members that only they have."""
    return (line.get("object") == "trace.span" and "span_data" in line) or (
        line.get("object") == "trace" and "workflow_name" in line
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to one event."""
    line = _decode(data)
    if line.type == "trace":
        return (_trace(line, state),)
    event = _span(line, state)
    span_data = fields(line.span_data)
    kind = text(span_data.get("type")) or ""
    read = _SPANS.get(kind)
    if read is None:
        event.event_kind = "unknown"
        raise UnknownType(kind or line.type, event)
    # Some processors also write a span when it begins: it comes again, complete, when it ends.
    if line.ended_at is None:
        event.event_kind, event.operation_name, event.outcome = "state", kind, None
    else:
        read(event, span_data)
    return (event,)


def _trace(line: Line, state: State) -> Event:
    trace, group = text(line.id), text(line.group_id)
    if trace is not None and group is not None:
        remember(state.groups, trace, group)
    event = Event(
        event_kind="session_start", native_id=trace, trace_id=trace, conversation_id=group or trace
    )
    event.text = text(line.workflow_name)
    return event


def _span(line: Line, state: State) -> Event:
    trace = text(line.trace_id)
    event = Event(
        event_kind="span", native_id=text(line.id), parent_id=text(line.parent_id), trace_id=trace
    )
    event.conversation_id = recall(state.groups, trace) or trace
    event.event_time = utc(line.started_at)
    event.event_time_source = "line" if event.event_time is not None else None
    event.duration_ms = milliseconds_between(event.event_time, utc(line.ended_at))
    event.outcome = "success" if line.error is None else "failure"
    if line.error is not None:
        event.error_message = text(at(line.error, "message")) or as_json(line.error)
    return event


def _agent(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.agent_name = (
        "agent_run",
        "invoke_agent",
        text(data.get("name")),
    )


def _generation(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.model = (
        "model_call",
        "chat",
        text(data.get("model")),
    )
    event.text = message_text(data.get("output"))
    event.role = "assistant" if event.text is not None else None
    event.api_call_id = call_key(event.conversation_id, event.native_id)
    _set_usage(event, data.get("usage"))


def _response(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.provider_name = "model_call", "chat", "openai"
    event.api_call_id = call_key(
        event.conversation_id, text(data.get("response_id")) or event.native_id
    )
    _set_usage(event, data.get("usage"))


def _function(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.tool_name = (
        "tool_call",
        "execute_tool",
        text(data.get("name")),
    )
    event.tool_type = "mcp" if data.get("mcp_data") else tool_type(event.tool_name)
    event.tool_call_id = event.native_id
    event.tool_arguments, event.tool_result = (
        as_json(data.get("input")),
        as_json(data.get("output")),
    )


def _handoff(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name = "agent_run", "handoff"
    event.agent_name = text(data.get("to_agent"))


def _guardrail(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.text = (
        "permission",
        "guardrail",
        text(data.get("name")),
    )
    if data.get("triggered") is True:
        event.outcome = "failure"


def _custom(event: Event, data: JsonObject) -> None:
    """Set the columns of a custom span.

    The SDK writes its tasks and turns as custom spans, with the sum of what their calls used.
    """
    event.operation_name = text(data.get("name"))
    event.agent_name = text(at(data, "data", "agent_name"))
    if at(data, "data", "sdk_span_type") in ("task", "turn"):
        event.event_kind = "agent_run"
    _set_usage(event, at(data, "data", "usage"))


def _speech(event: Event, data: JsonObject) -> None:
    """Set the columns of speech or transcription: audio stays in the line, text is a column."""
    event.operation_name, event.model = text(data.get("type")), text(data.get("model"))
    event.text = plain_text(
        data.get("output") if event.operation_name == "transcription" else data.get("input")
    )


def _mcp_tools(event: Event, data: JsonObject) -> None:
    event.event_kind, event.operation_name, event.text = (
        "state",
        "mcp_tools",
        text(data.get("server")),
    )


def _set_usage(event: Event, value: object) -> None:
    """Set the tokens, by the names of the Responses API or of Chat Completions."""
    usage = fields(value)
    event.input_tokens = count(usage.get("input_tokens", usage.get("prompt_tokens")))
    event.output_tokens = count(usage.get("output_tokens", usage.get("completion_tokens")))
    event.cache_read_input_tokens = count(
        at(usage, "input_tokens_details", "cached_tokens") or usage.get("cached_input_tokens")
    )
    event.reasoning_output_tokens = count(at(usage, "output_tokens_details", "reasoning_tokens"))
    if event.input_tokens is not None or event.output_tokens is not None:
        event.usage_scope = "call" if event.event_kind == "model_call" else "agent_total"


_SPANS: dict[str, Callable[[Event, JsonObject], None]] = {
    "agent": _agent,
    "generation": _generation,
    "response": _response,
    "function": _function,
    "handoff": _handoff,
    "guardrail": _guardrail,
    "custom": _custom,
    "transcription": _speech,
    "speech": _speech,
    "speech_group": _speech,
    "mcp_tools": _mcp_tools,
}

DIALECT: Dialect[State] = Dialect(
    name="openai_agents",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
    is_revised=True,
)
