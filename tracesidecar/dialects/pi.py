"""Sessions of pi, and of OpenClaw and omp, which write the same lines.

Version 3, and older versions without ids. Sources: pi-mono packages/coding-agent/docs/session.md;
OpenClaw and omp keep its entry types and add their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    call_key,
    count,
    exit_code,
    fields,
    items,
    plain_text,
    real,
    recall,
    remember,
    text,
    tool_type,
    total,
    utc,
)

_PATH = re.compile(r"/\.(pi|omp)/agent/sessions/|/\.(openclaw)/agents/[^/]+/sessions/")
_FAILED = frozenset(("error", "aborted"))
_BOOKKEEPING = frozenset(
    (
        "thinking_level_change",
        "custom",
        "custom_message",
        "label",
        "session_info",
        "context_transform",
        "ephemeral",
        # omp
        "title",
        "title_change",
        "mode_change",
        "service_tier_change",
        "session_init",
        "ttsr_injection",
        "mcp_tool_selection",
    )
)


class PiMessage(msgspec.Struct, rename="camel"):
    """What an entry of type `message` holds; which members it has depends on the role."""

    role: object = None
    content: object = None
    timestamp: object = None
    provider: object = None
    model: object = None
    response_id: object = None
    stop_reason: object = None
    error_message: object = None
    usage: object = None
    tool_call_id: object = None
    tool_name: object = None
    is_error: object = None
    command: object = None
    output: object = None
    exit_code: object = None


class Line(msgspec.Struct, rename="camel"):
    """The header, or an entry of the session's tree."""

    type: object = None
    id: object = None
    parent_id: object = None
    timestamp: object = None
    message: PiMessage | None = None
    cwd: object = None
    parent_session: object = None
    branched_from: object = None
    provider: object = None
    model_id: object = None
    model: object = None
    summary: object = None
    name: object = None
    content: object = None
    usage: object = None


class State(msgspec.Struct):
    """What earlier lines said.

    `began` is the time of the header: a fork copies entries from its parent, and they are
    older.
    """

    agent: str
    conversation: str
    parent: str | None = None
    began: str | None = None
    cwd: str | None = None
    provider: str | None = None
    model: str | None = None
    tools: dict[str, str] = {}


_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folders of the three programs, and the header of a session."""
    if _PATH.search(with_slashes(path)):
        return True
    return (
        line.get("type") == "session"
        and "id" in line
        and "timestamp" in line
        and ("cwd" in line or isinstance(line.get("version"), int))
    )


def begin(file: FileName) -> State:
    """Take program and session from the path."""
    place = _PATH.search(with_slashes(file.path))
    agent = (place[1] or place[2]) if place else "pi"
    return State(agent=agent, conversation=file.name_conversation(_session_of(file.path)))


def _session_of(path: str) -> str:
    """Return the session of a file: `<time>_<session>.jsonl`, or `<session>.jsonl` of OpenClaw."""
    return FileName(path).stem.rpartition("_")[2]


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map an entry to its events."""
    line = _decode(data)
    match line.type:
        case "message" if line.message is not None:
            return _message_events(line, line.message, state)
        case "session":
            return [_session(line, state)]
        case "model_change":
            state.provider = text(line.provider) or state.provider
            state.model = text(line.model_id) or text(line.model) or state.model
            event = _make_event("state", line, state)
            event.model, event.provider_name = state.model, state.provider
            return [event]
        case "compaction" | "branch_summary":
            return [_summary(line, state)]
        case str() if line.type in _BOOKKEEPING:
            event = _make_event("state", line, state)
            event.text = text(line.name) or plain_text(line.content)
            return [event]
    raise UnknownType(str(line.type), _make_event("unknown", line, state))


def _make_event(kind: EventKind, line: Line, state: State) -> Event:
    event_time = utc(line.timestamp) or (utc(line.message.timestamp) if line.message else None)
    return Event(
        event_kind=kind,
        native_id=text(line.id),
        parent_id=text(line.parent_id),
        conversation_id=state.conversation,
        parent_conversation_id=state.parent,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name=state.agent,
        cwd=state.cwd,
    )


def _session(line: Line, state: State) -> Event:
    state.conversation = text(line.id) or state.conversation
    parent = text(line.parent_session) or text(line.branched_from)
    state.parent = _session_of(parent) if parent else None
    state.began = utc(line.timestamp)
    state.cwd = text(line.cwd)
    state.provider, state.model = text(line.provider), text(line.model_id)
    return _make_event("session_start", line, state)


def _summary(line: Line, state: State) -> Event:
    """Map a summary, which may have cost a call of the current model."""
    event = _make_event("compaction" if line.type == "compaction" else "state", line, state)
    event.text = text(line.summary)
    if line.usage is not None:
        event.model, event.provider_name = state.model, state.provider
        _set_usage(event, line, fields(line.usage), state)
    return event


def _message_events(line: Line, message: PiMessage, state: State) -> Sequence[Event]:
    match message.role:
        case "assistant":
            return _assistant(line, message, state)
        case "user":
            event = _make_event("user_message", line, state)
            event.role, event.text = "user", plain_text(message.content)
            return [event]
        case "toolResult":
            return [_tool_result(line, message, state)]
        case "bashExecution":
            return _user_command(line, message, state)
        case "custom" | "hookMessage" | "branchSummary" | "compactionSummary":
            event = _make_event("state", line, state)
            event.text = plain_text(message.content)
            return [event]
    raise UnknownType(f"message.{message.role}", _make_event("unknown", line, state))


def _assistant(line: Line, message: PiMessage, state: State) -> list[Event]:
    usage = fields(message.usage)
    event = _make_event("model_call" if usage else "model_message", line, state)
    event.role, event.text, event.operation_name = "assistant", plain_text(message.content), "chat"
    event.provider_name = text(message.provider) or state.provider
    event.model = text(message.model) or state.model
    event.finish_reason = text(message.stop_reason)
    if event.finish_reason:
        event.outcome = "failure" if event.finish_reason in _FAILED else "success"
    if event.outcome == "failure":
        event.error_type, event.error_message = event.finish_reason, text(message.error_message)
    if usage:
        _set_usage(event, line, usage, state, text(message.response_id))
    return [event, *_blocks(line, message, state)]


def _set_usage(
    event: Event,
    line: Line,
    usage: JsonObject,
    state: State,
    response: str | None = None,
) -> None:
    """Set tokens and cost as the agent recorded them: input without cache, cache apart.

    Lines that a fork copies belong to calls of its parent, so they get the parent's key.
    """
    event.cache_read_input_tokens = count(usage.get("cacheRead"))
    event.cache_creation_input_tokens = count(usage.get("cacheWrite"))
    uncached = count(usage.get("input"))
    if uncached is not None:
        event.input_tokens = total(
            uncached, event.cache_read_input_tokens, event.cache_creation_input_tokens
        )
    event.output_tokens = count(usage.get("output"))
    event.reasoning_output_tokens = count(usage.get("reasoning"))
    event.usage_scope = "call"
    is_copied = bool(
        state.parent and state.began and event.event_time and event.event_time < state.began
    )
    event.api_call_id = call_key(
        state.parent if is_copied else state.conversation, response or text(line.id)
    )
    event.cost_usd = real(fields(usage.get("cost")).get("total"))
    event.cost_source = None if event.cost_usd is None else "recorded"


def _blocks(line: Line, message: PiMessage, state: State) -> list[Event]:
    events = []
    for block in map(fields, items(message.content)):
        match block.get("type"):
            case "thinking" if thinking := text(block.get("thinking")):
                event = _make_event("reasoning", line, state)
                event.role, event.text, event.model = (
                    "assistant",
                    thinking,
                    text(message.model) or state.model,
                )
                events.append(event)
            case "toolCall" | "tool_use":
                event = _make_event("tool_call", line, state)
                event.role, event.operation_name = "assistant", "execute_tool"
                event.tool_call_id, event.tool_name = text(block.get("id")), text(block.get("name"))
                event.tool_type = tool_type(event.tool_name)
                event.tool_arguments = as_json(block.get("arguments", block.get("input")))
                events.append(event)
                if event.tool_call_id and event.tool_name:
                    remember(state.tools, event.tool_call_id, event.tool_name)
    return events


def _tool_result(line: Line, message: PiMessage, state: State) -> Event:
    event = _make_event("tool_result", line, state)
    event.role, event.operation_name = "tool", "execute_tool"
    event.tool_call_id = text(message.tool_call_id)
    event.tool_name = text(message.tool_name) or recall(state.tools, event.tool_call_id)
    event.tool_type = tool_type(event.tool_name)
    event.tool_result = plain_text(message.content)
    if isinstance(message.is_error, bool):
        event.outcome = "failure" if message.is_error else "success"
    return event


def _user_command(line: Line, message: PiMessage, state: State) -> list[Event]:
    """Map a shell command that the user ran: call and result are one line."""
    call, result = _make_event("tool_call", line, state), _make_event("tool_result", line, state)
    for event in (call, result):
        event.role, event.tool_name, event.tool_type, event.operation_name = (
            "user",
            "bash",
            "shell",
            "execute_tool",
        )
    call.tool_arguments = as_json({"command": message.command}) if text(message.command) else None
    result.tool_result = text(message.output)
    result.exit_code = exit_code(message.exit_code)
    if result.exit_code is not None:
        result.outcome = "success" if result.exit_code == 0 else "failure"
    return [call, result]


DIALECT: Dialect[State] = Dialect(
    name="pi",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
