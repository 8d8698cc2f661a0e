"""Sessions of Anthropic's managed agents, as LangSmith records them.

Each line is `[method, arguments or result]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    fields,
    items,
    plain_text,
    recall,
    remember,
    text,
    tool_type,
    total,
    utc,
)


class State(msgspec.Struct):
    """The session that the next lines belong to, with model and agent.

    `tools` are the tools whose results are still to come.
    """

    session: str | None = None
    model: str | None = None
    agent: str | None = None
    tools: dict[str, str] = {}


_MESSAGES: dict[str, tuple[EventKind, str]] = {
    "user.message": ("user_message", "user"),
    "agent.message": ("model_message", "assistant"),
    "agent.thinking": ("reasoning", "assistant"),
}
_BOOKKEEPING = ("session.", "span.", "user.interrupt", "agent.thread_")
_decode = msgspec.json.Decoder(tuple[str, object]).decode


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line: how a session was created, what was sent to it, or what it streamed.

    The stream repeats with an id what was sent.
    """
    method, payload = _decode(data)
    name = method.rpartition(".")[2]
    if name == "create":
        return (_session(fields(payload), state),)
    if name == "send":
        state.session = text(next(iter(items(payload)), None)) or state.session
        return [
            _set_envelope(
                Event(event_kind="state", operation_name=text(each.get("type"))), {}, state
            )
            for each in _find_sent_events(payload)
        ]
    if name != "stream":
        raise UnknownType(method, _set_envelope(Event(event_kind="unknown"), {}, state))
    streamed = fields(payload)
    kind = text(streamed.get("type")) or ""
    return (_set_envelope(_event(kind, streamed, state), streamed, state),)


def _session(payload: JsonObject, state: State) -> Event:
    state.session = text(payload.get("id"))
    state.model, state.agent = (
        text(at(payload, "agent", "model", "id")),
        text(at(payload, "agent", "name")),
    )
    event = Event(
        event_kind="session_start",
        native_id=state.session,
        agent_id=text(at(payload, "agent", "id")),
    )
    event.event_time = utc(payload.get("created_at"))
    return _set_envelope(event, payload, state)


def _find_sent_events(payload: object) -> Iterator[JsonObject]:
    for part in items(payload)[1:]:
        yield from map(fields, items(at(part, "events")))


def _event(kind: str, streamed: JsonObject, state: State) -> Event:
    known = _MESSAGES.get(kind)
    if known is not None:
        return Event(event_kind=known[0], role=known[1], text=plain_text(streamed.get("content")))
    read = _READERS.get(kind)
    if read is not None:
        return read(streamed, state)
    if kind.startswith(_BOOKKEEPING):
        return Event(
            event_kind="state",
            operation_name=kind,
            finish_reason=text(at(streamed, "stop_reason", "type")),
        )
    raise UnknownType(kind, _set_envelope(Event(event_kind="unknown"), streamed, state))


def _tool_use(streamed: JsonObject, state: State) -> Event:
    call, name = text(streamed.get("id")), text(streamed.get("name"))
    if call is not None and name is not None:
        remember(state.tools, call, name)
    event = Event(
        event_kind="tool_call",
        operation_name="execute_tool",
        role="assistant",
        tool_call_id=call,
        tool_name=name,
    )
    event.tool_type = "mcp" if streamed.get("type") == "agent.mcp_tool_use" else tool_type(name)
    event.tool_arguments = as_json(streamed.get("input"))
    return event


def _tool_result(streamed: JsonObject, state: State) -> Event:
    call = next(
        (
            found
            for key in ("tool_use_id", "custom_tool_use_id", "mcp_tool_use_id")
            if (found := text(streamed.get(key)))
        ),
        None,
    )
    event = Event(
        event_kind="tool_result",
        role="tool",
        tool_call_id=call,
        tool_name=recall(state.tools, call),
    )
    event.tool_type = tool_type(event.tool_name)
    event.tool_result = plain_text(streamed.get("content")) or as_json(streamed.get("content"))
    event.outcome = "failure" if streamed.get("is_error") is True else "success"
    return event


def _model_request(streamed: JsonObject, state: State) -> Event:
    """Map a model request; input is counted beside the caches, as in the Messages API."""
    usage = fields(streamed.get("model_usage"))
    event = Event(
        event_kind="model_call", operation_name="chat", provider_name="anthropic", model=state.model
    )
    event.parent_id = text(streamed.get("model_request_start_id"))
    event.api_call_id = call_key(state.session, event.parent_id or text(streamed.get("id")))
    event.cache_read_input_tokens = count(usage.get("cache_read_input_tokens"))
    event.cache_creation_input_tokens = count(usage.get("cache_creation_input_tokens"))
    event.input_tokens = total(
        count(usage.get("input_tokens")),
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
    )
    event.output_tokens = count(usage.get("output_tokens"))
    event.usage_scope = "call" if usage else None
    event.outcome = "failure" if streamed.get("is_error") is True else "success"
    return event


def _error(streamed: JsonObject, _state: State) -> Event:
    event = Event(
        event_kind="error", outcome="failure", error_type=text(at(streamed, "error", "type"))
    )
    event.error_message = text(at(streamed, "error", "message")) or as_json(streamed.get("error"))
    return event


def _set_envelope(event: Event, streamed: JsonObject, state: State) -> Event:
    event.native_id = event.native_id or text(streamed.get("id"))
    event.conversation_id, event.agent_name = (
        state.session,
        text(streamed.get("agent_name")) or state.agent,
    )
    event.event_time = event.event_time or utc(streamed.get("processed_at"))
    event.event_time_source = "line" if event.event_time is not None else None
    return event


_READERS: dict[str, Callable[[JsonObject, State], Event]] = {
    "agent.tool_use": _tool_use,
    "agent.custom_tool_use": _tool_use,
    "agent.mcp_tool_use": _tool_use,
    "agent.tool_result": _tool_result,
    "agent.mcp_tool_result": _tool_result,
    "user.custom_tool_result": _tool_result,
    "span.model_request_end": _model_request,
    "session.error": _error,
}
