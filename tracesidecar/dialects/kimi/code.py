"""Wire records of Kimi Code: `{type, time, …}`; `context.append_loop_event` has the agent's loop.

Source: kimi-code, the records of agent-core-v2, and older ones that remain in files.
"""

from __future__ import annotations

import msgspec

from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.kimi.session import (
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
    tool_calls,
    tool_type,
)

_RECORDS = (
    "context.clear context.undo context.update_token_count cron.add cron.cursor cron.delete "
    "file_history.checkpoint file_history.tracked forked full_compaction.begin "
    "full_compaction.cancel full_compaction.complete goal.clear goal.create goal.update "
    "interaction.request interaction.resolved interruptionReminder.recorded llm.tools_snapshot "
    "mcp.tools_discovered micro_compaction.apply permission.set_mode plan.revision "
    "plan_mode.cancel plan_mode.enter plan_mode.exit plugin.session_start prompt.aborted "
    "prompt.accepted prompt.completed prompt.steered staleGuard.cleared staleGuard.recorded "
    "swarm_mode.enter swarm_mode.exit task.started task.terminated task.waitDelivered "
    "token_counting.measured token_counting.rebased token_counting.truncated "
    "token_counting.turn_recorded tools.register_user_tool tools.reset_active_tools "
    "tools.set_active_tools tools.unregister_user_tool tools.update_store tower_mode.enter "
    "tower_mode.exit turn.cancel turn.ended turn.prompt turn.steer turn.step.interrupted "
    "turn.step.retrying"
)
_BOOKKEEPING = frozenset(_RECORDS.split())
"""Includes `turn.prompt` and `turn.steer`: a message of the context repeats their text."""
_USAGE = ("inputOther", "inputCacheRead", "inputCacheCreation", "output")


class Line(msgspec.Struct, rename="camel"):
    """A line of either program; which members it has depends on the type."""

    type: object = None
    time: object = None
    timestamp: object = None
    created_at: object = msgspec.field(default=None, name="created_at")
    message: object = None
    event: object = None
    model: object = None
    model_alias: object = None
    cwd: object = None
    usage: object = None
    summary: object = None
    tool_call_id: object = None
    tool_name: object = None
    decision: object = None
    result: object = None


def map_line(line: Line, state: State) -> list[Event]:
    """Map a record to its events."""
    time = line.time if line.time is not None else line.timestamp
    match line.type:
        case "context.append_loop_event":
            return [_loop_event(time, fields(line.event), state)]
        case "context.append_message":
            return _message(time, fields(line.message), state)
        case "usage.record":
            return [_usage(time, line, state)]
        case "config.update" | "profile.bind" | "runtime.set_binding" | "llm.request":
            state.model = text(line.model_alias) or text(line.model) or state.model
            state.cwd = text(line.cwd) or state.cwd
            found = make_event("state", time, state)
            found.model = state.model
        case "context.apply_compaction":
            found = make_event("compaction", time, state)
            found.text = plain_text(line.summary)
        case "permission.record_approval_result":
            found = _permission(time, line, state)
        case str() if line.type in _BOOKKEEPING:
            found = make_event("state", time, state)
        case _:
            raise UnknownType(str(line.type), make_event("unknown", time, state))
    return [found]


def _usage(time: object, line: Line, state: State) -> Event:
    """Map the usage of the current step; a second one in the same step is another call."""
    usage = fields(line.usage)
    found = make_event("model_call" if usage else "state", time, state)
    found.model = text(line.model) or state.model
    if usage:
        set_usage(found, [usage.get(name) for name in _USAGE], "call")
        found.api_call_id, state.step = call_key(state.conversation, state.step), None
    return found


def _loop_event(time: object, loop: JsonObject, state: State) -> Event:
    """Map a step of the agent's loop, and what happens in it."""
    time = loop.get("time") or time
    match loop.get("type"):
        case "content.part":
            found = content_event(time, state, fields(loop.get("part")))
        case "tool.call":
            call = text(loop.get("toolCallId")) or text(loop.get("uuid"))
            found = tool_call_event(time, state, call, text(loop.get("name")), loop.get("args"))
        case "tool.result":
            result = loop.get("result")
            output = (
                plain_text(at(result, "output")) or text(result) or as_json(at(result, "output"))
            )
            found = tool_result_event(
                time, state, text(loop.get("toolCallId")), output, at(result, "isError")
            )
        case "step.begin" | "step.end" | "llm.request" | "llm.response":
            found = _step(time, loop, state)
        case other:
            raise UnknownType(f"loop.{other}", make_event("unknown", time, state))
    own = text(loop.get("uuid"))
    if loop.get("type") == "step.end":  # it has the id of the step that it ends
        found.parent_id = own
    else:
        found.native_id, found.parent_id = (
            own,
            text(loop.get("stepUuid")) or text(loop.get("turnId")),
        )
    return found


def _step(time: object, loop: JsonObject, state: State) -> Event:
    found = make_event("state", time, state)
    found.finish_reason = text(loop.get("finishReason"))
    if loop.get("type") == "step.begin":
        state.step = text(loop.get("uuid"))
    if usage := fields(loop.get("usage")):
        set_usage(found, [usage.get(name) for name in _USAGE], "repeat")
    return found


def _message(time: object, message: JsonObject, state: State) -> list[Event]:
    """Map a message of the context: the user's, or one by the program, which is bookkeeping."""
    said = plain_text(message.get("content"))
    match message.get("role"):
        case "user":
            found = make_event(
                "user_message" if at(message, "origin", "kind") in (None, "user") else "state",
                time,
                state,
            )
        case "assistant":
            found = make_event("model_message", time, state)
            found.model = state.model
        case "tool":
            return [
                tool_result_event(
                    time, state, text(message.get("toolCallId")), said, message.get("isError")
                )
            ]
        case _:
            found = make_event("state", time, state)
    found.role, found.text = text(message.get("role")), said
    return [
        found,
        *(
            tool_call_event(time, state, call.id, call.name, call.arguments)
            for call in tool_calls(message.get("toolCalls"))
        ),
    ]


def _permission(time: object, line: Line, state: State) -> Event:
    found = make_event("permission", time, state)
    found.tool_call_id = text(line.tool_call_id)
    found.tool_name = text(line.tool_name) or recall(state.tools, found.tool_call_id)
    found.tool_type = tool_type(found.tool_name)
    decision = text(line.decision) or text(at(line.result, "decision"))
    if decision is not None:
        found.outcome = "success" if decision.startswith("approve") else "failure"
        found.error_type = None if found.outcome == "success" else decision
    return found
