"""What an `event_msg` of a Codex rollout becomes; most repeat a `response_item`."""

from __future__ import annotations

from tracesidecar.dialects.codex import items
from tracesidecar.dialects.codex.line import RolloutPayload, State
from tracesidecar.dialects.dialect import EventFactory, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    as_json,
    at,
    exit_code,
    fields,
    real,
    recall,
    text,
    tool_type,
)

_REPEATED_TEXT = {
    "user_message": "user",
    "agent_message": "assistant",
    "agent_reasoning": "assistant",
    "agent_reasoning_raw_content": "assistant",
}
_SETTINGS = frozenset(("thread_settings_applied", "session_configured", "model_rerouted"))
_ENDS = frozenset(
    (
        "exec_command_end",
        "patch_apply_end",
        "mcp_tool_call_end",
        "dynamic_tool_call_response",
        "view_image_tool_call",
    )
)
_ASKS = frozenset(
    (
        "exec_approval_request",
        "apply_patch_approval_request",
        "request_permissions",
        "elicitation_request",
    )
)
_BOOKKEEPING_PREFIXES = (
    "agent_",
    "background_",
    "collab_",
    "context_",
    "deprecation_",
    "dynamic_tool_call_",
    "entered_",
    "exec_command_",
    "exited_",
    "get_history_",
    "guardian_",
    "hook_",
    "image_generation_",
    "item_",
    "list_",
    "mcp_",
    "model_",
    "patch_apply_",
    "plan_",
    "raw_",
    "realtime_",
    "reasoning_",
    "request_user_input",
    "session_",
    "shutdown_",
    "skills_",
    "sub_agent_",
    "task_",
    "terminal_",
    "thread_",
    "token_",
    "turn_",
    "undo_",
    "view_image_",
    "warning",
    "web_search_",
)
"""Families of notices; a new member of a family is a notice too."""


def map_event(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map a notice; raises UnknownType if its family is not known."""
    kind = text(payload.type) or ""
    if kind in ("item_started", "item_completed"):
        return _item(kind, payload, state, make)
    if kind in _SETTINGS:
        return _settings(payload, state, make)
    if kind in _REPEATED_TEXT:
        event = make("state")
        event.role, event.text = _REPEATED_TEXT[kind], text(payload.message) or text(payload.text)
        return event
    if kind in ("error", "stream_error", "turn_aborted"):
        return _error(kind, payload, make)
    if kind in _ENDS:
        return _end(payload, state, make)
    if kind in _ASKS:
        event = make("permission")
        event.text = text(payload.reason) or text(payload.message)
        _set_tool(event, payload, state)
        return event
    if kind == "collab_agent_spawn_end":
        return _spawn(payload, make)
    if not kind.startswith(_BOOKKEEPING_PREFIXES):
        raise UnknownType(f"event_msg.{kind or 'none'}", make("unknown"))
    if kind in ("task_complete", "turn_complete") and payload.error is not None:
        return _error(kind, payload, make)
    event = make("state")
    event.duration_ms = real(payload.duration_ms)
    return event


def _item(kind: str, payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map an item: a tool's run, unless the model's own call and its output tell the same."""
    item = fields(payload.item)
    if not items.is_tool(item):
        return items.map_said(item, make) or make("state")
    is_told = recall(state.tools, text(item.get("call_id")) or text(item.get("id"))) is not None
    if kind == "item_started":
        return make("state") if is_told else items.map_tool_start(item, state, make)
    took = items.milliseconds_of_run(payload.started_at, payload.completed_at)
    event = items.map_tool_end(item, state, make, took=took)
    if is_told:
        event.event_kind = "state"
    return event


def _settings(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Take over what holds from here on: model, provider, tier and directory."""
    known = fields(payload.thread_settings)
    state.model = (
        text(known.get("model")) or text(payload.to_model) or text(payload.model) or state.model
    )
    provider = text(known.get("model_provider_id")) or text(known.get("model_provider"))
    state.provider = provider or text(payload.model_provider) or state.provider
    state.cwd = text(known.get("cwd")) or text(payload.cwd) or state.cwd
    if "service_tier" in known:
        state.tier = text(known["service_tier"])
    else:
        state.tier = text(payload.service_tier) or state.tier
    return make("state")


def _error(kind: str, payload: RolloutPayload, make: EventFactory) -> Event:
    event = make("error")
    event.outcome, event.duration_ms = "failure", real(payload.duration_ms)
    info = payload.codex_error_info
    named = next(iter(fields(info)), None) if isinstance(info, dict) else text(info)
    event.error_type = text(payload.reason) or named or kind
    event.error_message = (
        text(payload.message) or text(at(payload.error, "message")) or as_json(payload.error)
    )
    return event


def _end(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map the end of a tool's run; the output that the model got is another line."""
    event = make("state")
    _set_tool(event, payload, state)
    code, success = payload.exit_code, payload.success
    event.exit_code = exit_code(code)
    is_error = (
        at(payload.result, "Err") is not None
        or at(payload.result, "Ok", "isError") is True
        or at(payload.result, "Ok", "is_error") is True
    )
    if code is not None or success is not None or payload.result is not None:
        failed = (code is not None and code != 0) or success is False or is_error
        event.outcome = "failure" if failed else "success"
    seconds, nanoseconds = real(at(payload.duration, "secs")), real(at(payload.duration, "nanos"))
    if seconds is not None:
        event.duration_ms = round(seconds * 1000 + (nanoseconds or 0) / 1e6, 3)
    return event


def _set_tool(event: Event, payload: RolloutPayload, state: State) -> None:
    event.tool_call_id = text(payload.call_id)
    event.tool_name = recall(state.tools, event.tool_call_id)
    event.tool_type = tool_type(event.tool_name)


def _spawn(payload: RolloutPayload, make: EventFactory) -> Event:
    event = make("agent_run")
    event.operation_name, event.text = "invoke_agent", text(payload.prompt)
    event.agent_id, event.tool_call_id = text(payload.new_thread_id), text(payload.call_id)
    event.outcome = "success" if event.agent_id is not None else "failure"
    return event
