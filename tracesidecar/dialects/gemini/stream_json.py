"""Lines of `gemini --output-format stream-json`: a session from its start to its result.

Source: gemini-cli packages/core/src/output/types.ts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    count,
    exit_code_in,
    fields,
    forget,
    real,
    remember,
    text,
    tool_type,
    total,
    utc,
)


class StreamLine(msgspec.Struct):
    """A line; no member but type and time is in all of them."""

    type: object = None
    timestamp: object = None
    session_id: object = None
    model: object = None
    role: object = None
    content: object = None
    tool_name: object = None
    tool_id: object = None
    parameters: object = None
    status: object = None
    output: object = None
    error: object = None
    severity: object = None
    message: object = None
    stats: object = None


class StreamState(msgspec.Struct):
    """Session and model of the first line, and the tools whose results are still to come.

    Without a conversation the lines are those of a session's file.
    """

    conversation: str | None = None
    model: str | None = None
    tools: dict[str, str] = {}


_decode = msgspec.json.Decoder(StreamLine).decode
_KEYS: dict[object, frozenset[str]] = {
    "init": frozenset(("session_id", "model", "timestamp")),
    "tool_use": frozenset(("tool_name", "tool_id", "timestamp")),
    "tool_result": frozenset(("tool_id", "status", "timestamp")),
    "result": frozenset(("status", "stats", "timestamp")),
    "error": frozenset(("severity", "message", "timestamp")),
}


def recognise(line: JsonObject) -> bool:
    """Recognise the keys of a line whose type says more than that something was said."""
    kind = line.get("type")
    keys = _KEYS.get(kind) if isinstance(kind, str) else None
    return keys is not None and line.keys() >= keys and "uuid" not in line


def map_line(data: bytes, state: StreamState) -> Sequence[Event]:
    """Map a line to events."""
    line = _decode(data)
    if line.type == "init":
        state.conversation = text(line.session_id) or state.conversation
        state.model = text(line.model) or state.model
        return [_event("session_start", line, state)]
    if line.type == "message":
        return [_message(line, state)]
    if line.type == "tool_use":
        return [_tool_use(line, state)]
    if line.type == "tool_result":
        return [_tool_result(line, state)]
    if line.type == "error":
        return [_error(line, state)]
    if line.type == "result":
        return _result(line, state)
    raise UnknownType(text(line.type) or "none", _event("unknown", line, state))


def _event(kind: EventKind, line: StreamLine, state: StreamState) -> Event:
    time = utc(line.timestamp)
    return Event(
        event_kind=kind,
        conversation_id=state.conversation,
        event_time=time,
        event_time_source="line" if time else None,
        model=state.model if kind in ("session_start", "model_message") else None,
        agent_name="gemini-cli",
    )


def _message(line: StreamLine, state: StreamState) -> Event:
    is_answer = line.role in ("assistant", "model")
    event = _event("model_message" if is_answer else "user_message", line, state)
    event.role, event.text = "assistant" if is_answer else "user", text(line.content)
    event.provider_name = "gcp.gemini" if is_answer else None
    return event


def _tool_use(line: StreamLine, state: StreamState) -> Event:
    event = _event("tool_call", line, state)
    event.operation_name, event.role = "execute_tool", "assistant"
    event.tool_call_id, event.tool_name = text(line.tool_id), text(line.tool_name)
    event.tool_type = tool_type(event.tool_name)
    event.tool_arguments = as_json(line.parameters)
    if event.tool_call_id is not None and event.tool_name is not None:
        remember(state.tools, event.tool_call_id, event.tool_name)
    return event


def _tool_result(line: StreamLine, state: StreamState) -> Event:
    event = _event("tool_result", line, state)
    event.operation_name, event.role = "execute_tool", "tool"
    event.tool_call_id = text(line.tool_id)
    event.tool_name = forget(state.tools, event.tool_call_id)
    event.tool_type = tool_type(event.tool_name)
    event.tool_result = as_json(line.output)
    if event.tool_type == "shell":
        event.exit_code = exit_code_in(event.tool_result)
    if line.status == "success":
        event.outcome = "success"
    elif line.status is not None:
        event.outcome = "failure"
        event.error_type = text(at(line.error, "type")) or "tool_error"
        event.error_message = text(at(line.error, "message")) or event.tool_result
    return event


def _error(line: StreamLine, state: StreamState) -> Event:
    event = _event("error", line, state)
    event.outcome, event.error_type = "failure", text(line.severity) or "error"
    event.error_message = text(line.message)
    return event


def _result(line: StreamLine, state: StreamState) -> list[Event]:
    """Map the end: how it went, and the totals, one row for each model if there are several."""
    stats = fields(line.stats)
    event = _event("session_end", line, state)
    event.finish_reason, event.duration_ms = text(line.status), real(stats.get("duration_ms"))
    event.outcome = "success" if line.status == "success" else "failure"
    if event.outcome == "failure":
        event.error_type = text(at(line.error, "type")) or "error"
        event.error_message = text(at(line.error, "message"))
    models = fields(stats.get("models"))
    if len(models) < 2:
        event.model = next(iter(models), state.model)
        _set_totals(event, stats)
        return [event]
    found = [event]
    for model, used in models.items():
        row = _event("usage_summary", line, state)
        row.model = model
        _set_totals(row, fields(used))
        found.append(row)
    return found


def _set_totals(event: Event, stats: JsonObject) -> None:
    """Set the tokens of a session; what the total has beside input and answer is reasoning."""
    given, answer = count(stats.get("input_tokens")), count(stats.get("output_tokens"))
    whole = count(stats.get("total_tokens"))
    if given is None and answer is None:
        return
    thought = max(0, (whole or 0) - (given or 0) - (answer or 0))
    event.input_tokens, event.output_tokens = given, total(answer, thought)
    event.cache_read_input_tokens = count(stats.get("cached"))
    event.reasoning_output_tokens = thought or None
    event.usage_scope, event.provider_name = "session_total", "gcp.gemini"
    event.api_call_id = f"{event.conversation_id}:result"
