"""Attocode: one line for each event of a session.

Covers the recorder as it is documented, and as its program calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.dialects.attocode import legacy
from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    exit_code_in,
    fields,
    real,
    text,
    tool_type,
    total,
    utc,
)

_FAILED_RESULTS = ("Error: ", "Error executing", "Exit code: ")
"""How its tools begin a failed result.

The program writes most of these as tools that completed. It does not write exit code 0.
"""


class State(legacy.State):
    """What earlier lines of the session said."""

    is_started: bool = False
    iteration: int | None = None
    iteration_id: str | None = None


class Line(msgspec.Struct):
    """An event; a missing member is left out, never null. `record()` accepts any type."""

    kind: object = None
    event_id: object = None
    timestamp: object = None
    session_id: object = None
    iteration: object = None
    data: object = None
    parent_event_id: object = None
    duration_ms: object = None


_CATEGORIES = {
    "session": "session",
    "iteration": "iteration",
    "llm": "llm",
    "tool": "tool",
    "budget": "budget",
    "compaction": "compaction",
    "context": "compaction",
    "subagent": "subagent",
    "swarm": "swarm",
    "plan": "plan",
    "quality": "quality",
    "learning": "quality",
    "error": "error",
    "recovery": "error",
    "mode": "mode",
    "mcp": "mcp",
    "file": "file",
    "checkpoint": "checkpoint",
}
"""First word of a kind → category; every other kind is `custom`."""
_TEXTS = (
    "message",
    "description",
    "reason",
    "reasoning",
    "decision",
    "goal",
    "task",
    "step",
    "summary",
    "content",
    "resolution",
    "cause",
    "evidence",
    "to_mode",
    "mode",
    "name",
    "label",
    "checkpoint_id",
    "symbol",
)
"""Members in which bookkeeping says what it is about, the most telling first."""
_Fill = Callable[[Event, JsonObject, State], None]

_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the members of an event, the folder of traces, and lines of older programs."""
    is_event = "event_id" in line and "kind" in line and "session_id" in line
    return is_event or "/.attocode/traces/" in with_slashes(path) or legacy.recognise(line)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to one event, or as the older programs need it."""
    line = _decode(data)
    kind = text(line.kind)
    if kind is None:
        return legacy.map_line(data, state)
    event = _base_event(line, kind, state)
    fill = KINDS.get(kind)
    if fill is None:
        raise UnknownType(kind, event)
    fill(event, fields(line.data), state)
    return (event,)


def _base_event(line: Line, kind: str, state: State) -> Event:
    """Return an event with the columns that all kinds fill in the same way.

    Attocode's own tools group by iteration, so the parent of an event is the start of its
    iteration.
    """
    data = fields(line.data)
    took = line.duration_ms if line.duration_ms is not None else at(data, "metadata", "duration_ms")
    event = Event(
        event_kind="unknown",
        native_id=text(line.event_id),
        parent_id=text(line.parent_event_id),
        conversation_id=text(line.session_id),
        event_time=utc(line.timestamp),
        duration_ms=real(took),
        operation_name=kind,
        text=text(data.get("message")) or text(at(data, "metadata", "message")),
        agent_name="attocode",
        agent_id=text(data.get("agent_id")),
        category=_CATEGORIES.get(kind.partition("_")[0], "custom"),
        iteration=count(line.iteration),
    )
    iteration = event.iteration
    if kind == "iteration_start":
        state.iteration, state.iteration_id = iteration, event.native_id
    elif event.parent_id is None and iteration is not None and iteration == state.iteration:
        event.parent_id = state.iteration_id
    return event


def _state(event: Event, data: JsonObject, _state: State) -> None:
    """Set the columns that bookkeeping has: what it says, of what, and how that ended."""
    event.event_kind = "state"
    event.text = event.text or next((said for key in _TEXTS if (said := text(data.get(key)))), None)
    event.model = text(data.get("model"))
    event.file_path = (
        text(data.get("file_path")) or text(data.get("path")) or text(data.get("file"))
    )
    event.connector = text(data.get("server")) or text(data.get("server_name"))
    event.tool_name = text(data.get("tool"))
    event.finish_reason = text(data.get("status")) or text(data.get("action"))
    if (passed := data.get("passed", data.get("success"))) in (True, False):
        event.outcome = "success" if passed else "failure"
    if (error := data.get("error")) is not None:
        event.outcome, event.error_message = "failure", as_json(error)
        event.error_type = text(data.get("error_type")) or event.operation_name
    _set_cost(event, data.get("cost"), "cumulative")


def _session_start(event: Event, data: JsonObject, state: State) -> None:
    """Set the columns of a start.

    The program starts a session, and then each run in it: the second start has no goal.
    """
    is_run = state.is_started and "goal" not in data
    state.is_started = True
    event.event_kind = "state" if is_run else "session_start"
    event.text = text(data.get("goal"))
    event.model = text(data.get("model"))


def _session_end(event: Event, data: JsonObject, _state: State) -> None:
    """Set the columns of an end: a run ends with a result, a session with status and totals."""
    if "result" in data and "status" not in data:
        event.event_kind, event.text = "state", text(data.get("result"))
        return
    event.event_kind = "session_end"
    event.finish_reason = text(data.get("status"))
    seconds = real(data.get("duration_seconds"))
    event.duration_ms = None if seconds is None else seconds * 1000
    _set_cost(event, at(data, "summary", "total_cost"), "session_total")


def _iteration_start(event: Event, data: JsonObject, _state: State) -> None:
    """Set the columns of an iteration: it has the session's tokens and cost so far."""
    event.event_kind = "state"
    _set_cost(event, data.get("cost"), "cumulative")


def _set_cost(event: Event, cost: object, scope: legacy.Scope) -> None:
    event.cost_usd = real(cost)
    if event.cost_usd is not None:
        event.cost_source, event.usage_scope = "recorded", scope


def _llm_response(event: Event, data: JsonObject, _state: State) -> None:
    """Set the columns of a response.

    A call has `tokens`; without them it is a fragment of the streamed text.
    """
    event.operation_name, event.role = "chat", "assistant"
    if data.get("tokens") is None:
        said = fields(data.get("metadata"))
        event.text = text(said.get("content"))
        event.event_kind = (
            "state"
            if event.text is None
            else "reasoning"
            if said.get("chunk_type") == "thinking"
            else "model_message"
        )
        return
    event.event_kind = "model_call"
    event.api_call_id = call_key(event.conversation_id, event.native_id)
    event.model = text(data.get("model"))
    event.cache_read_input_tokens = count(data.get("cache_read_tokens"))
    event.cache_creation_input_tokens = count(data.get("cache_write_tokens"))
    event.output_tokens = count(data.get("output_tokens"))
    event.input_tokens = _whole_input(
        event, count(data.get("input_tokens")), count(data.get("tokens"))
    )
    _set_cost(event, data.get("cost"), "call")
    event.usage_scope = "call"


def _whole_input(event: Event, given: int | None, tokens: int | None) -> int | None:
    """Return the input with the cache.

    `tokens` is the sum of all, and shows whether the input includes the cache already.
    """
    cached = total(event.cache_read_input_tokens, event.cache_creation_input_tokens) or 0
    if given is None:
        return None
    return (
        given + cached
        if tokens == given + cached + (event.output_tokens or 0) or cached > given
        else given
    )


def _tool(event: Event, data: JsonObject) -> None:
    event.operation_name = "execute_tool"
    event.tool_name = text(data.get("tool")) or text(data.get("tool_name"))
    event.tool_type = tool_type(event.tool_name)
    event.tool_call_id = text(at(data, "metadata", "tool_id"))
    event.tool_arguments = as_json(data.get("args"))


def _tool_start(event: Event, data: JsonObject, _state: State) -> None:
    _tool(event, data)
    event.event_kind = "tool_call"


def _tool_end(event: Event, data: JsonObject, _state: State) -> None:
    _tool(event, data)
    event.event_kind = "tool_result"
    event.tool_result = as_json(data.get("result"))
    event.outcome = "success"
    if event.tool_result is not None and event.tool_result.startswith(_FAILED_RESULTS):
        event.outcome, event.error_type = "failure", "failed_result"
        event.error_message = event.tool_result.partition("\n")[0]
        event.exit_code = exit_code_in(event.error_message)


def _tool_error(event: Event, data: JsonObject, state: State) -> None:
    _tool_end(event, data, state)
    event.outcome, event.error_type = "failure", "tool_error"
    event.error_message = as_json(data.get("error"))


def _permission(event: Event, data: JsonObject, _state: State) -> None:
    _tool(event, data)
    event.event_kind, event.operation_name = "permission", "tool_approval"


def _error(event: Event, data: JsonObject, _state: State) -> None:
    event.event_kind, event.outcome = "error", "failure"
    status = count(at(data, "metadata", "status_code"))
    event.error_type = text(data.get("error_type")) or (
        str(status) if status is not None else event.operation_name
    )
    event.error_message = as_json(data.get("error"))


def _agent_run(event: Event, data: JsonObject, _state: State) -> None:
    """Set the columns of a subagent, or of a task of a swarm."""
    event.event_kind, event.is_subagent = "agent_run", True
    event.agent_id = text(data.get("agent_id"))
    event.text = event.text or text(data.get("task"))
    what = (event.operation_name or "").rpartition("_")[2]
    if what == "complete":
        event.outcome = "success"
    elif what in ("error", "timeout", "failed"):
        event.outcome, event.error_type = "failure", what
        event.error_message = as_json(data.get("error"))


def _compaction(event: Event, _data: JsonObject, _state: State) -> None:
    event.event_kind = "compaction"


_STATES = (
    "iteration_end llm_request llm_retry budget_check budget_warning budget_exhausted "
    "compaction_start context_overflow swarm_start swarm_complete swarm_wave_start "
    "swarm_wave_complete swarm_tool_action swarm_decision swarm_conflict swarm_budget_projection "
    "swarm_failure_attribution plan_created plan_step_start plan_step_complete quality_check "
    "learning_proposed recovery mode_change mcp_connect mcp_disconnect file_change checkpoint "
    "custom"
)
_AGENT_RUNS = (
    "subagent_spawn subagent_complete subagent_error subagent_timeout swarm_task_start "
    "swarm_task_complete swarm_task_failed"
)
KINDS: dict[str, _Fill] = {
    **dict.fromkeys(_STATES.split(), _state),
    **dict.fromkeys(_AGENT_RUNS.split(), _agent_run),
    "session_start": _session_start,
    "session_end": _session_end,
    "iteration_start": _iteration_start,
    "llm_response": _llm_response,
    "llm_error": _error,
    "error": _error,
    "tool_start": _tool_start,
    "tool": _tool_end,
    "tool_end": _tool_end,
    "tool_error": _tool_error,
    "tool_approval": _permission,
    "compaction_end": _compaction,
}
"""By kind; the program writes `tool` for `tool_end`."""

DIALECT: Dialect[State] = Dialect(
    name="attocode",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
)
