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
_MODEL = ("model", "model_name", "model_id", "modelId")
_USAGES = ("usage", "token_usage", "usage_metadata", "usageMetadata")
_KNOWN_USAGES = frozenset(_USAGES)
_INPUT = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokenCount")
_OUTPUT = ("output_tokens", "completion_tokens", "outputTokens", "candidatesTokenCount")
_TOKENS = frozenset((*_INPUT, *_OUTPUT))
_COSTS = ("cost_usd", "costUSD", "total_cost_usd")
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
    """What a header named: a line that says nothing else, before the lines that it is about."""

    conversation: str | None = None
    model: str | None = None


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


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a message to one event, and each of its tool calls to another."""
    members = fields(_decode(data))
    message = fields(members.get("message"))
    about = fields(members.get("metadata"))
    event = Event(
        event_kind="unknown",
        native_id=_first(members, _NATIVE),
        conversation_id=_first(members, _CONVERSATION),
        event_time=_time(members),
        role=_role(members, message),
        text=_text(members) or _text(message),
        model=_first(members, _MODEL) or _first(message or about, _MODEL),
        duration_ms=real(members.get("duration_ms")),
        error_message=_error(members.get("error")),
        cwd=text(members.get("cwd")),
    )
    if usage := _find_usage(members, message, about):
        _usage(event, usage)
    if event.role == "tool":
        _set_tool_result(event, members)
    requested = members.get("tool_calls") or message.get("tool_calls")
    calls = [_tool_call(event, *each) for each in tool_calls(requested)] if requested else ()
    kind = guess_kind(event)
    if kind is None:
        _take_header(event, state)
        raise UnknownType("untyped", event)
    event.event_kind = kind
    if kind in ("model_call", "model_message"):
        event.model = event.model or state.model
    if kind == "model_call" and event.model is not None:
        event.usage_scope = "call"
        event.cost_usd = _cost(members, message, about)
        event.cost_source = "recorded" if event.cost_usd is not None else None
    return (event, *calls)


def _take_header(event: Event, state: State) -> None:
    """Let a line that only names a session or a model be the header of those after it."""
    if event.text is None:
        state.conversation = event.conversation_id or state.conversation
        state.model = event.model or state.model


def _error(told: object) -> str | None:
    if told is None:
        return None
    return plain_text(told) or text(at(fields(told), "message"))


def _find_usage(*parts: JsonObject) -> JsonObject:
    """Return the usage of a line: an object with one of the usual names, else the line itself."""
    for part in parts:
        if part and not _KNOWN_USAGES.isdisjoint(part):
            for key in _USAGES:
                if found := fields(part.get(key)):
                    return found
    return {} if _TOKENS.isdisjoint(parts[0]) else parts[0]


def _cost(*parts: JsonObject) -> float | None:
    for part in parts:
        for key in _COSTS:
            value = part.get(key)
            if value is not None and (found := real(value)) is not None:
                return found
    return None


def _time(members: JsonObject) -> str | None:
    for key in _TIME:
        value = members.get(key)
        if value is not None and (found := utc(value)):
            return found
    return None


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
    """Set the tokens: in the shapes of Anthropic, OpenAI and Google, and what is like them.

    Where caches have names of their own at the top, the input is without them (Anthropic).
    """
    read = _count_first(usage, "cache_read_input_tokens", "cache_read_tokens")
    created = _count_first(usage, "cache_creation_input_tokens", "cache_creation_tokens")
    given = _count_first(usage, *_INPUT)
    event.input_tokens = None if given is None else total(given, read, created)
    event.cache_read_input_tokens = _count_cached(usage) if read is None else read
    event.cache_creation_input_tokens = created
    event.output_tokens = _count_first(usage, *_OUTPUT)
    thoughts = count(usage.get("thoughtsTokenCount"))
    if thoughts is not None:
        event.output_tokens = total(event.output_tokens, thoughts)
    event.reasoning_output_tokens = next(
        (
            found
            for key in ("output_tokens_details", "completion_tokens_details")
            if (found := count(at(usage, key, "reasoning_tokens"))) is not None
        ),
        thoughts,
    )


def _count_cached(usage: JsonObject) -> int | None:
    """Return how much of the input was read from a cache, where the input includes it."""
    for key in ("prompt_tokens_details", "input_tokens_details"):
        if (found := count(fields(usage.get(key)).get("cached_tokens"))) is not None:
            return found
    return _count_first(usage, "cached_input_tokens", "cachedContentTokenCount")


def _count_first(usage: JsonObject, *keys: str) -> int | None:
    for key in keys:
        value = usage.get(key)
        if value is not None and (found := count(value)) is not None:
            return found
    return None


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
