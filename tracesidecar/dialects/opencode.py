"""Lines of `opencode run --format json`: the parts of a session's messages, as they are done.

Source: opencode packages/opencode/src/cli/cmd/run.ts, and the parts in session/message-v2.ts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    exit_code,
    fields,
    milliseconds_between,
    real,
    text,
    tool_type,
    total,
    utc,
)

_TYPES = frozenset(("step_start", "step_finish", "text", "reasoning", "tool_use", "error"))


class Line(msgspec.Struct):
    """A line: what happened, and the part of a message that it is about."""

    type: object = None
    timestamp: object = None
    session: object = msgspec.field(default=None, name="sessionID")
    part: object = None
    error: object = None


class State(msgspec.Struct):
    """The session of the last line that named one, and the model if a part did."""

    conversation: str
    model: str | None = None
    provider: str | None = None


_decode = msgspec.json.Decoder(Line).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a `sessionID` beside a part, or an error."""
    return (
        line.get("type") in _TYPES
        and isinstance(line.get("sessionID"), str)
        and ("part" in line or "error" in line)
    )


def begin(file: FileName) -> State:
    """Take the conversation from the name of the file; each line names its session."""
    return State(file.conversation)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to an event, and a tool's run to its call and its result."""
    line = _decode(data)
    part = fields(line.part)
    state.conversation = text(line.session) or state.conversation
    state.model = text(part.get("modelID")) or text(at(part, "model", "modelID")) or state.model
    state.provider = (
        text(part.get("providerID")) or text(at(part, "model", "providerID")) or state.provider
    )
    match line.type:
        case "text" | "reasoning":
            event = _event("model_message" if line.type == "text" else "reasoning", line, state)
            event.role, event.text = "assistant", text(part.get("text"))
            event.model, event.provider_name = state.model, state.provider
            return [event]
        case "tool_use":
            return _tool_use(line, part, state)
        case "step_finish":
            return [_step_finish(line, part, state)]
        case "step_start":
            return [_event("state", line, state)]
        case "error":
            event = _event("error", line, state)
            event.outcome, event.error_type = "failure", text(at(line.error, "name")) or "error"
            event.error_message = (
                text(at(line.error, "data", "message"))
                or text(at(line.error, "message"))
                or as_json(line.error)
            )
            return [event]
    raise UnknownType(text(line.type) or "none", _event("unknown", line, state))


def _event(kind: EventKind, line: Line, state: State) -> Event:
    time = utc(line.timestamp)
    return Event(
        event_kind=kind,
        native_id=text(at(line.part, "id")),
        parent_id=text(at(line.part, "messageID")),
        conversation_id=state.conversation,
        event_time=time,
        event_time_source="line" if time else None,
        agent_name="opencode",
    )


def _tool_use(line: Line, part: JsonObject, state: State) -> list[Event]:
    """Map a run that is done, with when it began and ended."""
    done = fields(part.get("state"))
    call, result = (_event(kind, line, state) for kind in ("tool_call", "tool_result"))
    for event in (call, result):
        event.operation_name = "execute_tool"
        event.tool_call_id, event.tool_name = text(part.get("callID")), text(part.get("tool"))
        event.tool_type = tool_type(event.tool_name)
    begun, ended = utc(at(done, "time", "start")), utc(at(done, "time", "end"))
    call.role, call.event_time = "assistant", begun or call.event_time
    call.tool_arguments = as_json(done.get("input"))
    result.role, result.event_time = "tool", ended or result.event_time
    result.duration_ms = milliseconds_between(begun, ended)
    result.tool_result = as_json(done.get("output"))
    result.exit_code = exit_code(at(done, "metadata", "exit"))
    if done.get("status") == "error" or result.exit_code not in (None, 0):
        result.outcome = "failure"
        result.error_type = "tool_error" if done.get("status") == "error" else "exit_code"
        result.error_message = text(done.get("error")) or result.tool_result
    elif done.get("status") == "completed":
        result.outcome = "success"
    return [call, result]


def _step_finish(line: Line, part: JsonObject, state: State) -> Event:
    """Map the end of a step: one call of the model; `input` is without the cache."""
    event = _event("model_call", line, state)
    event.operation_name, event.role, event.usage_scope = "chat", "assistant", "call"
    event.model, event.provider_name = state.model, state.provider
    event.finish_reason = text(part.get("reason"))
    tokens = fields(part.get("tokens"))
    read, written = (
        count(at(tokens, "cache", "read")),
        count(at(tokens, "cache", "write")),
    )
    event.input_tokens = total(count(tokens.get("input")), read, written)
    event.cache_read_input_tokens, event.cache_creation_input_tokens = read, written
    event.reasoning_output_tokens = count(tokens.get("reasoning"))
    event.output_tokens = total(count(tokens.get("output")), event.reasoning_output_tokens)
    event.cost_usd = real(part.get("cost"))
    event.cost_source = "recorded" if event.cost_usd is not None else None
    event.api_call_id = call_key(state.conversation, event.native_id)
    return event


DIALECT: Dialect[State] = Dialect(
    name="opencode", recognise=recognise, state=State, begin=begin, map_line=map_line
)
