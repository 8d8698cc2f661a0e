"""Lines of unknown programs: columns from the most common keys, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import (
    JsonObject,
    at,
    count,
    fields,
    plain_text,
    real,
    text,
    tool_calls,
    tool_type,
    total,
    utc,
)

_TIME = (
    "timestamp",
    "time",
    "ts",
    "@timestamp",
    "created_at",
    "createdAt",
    "started_at",
    "start_time",
)
_CONVERSATION = (
    "session_id",
    "sessionId",
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
)
_CONTENT = ("content", "text", "message", "output", "prompt")
_NATIVE = ("uuid", "event_id")
"""`id` is not one of them: it may not be the line's own, and rows with the same id are one row."""
_MODEL = ("model", "model_name", "model_id")
_ROLES: dict[str, tuple[str, EventKind]] = {
    "user": ("user", "user_message"),
    "human": ("user", "user_message"),
    "assistant": ("assistant", "model_message"),
    "model": ("assistant", "model_message"),
    "ai": ("assistant", "model_message"),
    "tool": ("tool", "tool_result"),
    "function": ("tool", "tool_result"),
    "system": ("system", "state"),
    "developer": ("system", "state"),
}

_decode = msgspec.json.Decoder().decode


class State(msgspec.Struct):
    """No state."""


def guess_kind(event: Event) -> EventKind | None:
    """Return the kind of an event by the columns that are set, None if they do not show it.

    Usage makes it a model call; otherwise the tool columns decide, and then the role.
    """
    if event.input_tokens is not None or event.output_tokens is not None:
        return "model_call"
    if event.tool_result is not None:
        return "tool_result"
    if event.tool_name is not None:
        return "tool_call"
    return _ROLES[event.role][1] if event.role in _ROLES else None


def map_line(data: bytes, _state: State) -> Sequence[Event]:
    """Map a message to one event, and each of its tool calls to another."""
    members = fields(_decode(data))
    message = fields(members.get("message"))
    event = Event(
        event_kind="unknown",
        native_id=_first(members, _NATIVE),
        conversation_id=_first(members, _CONVERSATION),
        event_time=next((time for key in _TIME if (time := utc(members.get(key)))), None),
        role=_role(members, message),
        text=_text(members) or _text(message),
        model=_first(members, _MODEL) or _first(message, _MODEL),
        duration_ms=real(members.get("duration_ms")),
        error_message=plain_text(members.get("error")) or text(at(members, "error", "message")),
        cwd=text(members.get("cwd")),
    )
    if usage := fields(members.get("usage")) or fields(message.get("usage")):
        _usage(event, usage)
    if event.role == "tool":
        _set_tool_result(event, members)
    requested = members.get("tool_calls") or message.get("tool_calls")
    calls = [_tool_call(event, *each) for each in tool_calls(requested)] if requested else ()
    kind = guess_kind(event)
    if kind is None:
        raise UnknownType("untyped", event)
    event.event_kind = kind
    return (event, *calls)


def _text(members: JsonObject) -> str | None:
    for key in _CONTENT:
        content = members.get(key)
        if content is not None and (said := plain_text(content)):
            return said
    return None


def _first(members: JsonObject, keys: Sequence[str]) -> str | None:
    for key in keys:
        value = members.get(key)
        if (
            value is not None
            and isinstance(value, str | int)
            and not isinstance(value, bool)
            and value != ""
        ):
            return str(value)
    return None


def _role(members: JsonObject, message: JsonObject) -> str | None:
    for each in (members.get("role"), message.get("role"), members.get("type")):
        if isinstance(each, str) and each.lower() in _ROLES:
            return _ROLES[each.lower()][0]
    return None


def _usage(event: Event, usage: JsonObject) -> None:
    """Set the tokens, but no scope.

    Whether they may be summed is only known to someone who knows the file: a field map sets the
    scope.
    """
    read = count(usage.get("cache_read_input_tokens"))
    created = count(usage.get("cache_creation_input_tokens"))
    given = count(usage.get("input_tokens", usage.get("prompt_tokens")))
    event.input_tokens = None if given is None else total(given, read, created)
    event.cache_read_input_tokens = (
        read if read is not None else count(at(usage, "prompt_tokens_details", "cached_tokens"))
    )
    event.cache_creation_input_tokens = created
    event.output_tokens = count(usage.get("output_tokens", usage.get("completion_tokens")))


def _set_tool_result(event: Event, members: JsonObject) -> None:
    event.tool_result, event.text = event.text, None
    event.tool_call_id = text(members.get("tool_call_id"))
    event.tool_name = text(members.get("name"))
    event.tool_type = tool_type(event.tool_name)


def _tool_call(
    requested: Event, call: str | None, name: str | None, arguments: str | None
) -> Event:
    return Event(
        event_kind="tool_call",
        native_id=requested.native_id,
        conversation_id=requested.conversation_id,
        event_time=requested.event_time,
        model=requested.model,
        operation_name="execute_tool",
        tool_call_id=call,
        tool_name=name,
        tool_type=tool_type(name),
        tool_arguments=arguments,
        cwd=requested.cwd,
    )


DIALECT: Dialect[State] = Dialect(
    name="generic",
    recognise=lambda _path, _line: False,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
    is_revised=True,
)
