"""Sessions of Gemini CLI: a line of metadata, then messages that later lines may replace, by id.

What `--output-format stream-json` prints has other lines. Source: gemini-cli
packages/core/src/services/chatRecordingTypes.ts and chatRecordingService.ts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.gemini import stream_json
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    exit_code_in,
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

_PATH = re.compile(r"/\.gemini/tmp/[^/]+/chats/(?:([^/]+)/)?[^/]+$")
_TYPES = frozenset(("user", "gemini", "info", "warning", "error"))
_STREAM_TYPES = frozenset(("init", "message", "tool_use", "tool_result", "result"))
_FINAL = frozenset(("success", "error", "cancelled"))
_CALLED, _ANSWERED = "called", "answered"


class GeminiMessage(msgspec.Struct, rename="camel"):
    """A whole message: the same id comes again when there is more of it."""

    type: object = None
    id: object = None
    timestamp: object = None
    content: object = None
    thoughts: object = None
    tool_calls: object = None
    tokens: object = None
    model: object = None


class SessionChange(msgspec.Struct, rename="camel"):
    """What `$set` replaces, possibly all messages."""

    last_updated: object = None
    messages: list[GeminiMessage] | None = None


class Line(GeminiMessage, rename="camel"):
    """A message, metadata of the session, a change of it, or a step back to an earlier message."""

    session_id: object = None
    start_time: object = None
    last_updated: object = None
    kind: object = None
    messages: list[GeminiMessage] | None = None
    change: SessionChange | None = msgspec.field(default=None, name="$set")
    rewind: object = msgspec.field(default=None, name="$rewindTo")


class State(msgspec.Struct):
    """What earlier lines said.

    `messages` has a digest of each message, and `tools` how far each call had come. They show
    what a new version of a message adds. `stream` is what a stream of events said.
    """

    conversation: str
    parent: str | None = None
    is_begun: bool = False
    messages: dict[str, str] = {}
    tools: dict[str, str] = {}
    stream: stream_json.StreamState = msgspec.field(default_factory=stream_json.StreamState)


_decode = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.Encoder().encode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folder of chats, messages of type `gemini`, and metadata of a session."""
    if (
        _PATH.search(with_slashes(path))
        or line.get("type") == "gemini"
        or line.keys() in ({"$set"}, {"$rewindTo"})
        or stream_json.recognise(line)
    ):
        return True
    return (
        "startTime" in line
        and "type" not in line
        and ("projectHash" in line or {"sessionId", "lastUpdated"} <= line.keys())
    )


def begin(file: FileName) -> State:
    """Take session and parent from the path."""
    place = _PATH.search(with_slashes(file.path))
    parent = file.name_conversation(place[1], levels=1) if place and place[1] else None
    return State(file.name_conversation(file.stem) if place else file.conversation, parent)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a message, or metadata with the messages in it, to events."""
    line = _decode(data)
    if state.stream.conversation is not None or text(line.type) in _STREAM_TYPES:
        state.stream.conversation = state.stream.conversation or state.conversation
        found = stream_json.map_line(data, state.stream)
        state.conversation = state.stream.conversation
        return found
    if text(line.type) in _TYPES:
        return _message(line, state) or [_make_event("state", line, state)]
    if line.change is not None:
        return _with_messages(
            _make_event("state", line, state, line.change.last_updated), line.change.messages, state
        )
    if line.rewind is not None:
        return [_make_event("state", line, state)]
    if line.type is None and (line.session_id is not None or line.start_time is not None):
        return _with_messages(_metadata(line, state), line.messages, state)
    raise UnknownType(str(line.type), _make_event("unknown", line, state))


def _make_event(
    kind: EventKind, message: GeminiMessage, state: State, time: object = None
) -> Event:
    event_time = utc(time) or utc(message.timestamp)
    return Event(
        event_kind=kind,
        native_id=text(message.id),
        conversation_id=state.conversation,
        parent_conversation_id=state.parent,
        is_subagent=True if state.parent else None,
        agent_id=state.conversation if state.parent else None,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name="gemini-cli",
    )


def _metadata(line: Line, state: State) -> Event:
    """Map metadata: the first line of a session is its start, later ones are updates."""
    conversation = text(line.session_id) or state.conversation
    is_start = not state.is_begun or conversation != state.conversation
    if is_start:
        state.conversation, state.is_begun, state.messages, state.tools = conversation, True, {}, {}
    event = _make_event(
        "session_start" if is_start else "state",
        line,
        state,
        line.start_time if is_start else line.last_updated,
    )
    if line.kind == "subagent":
        event.is_subagent = True
    return event


def _with_messages(
    event: Event, messages: Sequence[GeminiMessage] | None, state: State
) -> list[Event]:
    return [event, *(each for message in messages or () for each in _message(message, state))]


def _message(message: GeminiMessage, state: State) -> list[Event]:
    """Return the events of a message, none if it has not changed."""
    known, supersedes = text(message.id), None
    if known is not None:
        content = (
            message.type,
            message.timestamp,
            message.content,
            message.thoughts,
            message.tool_calls,
            message.tokens,
            message.model,
        )
        digest, before = (
            hashlib.blake2b(_encode(content), digest_size=8).hexdigest(),
            recall(state.messages, known),
        )
        if digest == before:
            return []
        supersedes = None if before is None else True
        remember(state.messages, known, digest)
    found = _message_events(message, state)
    for event in found:
        event.supersedes = supersedes
    return found + _tools(message, state)


def _message_events(message: GeminiMessage, state: State) -> list[Event]:
    match message.type:
        case "gemini":
            return _model_events(message, state)
        case "user":
            event = _make_event("user_message", message, state)
            event.role, event.text = "user", plain_text(message.content)
        case "error":
            event = _make_event("error", message, state)
            event.outcome, event.error_message = "failure", plain_text(message.content)
        case "info" | "warning":
            event = _make_event("state", message, state)
            event.text = plain_text(message.content)
        case _:
            event = _make_event("unknown", message, state)
    return [event]


def _model_events(message: GeminiMessage, state: State) -> list[Event]:
    tokens = fields(message.tokens)
    event = _make_event("model_call" if tokens else "model_message", message, state)
    event.role, event.text, event.operation_name = "assistant", plain_text(message.content), "chat"
    event.provider_name, event.model = "gcp.gemini", text(message.model)
    if tokens:
        _set_usage(event, tokens)
        event.usage_scope = "call"
        event.api_call_id = call_key(state.conversation, event.native_id)
    thoughts = [_join_thought(each) for each in map(fields, items(message.thoughts))]
    if not any(thoughts):
        return [event]
    reasoning = _make_event("reasoning", message, state)
    reasoning.role, reasoning.model, reasoning.text = (
        "assistant",
        event.model,
        "\n".join(filter(None, thoughts)),
    )
    return [event, reasoning]


def _join_thought(thought: JsonObject) -> str:
    return ": ".join(
        part for part in (text(thought.get("subject")), text(thought.get("description"))) if part
    )


def _set_usage(event: Event, tokens: JsonObject) -> None:
    """Set the tokens.

    `input` includes what came from the cache, but not what tools added to the prompt; `output`
    is without reasoning. If the recorded total shows that `input` is without the cache, the
    cache is added.
    """
    prompt, cached, tool = (
        count(tokens.get("input")),
        count(tokens.get("cached")),
        count(tokens.get("tool")),
    )
    answer, thoughts = count(tokens.get("output")), count(tokens.get("thoughts"))
    event.input_tokens, event.output_tokens = total(prompt, tool), total(answer, thoughts)
    event.cache_read_input_tokens, event.reasoning_output_tokens = cached, thoughts
    if (
        cached
        and count(tokens.get("total"))
        == (event.input_tokens or 0) + (event.output_tokens or 0) + cached
    ):
        event.input_tokens = total(event.input_tokens, cached)


def _tools(message: GeminiMessage, state: State) -> list[Event]:
    """Return the calls and results that no earlier version of the message had."""
    found = []
    for call in map(fields, items(message.tool_calls)):
        known = text(call.get("id")) or ""
        before = recall(state.tools, known)
        is_answered = call.get("result") is not None or text(call.get("status")) in _FINAL
        if before is None:
            found.append(_tool_call(call, message, state))
        if is_answered and before != _ANSWERED:
            found.append(_tool_result(call, message, state))
        if known:
            remember(state.tools, known, _ANSWERED if is_answered else before or _CALLED)
    return found


def _tool_call(call: JsonObject, message: GeminiMessage, state: State) -> Event:
    event = _tool_event("tool_call", call, message, state)
    event.role, event.tool_arguments = "assistant", as_json(call.get("args"))
    return event


def _tool_event(kind: EventKind, call: JsonObject, message: GeminiMessage, state: State) -> Event:
    event = _make_event(kind, message, state, call.get("timestamp"))
    event.operation_name = "execute_tool"
    event.tool_call_id, event.tool_name = text(call.get("id")), text(call.get("name"))
    event.tool_type = tool_type(event.tool_name)
    return event


def _tool_result(call: JsonObject, message: GeminiMessage, state: State) -> Event:
    event = _tool_event("tool_result", call, message, state)
    event.role, event.tool_result = "tool", function_response(call.get("result"))
    if event.tool_type == "shell":
        event.exit_code = exit_code_in(event.tool_result)
    match call.get("status"):
        case "success":
            event.outcome = "success"
        case "error" | "cancelled":
            event.outcome, event.error_type = "failure", text(call.get("status"))
    return event


def function_response(result: object) -> str | None:
    """Return the output of a function in a list of parts: its text, else JSON."""
    part = next((each for each in items(result) if "functionResponse" in fields(each)), None)
    response = at(part, "functionResponse", "response")
    if response is None:
        return plain_text(result) or as_json(result)
    return text(at(response, "output")) or text(at(response, "error")) or as_json(response)


DIALECT: Dialect[State] = Dialect(
    name="gemini",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    is_revised=True,
)
