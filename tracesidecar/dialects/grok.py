"""Grok Build: the updates of a session as they stream (ACP), or its messages, old and new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, Outcome
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    acp_tool,
    as_json,
    at,
    count,
    fields,
    forget,
    plain_text,
    real,
    recall,
    remember,
    text,
    tool_calls,
    tool_type,
    utc,
)

_TICKS_PER_USD = 1e10
_OUTCOMES: dict[str, Outcome] = {"completed": "success", "failed": "failure"}


class State(msgspec.Struct):
    """Session and directory from the path, which only the path names, and tools by call id."""

    conversation: str | None = None
    cwd: str | None = None
    tools: dict[str, str] = {}


_Mapper = Callable[[Event, JsonObject, State], Sequence[Event]]

_decode = msgspec.json.Decoder(dict[str, object]).decode


def begin(file: FileName) -> State:
    """Take directory and session from `…/sessions/<directory, percent-encoded>/<session>/`."""
    parts = with_slashes(file.path).split("/")
    if "sessions" not in parts[:-3]:
        return State()
    return State(file.name_conversation(parts[-2], levels=1), unquote(parts[-3]))


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise files below `.grok/sessions`, and lines that are an ACP session update."""
    return (
        "/.grok/sessions/" in with_slashes(path)
        or text(at(line, "params", "update", "sessionUpdate")) is not None
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map an update, or a message, to its events."""
    members = _decode(data)
    event = Event(
        event_kind="unknown",
        conversation_id=text(at(members, "params", "sessionId")) or state.conversation,
        event_time=utc(members.get("timestamp")),
        cwd=state.cwd,
        model=text(members.get("model_id")),
        agent_name="grok-build",
    )
    update = fields(at(members, "params", "update")) or fields(members.get("update"))
    if update:
        return _update(event, update, state)
    kind = text(members.get("type")) or text(members.get("role")) or ""
    mapper = _MESSAGES.get(kind)
    if mapper is None:
        raise UnknownType(kind, event)
    return mapper(event, members, state)


def _update(event: Event, update: JsonObject, state: State) -> Sequence[Event]:
    usage = fields(update.get("usage"))
    if usage:
        return _turn(event, text(update.get("prompt_id")), usage)
    kind = text(update.get("sessionUpdate")) or ""
    mapper = _UPDATES.get(kind)
    if mapper is None:
        raise UnknownType(kind, event)
    return mapper(event, update, state)


def _turn(event: Event, prompt: str | None, usage: JsonObject) -> Sequence[Event]:
    """Return the usage of one turn, one event for each model if the usage is split.

    Usage of the same turn may be written again: it has the same `api_call_id`.
    """
    by_model = fields(usage.get("modelUsage")) or {"": usage}
    calls = []
    for model, counts in by_model.items():
        call = msgspec.structs.replace(
            event,
            event_kind="model_call",
            operation_name="chat",
            role="assistant",
            model=model or None,
        )
        call.api_call_id = f"{call.conversation_id}:{prompt}:{model}" if prompt else None
        call.input_tokens = count(at(counts, "inputTokens"))
        call.cache_read_input_tokens = count(at(counts, "cachedReadTokens"))
        call.output_tokens = count(at(counts, "outputTokens"))
        call.reasoning_output_tokens = count(at(counts, "reasoningTokens"))
        call.usage_scope = "call"
        ticks = real(at(counts, "costUsdTicks"))
        if ticks is not None:
            call.cost_usd, call.cost_source = ticks / _TICKS_PER_USD, "recorded"
        calls.append(call)
    return calls


def _user(event: Event, members: JsonObject, _state: State) -> Sequence[Event]:
    """Map text in the user's role: only what the user typed is a user message.

    Instructions and reminders are put there by the program, and are bookkeeping. An
    interjection is the user's.
    """
    is_said = text(members.get("synthetic_reason")) in (None, "interjection")
    event.event_kind, event.role = ("user_message", "user") if is_said else ("state", "system")
    event.text = plain_text(members.get("content"))
    return (event,)


def _system(event: Event, members: JsonObject, _state: State) -> Sequence[Event]:
    event.event_kind, event.role, event.text = "state", "system", plain_text(members.get("content"))
    return (event,)


def _reasoning(event: Event, members: JsonObject, _state: State) -> Sequence[Event]:
    event.event_kind, event.role = "reasoning", "assistant"
    event.text = plain_text(members.get("summary")) or plain_text(members.get("content"))
    return (event,)


def _assistant(event: Event, members: JsonObject, state: State) -> Sequence[Event]:
    """Map an answer: its reasoning, which old versions put beside it, its text and tool calls."""
    found = []
    if thought := text(members.get("reasoning_content")):
        found.append(
            msgspec.structs.replace(event, event_kind="reasoning", role="assistant", text=thought)
        )
    found.append(
        msgspec.structs.replace(
            event,
            event_kind="model_message",
            role="assistant",
            text=plain_text(members.get("content")),
        )
    )
    for call in tool_calls(members.get("tool_calls")):
        call_event = msgspec.structs.replace(event)
        _call(call_event, call.id, call.name, state)
        call_event.tool_arguments = call.arguments
        found.append(call_event)
    return found


def _call(event: Event, call: str | None, name: str | None, state: State) -> None:
    event.event_kind, event.operation_name = "tool_call", "execute_tool"
    event.tool_call_id, event.tool_name, event.tool_type = call, name, tool_type(name)
    if call and name:
        remember(state.tools, call, name)


def _result(event: Event, members: JsonObject, state: State) -> Sequence[Event]:
    event.event_kind, event.operation_name, event.role = "tool_result", "execute_tool", "tool"
    event.tool_call_id = text(members.get("tool_call_id"))
    event.tool_name = forget(state.tools, event.tool_call_id)
    event.tool_type = tool_type(event.tool_name)
    event.tool_result = plain_text(members.get("content")) or as_json(members.get("content"))
    return (event,)


def _backend_tool_call(event: Event, members: JsonObject, _state: State) -> Sequence[Event]:
    """Map a tool call that ran beside the model; its result is not written."""
    tool = fields(members.get("kind"))
    event.event_kind, event.operation_name = "tool_call", "execute_tool"
    event.tool_call_id, event.tool_name = text(tool.get("id")), text(tool.get("tool_type"))
    event.tool_type = tool_type(event.tool_name)
    event.tool_arguments = as_json(
        tool.get("action") if tool.get("action") is not None else tool.get("input")
    )
    event.outcome = _OUTCOMES.get(text(tool.get("status")) or "", "unknown")
    return (event,)


def _chunk(event: Event, update: JsonObject, _state: State) -> Sequence[Event]:
    """Map a fragment of a streamed message."""
    kind = text(update.get("sessionUpdate"))
    event.text = plain_text(update.get("content"))
    event.role = "user" if kind == "user_message_chunk" else "assistant"
    event.event_kind = (
        "user_message"
        if kind == "user_message_chunk"
        else "reasoning"
        if kind == "agent_thought_chunk"
        else "model_message"
    )
    return (event,)


def _tool_call(event: Event, update: JsonObject, state: State) -> Sequence[Event]:
    """Map a tool call. Its title is for people: what is not a name is a text."""
    title = text(update.get("title"))
    tool = acp_tool(title, text(update.get("kind")))
    _call(event, text(update.get("toolCallId")), tool.name, state)
    event.tool_type, event.text = tool.type, title
    event.tool_arguments = as_json(update.get("rawInput"))
    return (event,)


def _tool_update(event: Event, update: JsonObject, state: State) -> Sequence[Event]:
    """Map the progress of a tool call; its end is the result."""
    call, status = text(update.get("toolCallId")), text(update.get("status"))
    event.tool_call_id, event.operation_name = call, "execute_tool"
    if status not in ("completed", "failed"):
        event.event_kind, event.tool_name = "state", recall(state.tools, call)
        return (event,)
    event.event_kind, event.role = "tool_result", "tool"
    event.tool_name = forget(state.tools, call)
    event.tool_type = tool_type(event.tool_name)
    event.outcome = _OUTCOMES[status]
    event.tool_result = as_json(update.get("rawOutput")) or as_json(update.get("content"))
    return (event,)


def _state(event: Event, update: JsonObject, _state: State) -> Sequence[Event]:
    event.event_kind, event.operation_name = "state", text(update.get("sessionUpdate"))
    return (event,)


def _compaction(event: Event, _update: JsonObject, _state: State) -> Sequence[Event]:
    event.event_kind = "compaction"
    return (event,)


_MESSAGES: dict[str, _Mapper] = {
    "system": _system,
    "user": _user,
    "reasoning": _reasoning,
    "assistant": _assistant,
    "tool_result": _result,
    "tool": _result,
    "backend_tool_call": _backend_tool_call,
}
_UPDATES: dict[str, _Mapper] = {
    "user_message_chunk": _chunk,
    "agent_message_chunk": _chunk,
    "agent_thought_chunk": _chunk,
    "tool_call": _tool_call,
    "tool_call_update": _tool_update,
    "plan": _state,
    "available_commands_update": _state,
    "current_mode_update": _state,
    "compaction_checkpoint": _compaction,
}

DIALECT: Dialect[State] = Dialect(
    name="grok",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
"""`chat_history.jsonl` repeats `updates.jsonl` without times and usage.

A source may include it if there is nothing else.
"""
