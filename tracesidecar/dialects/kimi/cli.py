"""Wire messages of Kimi CLI: `{timestamp, message {type, payload}}`.

Source: kimi-cli src/kimi_cli/wire/types.py.
"""

from __future__ import annotations

from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.kimi.session import (
    USAGE,
    State,
    content_event,
    make_event,
    set_usage,
    tool_call_event,
    tool_result_event,
)
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    fields,
    plain_text,
    recall,
    text,
    tool_type,
)

_BOOKKEEPING = frozenset(
    (
        "TurnEnd",
        "StepBegin",
        "StepInterrupted",
        "StepRetry",
        "CompactionBegin",
        "HookTriggered",
        "HookResolved",
        "HookRequest",
        "HookResponse",
        "MCPLoadingBegin",
        "MCPLoadingEnd",
        "MCPStatusSnapshot",
        "Notification",
        "PlanDisplay",
        "BtwBegin",
        "BtwEnd",
        "ToolCallPart",
        "ToolCallRequest",
        "QuestionRequest",
        "QuestionResponse",
    )
)
TYPES = _BOOKKEEPING | {
    "TurnBegin",
    "SteerInput",
    "StatusUpdate",
    "ContentPart",
    "ToolCall",
    "ToolResult",
    "CompactionEnd",
    "SubagentEvent",
    "ApprovalRequest",
    "ApprovalResponse",
    "ApprovalRequestResolved",
}


def map_message(time: object, message: JsonObject, state: State) -> Event:
    """Map a wire message to one event."""
    payload, kind = fields(message.get("payload")), message.get("type")
    match kind:
        case "TurnBegin" | "SteerInput":
            found = make_event("user_message", time, state)
            found.role, found.text = "user", plain_text(payload.get("user_input"))
            return found
        case "ContentPart":
            return content_event(time, state, payload)
        case "ToolCall":
            function = fields(payload.get("function"))
            return tool_call_event(
                time,
                state,
                text(payload.get("id")),
                text(function.get("name")),
                function.get("arguments"),
            )
        case "ToolResult":
            return _result(time, payload, state)
        case "StatusUpdate":
            return _status(time, payload, state)
        case "CompactionEnd":
            return make_event("compaction", time, state)
        case "SubagentEvent":
            return _subagent_event(time, payload, state)
        case "ApprovalRequest" | "ApprovalResponse" | "ApprovalRequestResolved":
            return _permission(time, payload, state)
        case str() if kind in _BOOKKEEPING:
            return make_event("state", time, state)
    raise UnknownType(str(kind), make_event("unknown", time, state))


def _status(time: object, payload: JsonObject, state: State) -> Event:
    """Map the usage of a step; without usage it only says how full the context is.

    All counts are zero before the first call.
    """
    usage = [fields(payload.get("token_usage")).get(name) for name in USAGE]
    if not any(usage):
        return make_event("state", time, state)
    found = make_event("model_call", time, state)
    found.model = state.model
    found.api_call_id = call_key(state.conversation, text(payload.get("message_id")))
    set_usage(found, usage, "call")
    return found


def _result(time: object, payload: JsonObject, state: State) -> Event:
    returned = fields(payload.get("return_value"))
    output = (
        plain_text(returned.get("output"))
        or text(returned.get("message"))
        or as_json(returned.get("output"))
        or None
    )
    found = tool_result_event(
        time, state, text(payload.get("tool_call_id")), output, returned.get("is_error")
    )
    if found.outcome == "failure":
        found.error_message = text(returned.get("message"))
    return found


def _subagent_event(time: object, payload: JsonObject, state: State) -> Event:
    """Map what a subagent did, as the agent that started it reports."""
    inner = fields(payload.get("event"))
    if text(inner.get("type")) not in TYPES - {"SubagentEvent"}:
        raise UnknownType(f"SubagentEvent.{inner.get('type')}", make_event("unknown", time, state))
    found = map_message(time, inner, state)
    found.is_subagent = True
    found.agent_id = (
        text(payload.get("agent_id"))
        or text(payload.get("parent_tool_call_id"))
        or text(payload.get("task_tool_call_id"))
    )
    found.parent_id = text(payload.get("parent_tool_call_id")) or text(
        payload.get("task_tool_call_id")
    )
    return found


def _permission(time: object, payload: JsonObject, state: State) -> Event:
    found = make_event("permission", time, state)
    found.native_id, found.parent_id = text(payload.get("id")), text(payload.get("request_id"))
    found.tool_call_id = text(payload.get("tool_call_id"))
    found.tool_name = recall(state.tools, found.tool_call_id)
    found.tool_type, found.text = (
        tool_type(found.tool_name),
        text(payload.get("description")) or text(payload.get("feedback")),
    )
    if decision := text(at(payload, "response")):
        found.outcome = "failure" if decision == "reject" else "success"
    return found
