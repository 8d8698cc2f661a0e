"""Events of OpenHands (software agent SDK and CLI), in a file each or a line each.

Usage is a running total of the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    acp_tool,
    as_json,
    at,
    call_key,
    count,
    exit_code,
    fields,
    plain_text,
    real,
    text,
    tool_type,
    utc,
)


class Line(msgspec.Struct):
    """What all events have, and what the kinds that are mapped have.

    `observation` and the like are objects of many shapes.
    """

    kind: str = ""
    id: object = None
    timestamp: object = None
    source: object = None
    key: object = None
    value: object = None
    tool_name: object = None
    tool_call_id: object = None
    tool_call: object = None
    action: object = None
    action_id: object = None
    thought: object = None
    reasoning_content: object = None
    llm_response_id: object = None
    llm_message: object = None
    observation: object = None
    rejection_reason: object = None
    error: object = None
    code: object = None
    detail: object = None
    summary: object = None
    system_prompt: object = None
    title: object = None
    tool_kind: object = None
    status: object = None
    raw_input: object = None
    raw_output: object = None
    is_error: object = None


class State(msgspec.Struct):
    """The conversation, by the path."""

    conversation: str | None = None


_Mapper = Callable[[Line], Sequence[Event]]

_decode = msgspec.json.Decoder(Line).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise what every event has, with a kind that is a class of the SDK."""
    kind = line.get("kind")
    return isinstance(kind, str) and kind in _KINDS and {"id", "timestamp", "source"} <= line.keys()


def begin(file: FileName) -> State:
    """Take the conversation from the path.

    `conversations/<conversation>/events/event-00000-<id>.json`; elsewhere the file is the
    conversation.
    """
    folders = with_slashes(file.path).split("/")
    is_named = len(folders) >= 3 and folders[-2] == "events"
    return State(file.name_conversation(folders[-3], levels=2) if is_named else None)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to its events.

    An action becomes reasoning, message and tool call; statistics become one event for each
    model; any other line is one event.
    """
    line = _decode(data)
    read = _KINDS.get(line.kind)
    if read is None:
        raise UnknownType(line.kind, _set_envelope(Event(event_kind="unknown"), line, state))
    return [_set_envelope(event, line, state) for event in read(line)]


def _message(line: Line) -> Sequence[Event]:
    is_agent = line.source == "agent"
    said = Event(
        event_kind="model_message" if is_agent else "user_message",
        role=text(at(line.llm_message, "role")),
    )
    said.text = plain_text(at(line.llm_message, "content"))
    thought = text(at(line.llm_message, "reasoning_content"))
    return [*_map_thought(thought), said]


def _action(line: Line) -> Sequence[Event]:
    found = _map_thought(text(line.reasoning_content))
    said = plain_text(line.thought)
    if said is not None:
        found.append(Event(event_kind="model_message", role="assistant", text=said))
    call = Event(
        event_kind="tool_call",
        operation_name="execute_tool",
        role="assistant",
        tool_name=text(line.tool_name),
    )
    call.tool_call_id, call.tool_type = text(line.tool_call_id), tool_type(call.tool_name)
    call.tool_arguments = as_json(at(line.tool_call, "arguments")) or as_json(line.action)
    return [*found, call]


def _map_thought(thought: str | None) -> list[Event]:
    return (
        [Event(event_kind="reasoning", role="assistant", text=thought)]
        if thought is not None
        else []
    )


def _observation(line: Line) -> Sequence[Event]:
    event = _result(line)
    seen = fields(line.observation)
    event.tool_result = plain_text(seen.get("content")) or as_json(line.observation)
    event.exit_code = exit_code(seen.get("exit_code"))
    has_failed = seen.get("is_error") is True or event.exit_code not in (None, 0)
    event.outcome = "failure" if has_failed else "success"
    event.cwd = text(at(seen, "metadata", "working_dir"))
    return (event,)


def _agent_error(line: Line) -> Sequence[Event]:
    """Map the result of a call that the agent itself could not make."""
    event = _result(line)
    event.outcome, event.error_type, event.error_message = (
        "failure",
        "agent_error",
        text(line.error),
    )
    return (event,)


def _rejection(line: Line) -> Sequence[Event]:
    event = _result(line)
    event.event_kind, event.role, event.outcome, event.text = (
        "permission",
        None,
        "failure",
        text(line.rejection_reason),
    )
    return (event,)


def _result(line: Line) -> Event:
    event = Event(
        event_kind="tool_result",
        role="tool",
        tool_call_id=text(line.tool_call_id),
        tool_name=text(line.tool_name),
    )
    event.parent_id, event.tool_type = text(line.action_id), tool_type(event.tool_name)
    return event


def _acp_tool_call(line: Line) -> Sequence[Event]:
    """Map a call of an agent that runs behind OpenHands; its progress comes line by line."""
    is_done = line.status in ("completed", "failed")
    event = Event(
        event_kind="tool_result"
        if is_done
        else "tool_call"
        if line.status == "pending"
        else "state"
    )
    event.tool_call_id, event.text = text(line.tool_call_id), text(line.title)
    event.tool_name, event.tool_type = acp_tool(event.text, text(line.tool_kind))
    event.tool_arguments, event.tool_result = as_json(line.raw_input), as_json(line.raw_output)
    if is_done:
        event.outcome = "failure" if line.is_error is True or line.status == "failed" else "success"
    return (event,)


def _conversation_error(line: Line) -> Sequence[Event]:
    return (
        Event(
            event_kind="error",
            outcome="failure",
            error_type=text(line.code),
            error_message=text(line.detail),
        ),
    )


def _compaction(line: Line) -> Sequence[Event]:
    return (Event(event_kind="compaction", text=text(line.summary)),)


def _system_prompt(line: Line) -> Sequence[Event]:
    return (
        Event(
            event_kind="state",
            operation_name=line.kind,
            role="system",
            text=plain_text(line.system_prompt),
        ),
    )


def _state(line: Line) -> Sequence[Event]:
    return (Event(event_kind="state", operation_name=line.kind),)


def _update(line: Line) -> Sequence[Event]:
    """Map an update of the conversation's state.

    Statistics are what each use of a model (agent, condenser) has used so far; anything else is
    bookkeeping.
    """
    stats = line.value if line.key == "stats" else at(line.value, "stats")
    found = [
        _usage_summary(fields(metrics))
        for metrics in fields(at(stats, "usage_to_metrics")).values()
    ]
    if found:
        return found
    return (Event(event_kind="state", operation_name=text(line.key), text=text(line.value)),)


def _usage_summary(metrics: JsonObject) -> Event:
    usage = fields(metrics.get("accumulated_token_usage"))
    event = Event(
        event_kind="usage_summary", model=text(metrics.get("model_name")), usage_scope="cumulative"
    )
    event.input_tokens, event.output_tokens = (
        count(usage.get("prompt_tokens")),
        count(usage.get("completion_tokens")),
    )
    event.cache_read_input_tokens = count(usage.get("cache_read_tokens"))
    event.cache_creation_input_tokens = count(usage.get("cache_write_tokens"))
    event.reasoning_output_tokens = count(usage.get("reasoning_tokens"))
    event.cost_usd = real(metrics.get("accumulated_cost"))
    event.cost_source = "recorded" if event.cost_usd is not None else None
    return event


def _set_envelope(event: Event, line: Line, state: State) -> Event:
    event.native_id = text(line.id)
    event.conversation_id = state.conversation
    event.agent_name = "openhands"
    event.event_time = _utc_of_local_time(text(line.timestamp))
    event.event_time_source = "line" if event.event_time is not None else None
    if event.event_kind in ("reasoning", "model_message", "tool_call"):
        event.api_call_id = call_key(state.conversation, text(line.llm_response_id))
    return event


def _utc_of_local_time(written: str | None) -> str | None:
    """Return a time of the machine in UTC.

    OpenHands writes local time without a zone. Its zone is that of this process, which runs on
    the same machine.
    """
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        return utc((moment if moment.tzinfo is not None else moment.astimezone(UTC)).isoformat())
    except (ValueError, OverflowError, OSError):
        return None


_KINDS: dict[str, _Mapper] = {
    "MessageEvent": _message,
    "ActionEvent": _action,
    "ObservationEvent": _observation,
    "AgentErrorEvent": _agent_error,
    "UserRejectObservation": _rejection,
    "ACPToolCallEvent": _acp_tool_call,
    "ConversationErrorEvent": _conversation_error,
    "Condensation": _compaction,
    "CondensationSummaryEvent": _state,
    "CondensationRequest": _state,
    "SystemPromptEvent": _system_prompt,
    "ConversationStateUpdateEvent": _update,
    "PauseEvent": _state,
    "InterruptEvent": _state,
    "HookExecutionEvent": _state,
    "LLMCompletionLogEvent": _state,
    "TokenEvent": _state,
    "StreamingDeltaEvent": _state,
}

DIALECT: Dialect[State] = Dialect(
    name="openhands",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    bulky=(("tools",), ("log_data",)),
)
