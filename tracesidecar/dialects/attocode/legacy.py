"""Attocode before Python: lines of its TypeScript program, and an older form.

The older lines count time from the start of the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.event import Event, Outcome
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    forget,
    real,
    remember,
    text,
    tool_type,
    total,
    utc,
)

Scope = Literal["call", "cumulative", "agent_total", "session_total"]

_OUTCOMES: dict[str, Outcome] = {
    "success": "success",
    "completed": "success",
    "error": "failure",
    "failed": "failure",
    "cancelled": "failure",
}


class State(msgspec.Struct):
    """The session of the file, and the model of each request until its response comes."""

    conversation: str | None = None
    models: dict[str, str] = {}


_Fill = Callable[[Event, JsonObject, State], None]

_decode = msgspec.json.Decoder(dict[str, object]).decode


def recognise(line: JsonObject) -> bool:
    """Recognise a line of either old form."""
    return line.keys() >= {"_type", "_ts"} or line.keys() >= {"type", "timestamp", "elapsed_ms"}


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line, like `Dialect.map_line`."""
    members = _decode(data)
    kind = text(members.get("_type")) or text(members.get("type")) or ""
    if kind in ("session.start", "trace.start"):
        state.conversation = text(members.get("sessionId")) or text(members.get("session_id"))
    event = Event(
        event_kind="unknown",
        trace_id=text(members.get("traceId")),
        conversation_id=state.conversation
        or text(members.get("sessionId"))
        or text(members.get("traceId")),
        event_time=utc(members.get("_ts")) or utc(members.get("timestamp")),
        duration_ms=real(members.get("durationMs")),
        operation_name=kind or None,
        model=text(members.get("model")),
        agent_name="attocode",
    )
    if kind == "tool.execution":
        return _tool(event, members)
    fill = _KINDS.get(kind)
    if fill is None:
        raise UnknownType(kind, event)
    fill(event, members, state)
    return (event,)


def _state(event: Event, _members: JsonObject, _state: State) -> None:
    event.event_kind = "state"


def _request(event: Event, members: JsonObject, state: State) -> None:
    event.event_kind = "state"
    request = text(members.get("requestId"))
    if request and event.model:
        remember(state.models, request, event.model)


def _response(event: Event, members: JsonObject, state: State) -> None:
    """Set the columns of a response; input is without the cache if the cache is larger."""
    request = text(members.get("requestId"))
    event.event_kind, event.operation_name, event.role = "model_call", "chat", "assistant"
    event.api_call_id = call_key(event.conversation_id, request)
    event.model = event.model or forget(state.models, request)
    event.cache_read_input_tokens = count(at(members, "cache", "cacheReadTokens"))
    event.cache_creation_input_tokens = count(at(members, "cache", "cacheWriteTokens"))
    given = count(at(members, "tokens", "input"))
    cached = total(event.cache_read_input_tokens, event.cache_creation_input_tokens) or 0
    event.input_tokens = given + cached if given is not None and cached > given else given
    event.output_tokens = count(at(members, "tokens", "output"))
    event.usage_scope = "call"
    event.finish_reason = text(members.get("stopReason"))


def _session_start(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind = "session_start"
    event.text = text(members.get("task"))


def _session_end(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind = "session_end"
    _end(event, members, "session_total")


def _task_start(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind, event.role = "user_message", "user"
    event.native_id = text(members.get("taskId"))
    event.text = text(members.get("prompt"))


def _task_end(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind = "state"
    event.native_id = text(members.get("taskId"))
    event.error_message = text(at(members, "result", "failureReason"))
    _end(event, members, "agent_total")


def _end(event: Event, members: JsonObject, scope: Scope) -> None:
    event.outcome = _OUTCOMES.get(text(members.get("status")) or "")
    event.input_tokens = count(at(members, "metrics", "inputTokens"))
    event.output_tokens = count(at(members, "metrics", "outputTokens"))
    event.cost_usd = real(at(members, "metrics", "totalCost"))
    event.cost_source = "recorded" if event.cost_usd is not None else None
    event.usage_scope = scope if isinstance(members.get("metrics"), dict) else None


def _thinking(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind, event.role = "reasoning", "assistant"
    event.text = text(at(members, "thinking", "content"))


def _error(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind, event.outcome = "error", "failure"
    event.error_type = text(members.get("errorCode"))
    event.error_message = text(members.get("errorMessage"))


def _subagent(event: Event, members: JsonObject, _state: State) -> None:
    link = members.get("link")
    event.event_kind, event.is_subagent = "agent_run", True
    event.agent_id = text(at(link, "childSessionId"))
    event.model = text(at(link, "childConfig", "model"))
    event.text = text(at(link, "childConfig", "task"))
    event.duration_ms = real(at(link, "result", "durationMs"))
    succeeded = at(link, "result", "success")
    event.outcome = None if succeeded is None else "success" if succeeded else "failure"


def _swarm_task(event: Event, members: JsonObject, _state: State) -> None:
    event.event_kind, event.is_subagent = "agent_run", True
    event.agent_id = text(members.get("taskId"))
    event.outcome = _OUTCOMES.get(text(members.get("phase")) or "")
    event.error_message = text(members.get("error")) or text(members.get("reason"))
    event.cost_usd = real(members.get("costUsed"))
    if event.cost_usd is not None:
        event.cost_source, event.usage_scope = "recorded", "agent_total"


def _compaction(event: Event, _members: JsonObject, _state: State) -> None:
    event.event_kind = "compaction"


def _tool(event: Event, members: JsonObject) -> Sequence[Event]:
    """Map a line to the call and its result."""
    name, execution = text(members.get("toolName")), text(members.get("executionId"))
    arguments = as_json(members.get("input"))
    call = Event(
        event_kind="tool_call",
        trace_id=event.trace_id,
        conversation_id=event.conversation_id,
        event_time=event.event_time,
        operation_name="execute_tool",
        tool_name=name,
        tool_type=tool_type(name),
        tool_call_id=execution,
        tool_arguments=arguments,
        agent_name="attocode",
    )
    event.event_kind, event.operation_name = "tool_result", "execute_tool"
    event.tool_name, event.tool_type, event.tool_call_id = name, call.tool_type, execution
    event.tool_result = as_json(members.get("outputPreview"))
    event.outcome = _OUTCOMES.get(text(members.get("status")) or "", "unknown")
    event.error_type = text(members.get("status")) if event.outcome == "failure" else None
    event.error_message = text(members.get("errorMessage"))
    return (call, event)


_STATES = (
    "iteration.wrapper memory.retrieval plan.evolution decision swarm.start swarm.decomposition "
    "swarm.wave swarm.quality swarm.budget swarm.verification swarm.complete codebase.map "
    "blackboard.event budget.pool budget.check filecache.event context.injection"
)
_KINDS: dict[str, _Fill] = {
    **dict.fromkeys(_STATES.split(), _state),
    "session.start": _session_start,
    "trace.start": _session_start,
    "session.end": _session_end,
    "trace.end": _session_end,
    "task.start": _task_start,
    "task.end": _task_end,
    "llm.request": _request,
    "llm.response": _response,
    "llm.thinking": _thinking,
    "error": _error,
    "subagent.link": _subagent,
    "swarm.task": _swarm_task,
    "context.compacted": _compaction,
}
