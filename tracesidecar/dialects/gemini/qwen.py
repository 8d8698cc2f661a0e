"""Sessions of Qwen Code: an envelope like Claude Code's around messages like Gemini's.

Source: qwen-code packages/core/src/services/chatRecordingService.ts. Telemetry of a call repeats
what the message of the call says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind, UsageScope
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.gemini.dialect import function_response
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    exit_code_in,
    fields,
    items,
    real,
    recall,
    remember,
    text,
    tool_type,
    total,
    utc,
)

_PATH = re.compile(r"/\.qwen/(?:projects|tmp)/[^/]+/chats/")
_TYPES = frozenset(("user", "assistant", "tool_result", "system"))
_SUBTYPES = (
    "agent_bootstrap agent_launch_prompt agent_retry agent_session_ready at_command "
    "attribution_snapshot background_task_completed branch_checkpoint cron custom_title "
    "file_history_snapshot goal_runtime goal_state goal_turn_end managed_session_commit_v1 "
    "managed_session_event_v1 managed_session_header_v1 mid_turn_user_message notification "
    "omni_recall parent_session realtime_message rewind session_approval_mode "
    "session_artifact_event session_artifact_snapshot session_execution_engine session_model "
    "session_notes session_source session_sources_snapshot slash_command turn_result "
    "user_text_elements"
)
_BOOKKEEPING = frozenset(_SUBTYPES.split())
_CALL_COUNTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
)
_TELEMETRY_COUNTS = (
    "input_token_count",
    "output_token_count",
    "thoughts_token_count",
    "cached_content_token_count",
    "total_token_count",
)


class ContentParts(msgspec.Struct):
    """A message to or from the model, in parts."""

    parts: object = None


class Line(msgspec.Struct, rename="camel"):
    """A record of the session's tree."""

    type: object = None
    subtype: object = None
    uuid: object = None
    parent_uuid: object = None
    session_id: object = None
    timestamp: object = None
    cwd: object = None
    version: object = None
    git_branch: object = None
    provenance: object = None
    agent_id: object = None
    is_sidechain: object = None
    model: object = None
    message: ContentParts | None = None
    usage_metadata: object = None
    tool_call_result: object = None
    system_payload: object = None


class State(msgspec.Struct):
    """The session, for lines that do not name it, and tools by call id until the result comes."""

    conversation: str
    tools: dict[str, str] = {}


_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folders of chats, and records with parts, usage or a system payload."""
    if _PATH.search(with_slashes(path)):
        return True
    if "sessionId" not in line or text(line.get("type")) not in _TYPES:
        return False
    return (
        isinstance(at(line.get("message"), "parts"), list)
        or "usageMetadata" in line
        or "systemPayload" in line
    )


def begin(file: FileName) -> State:
    """Take the session from the name of the file."""
    return State(file.name_conversation(file.stem))


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a record to its events."""
    line = _decode(data)
    state.conversation = text(line.session_id) or state.conversation
    match line.type:
        case "assistant":
            return _assistant(line, state)
        case "user" | "tool_result":
            return _user(line, state)
        case "system":
            return [_system(line, state)]
    raise UnknownType(str(line.type), _make_event("unknown", line, state))


def _make_event(kind: EventKind, line: Line, state: State) -> Event:
    event_time = utc(line.timestamp)
    return Event(
        event_kind=kind,
        native_id=text(line.uuid),
        parent_id=text(line.parent_uuid),
        conversation_id=state.conversation,
        agent_id=text(line.agent_id),
        is_subagent=line.is_sidechain if isinstance(line.is_sidechain, bool) else None,
        event_time=event_time,
        event_time_source="line" if event_time else None,
        agent_name="qwen-code",
        agent_version=text(line.version),
        cwd=text(line.cwd),
        git_branch=text(line.git_branch),
    )


def _parts(line: Line) -> list[JsonObject]:
    return [fields(part) for part in items(line.message.parts)] if line.message is not None else []


def _join_text(parts: Sequence[JsonObject], *, is_thought: bool) -> str | None:
    return (
        "\n".join(
            said
            for part in parts
            if (said := text(part.get("text"))) and bool(part.get("thought")) is is_thought
        )
        or None
    )


def _assistant(line: Line, state: State) -> list[Event]:
    parts, usage = _parts(line), fields(line.usage_metadata)
    event = _make_event("model_call" if usage else "model_message", line, state)
    event.role, event.text, event.operation_name = (
        "assistant",
        _join_text(parts, is_thought=False),
        "chat",
    )
    event.model = text(line.model)
    if usage:
        _set_usage(event, [count(usage.get(name)) for name in _CALL_COUNTS], "call")
        event.api_call_id = call_key(state.conversation, event.native_id)
    found = [event]
    if thought := _join_text(parts, is_thought=True):
        reasoning = _make_event("reasoning", line, state)
        reasoning.role, reasoning.text, reasoning.model = "assistant", thought, event.model
        found.append(reasoning)
    return [
        *found,
        *(
            _tool_call(line, fields(part["functionCall"]), state)
            for part in parts
            if "functionCall" in part
        ),
    ]


def _set_usage(event: Event, counts: Sequence[int | None], scope: UsageScope) -> None:
    """Set the tokens.

    Whether the output includes reasoning depends on the provider; the recorded total shows it.
    """
    prompt, answer, thoughts, event.cache_read_input_tokens, recorded = counts
    event.input_tokens, event.reasoning_output_tokens, event.usage_scope = prompt, thoughts, scope
    has_thoughts = recorded is not None and recorded == total(prompt, answer)
    event.output_tokens = answer if has_thoughts else total(answer, thoughts)


def _tool_call(line: Line, call: JsonObject, state: State) -> Event:
    event = _make_event("tool_call", line, state)
    event.role, event.operation_name = "assistant", "execute_tool"
    event.tool_call_id, event.tool_name = text(call.get("id")), text(call.get("name"))
    event.tool_type, event.tool_arguments = tool_type(event.tool_name), as_json(call.get("args"))
    if event.tool_call_id and event.tool_name:
        remember(state.tools, event.tool_call_id, event.tool_name)
    return event


def _user(line: Line, state: State) -> list[Event]:
    """Map what the user said, or what tools returned.

    What the program put in the user's place is bookkeeping.
    """
    parts = _parts(line)
    results = [_tool_result(line, part, state) for part in parts if "functionResponse" in part]
    if results and line.type == "tool_result":
        return results
    event = _make_event(
        "user_message" if line.provenance in (None, "real_user") else "state", line, state
    )
    event.role, event.text = "user", _join_text(parts, is_thought=False)
    return results if results and event.text is None else [event, *results]


def _tool_result(line: Line, part: JsonObject, state: State) -> Event:
    event = _make_event("tool_result", line, state)
    event.role, event.operation_name = "tool", "execute_tool"
    response, outcome = fields(part["functionResponse"]), fields(line.tool_call_result)
    event.tool_call_id = text(response.get("id")) or text(outcome.get("callId"))
    event.tool_name = text(response.get("name")) or recall(state.tools, event.tool_call_id)
    event.tool_type, event.tool_result = tool_type(event.tool_name), function_response([part])
    if event.tool_type == "shell":
        event.exit_code = exit_code_in(event.tool_result)
    error = text(at(response, "response", "error")) or text(outcome.get("error"))
    if status := text(outcome.get("status")):
        event.outcome = (
            "success"
            if status == "success"
            else "failure"
            if status in ("error", "cancelled")
            else None
        )
        event.error_type = status if event.outcome == "failure" else text(outcome.get("errorType"))
    elif error:
        event.outcome = "failure"
    event.error_message = error
    return event


def _system(line: Line, state: State) -> Event:
    match line.subtype:
        case "ui_telemetry":
            return _telemetry(line, fields(at(line.system_payload, "uiEvent")), state)
        case "chat_compression":
            return _make_event("compaction", line, state)
        case None:
            event = _make_event("state", line, state)
            event.role, event.text = "system", _join_text(_parts(line), is_thought=False)
            return event
        case str() if line.subtype in _BOOKKEEPING:
            return _make_event("state", line, state)
    raise UnknownType(f"system.{line.subtype}", _make_event("unknown", line, state))


def _telemetry(line: Line, telemetry: JsonObject, state: State) -> Event:
    """Map telemetry: a copy of other lines, except for API errors, which have no other line."""
    name = text(telemetry.get("event.name")) or ""
    event = _make_event("error" if name.endswith(".api_error") else "state", line, state)
    event.model, event.duration_ms = (
        text(telemetry.get("model")),
        real(telemetry.get("duration_ms")),
    )
    event.tool_name = text(telemetry.get("function_name"))
    if event.event_kind == "error":
        event.outcome, event.error_message = (
            "failure",
            text(telemetry.get("error_message")) or text(telemetry.get("error")),
        )
        event.error_type = text(telemetry.get("error_type")) or as_json(
            telemetry.get("status_code")
        )
    if name.endswith(".api_response"):
        event.api_call_id = call_key(state.conversation, text(telemetry.get("response_id")))
        _set_usage(event, [count(telemetry.get(each)) for each in _TELEMETRY_COUNTS], "repeat")
    return event


DIALECT: Dialect[State] = Dialect(
    name="qwen",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
