"""What tools and subagents of a Copilot session do: requested, permitted, started, done."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.dialects.copilot.line import Line, State, make_event, set_error
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    exit_code_in,
    fields,
    forget,
    milliseconds_between,
    real,
    recall,
    remember,
    text,
    tool_type,
)


def request(line: Line, requested: JsonObject, state: State) -> Event:
    """Map a call, as a message requests it or as it starts."""
    event = make_event("tool_call", line, state)
    event.role, event.operation_name = "assistant", "execute_tool"
    _set_tool(event, requested, state)
    event.tool_arguments = as_json(requested.get("arguments"))
    return event


def _set_tool(event: Event, data: JsonObject, state: State) -> None:
    call = text(data.get("toolCallId"))
    name = text(data.get("toolName")) or text(data.get("name")) or recall(state.tools, call)
    event.tool_call_id, event.tool_name = call, name
    server = text(data.get("mcpServerName")) or recall(state.servers, call)
    event.tool_type = "mcp" if server else tool_type(name)
    if call is not None and name is not None:
        remember(state.tools, call, name)
    if call is not None and server is not None:
        remember(state.servers, call, server)


def start(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map the start of a call; it counts as a call only if no message requested it."""
    is_requested = recall(state.tools, text(data.get("toolCallId"))) is not None
    event = make_event("state", line, state) if is_requested else request(line, data, state)
    if is_requested:
        _set_tool(event, data, state)
    if event.tool_call_id is not None and event.event_time is not None:
        remember(state.started, event.tool_call_id, event.event_time)
    return [event]


def complete(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map the end of a call: its result, or why there is none."""
    event = make_event("tool_result", line, state)
    event.role, event.operation_name = "tool", "execute_tool"
    _set_tool(event, data, state)
    event.model = text(data.get("model"))
    event.duration_ms = milliseconds_between(
        forget(state.started, event.tool_call_id), event.event_time
    )
    result = data.get("result")
    event.tool_result = (
        text(at(result, "content")) or text(at(result, "detailedContent")) or as_json(result)
    )
    if event.tool_type == "shell":
        event.exit_code = exit_code_in(event.tool_result)
    if isinstance(success := data.get("success"), bool):
        event.outcome = "success" if success else "failure"
    set_error(event, data.get("error"))
    return [event]


def subagent(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map a subagent that starts, completes or fails.

    Its tokens are not split by kind, so they stay in the line.
    """
    event = make_event("agent_run", line, state)
    event.operation_name, event.is_subagent = "invoke_agent", True
    event.tool_call_id = text(data.get("toolCallId"))
    event.agent_id = event.agent_id or event.tool_call_id
    event.text = text(data.get("agentDisplayName")) or text(data.get("agentName"))
    event.model, event.duration_ms = text(data.get("model")), real(data.get("durationMs"))
    if line.type != "subagent.started":
        event.outcome = "success" if line.type == "subagent.completed" else "failure"
    set_error(event, data.get("error"))
    return [event]


def permission(line: Line, data: JsonObject, state: State) -> Sequence[Event]:
    """Map a request for permission, or the answer to it."""
    event = make_event("permission", line, state)
    wanted = fields(data.get("permissionRequest"))
    event.tool_call_id = text(wanted.get("toolCallId")) or text(data.get("toolCallId"))
    event.tool_name = text(wanted.get("toolName")) or recall(state.tools, event.tool_call_id)
    event.tool_type = tool_type(event.tool_name)
    event.text = text(wanted.get("intention")) or text(wanted.get("kind"))
    if decision := text(at(data, "result", "kind")):
        event.outcome = "success" if decision.startswith("approved") else "failure"
        event.error_type = None if event.outcome == "success" else decision
    return [event]
