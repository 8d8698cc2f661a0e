"""attoswarm: the events of a swarm, the traces of its agents, and the commands given to it.

Each is a file in the directory of the run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import JsonObject, as_json, fields, real, text, tool_type, utc

_FILES = re.compile(r"(?:swarm\.events|control|agent-.{1,200}\.trace)\.jsonl")
_EVENTS: dict[str, EventKind] = {
    **dict.fromkeys(
        ("info", "decision", "claim", "write", "conflict", "skip", "retry", "budget", "git_commit"),
        "state",
    ),
    **dict.fromkeys(("spawn", "complete", "fail"), "agent_run"),
}
_ENTRIES: dict[str, EventKind] = {
    "cost_delta": "usage_summary",
    "error": "error",
    "tool_call": "tool_call",
    "tool_result": "tool_result",
    "llm_request": "state",
    "llm_response": "state",
    "file_write": "state",
}


class State(msgspec.Struct):
    """The run, named by its directory: all its files are one conversation, and no line names it."""

    run: str | None = None


class Line(msgspec.Struct):
    """A line of any of the three files; the last two members came later.

    An empty text means that there is no value.
    """

    timestamp: object = None
    event_type: object = None
    entry_type: object = None
    action: object = None
    agent_id: object = None
    data: object = None
    message: object = None
    trace_id: object = None
    span_id: object = None


_decode = msgspec.json.Decoder(Line).decode


def begin(file: FileName) -> State:
    """Take the directory of the run from the path."""
    folders = with_slashes(file.path).split("/")[:-1]
    levels = 2 if folders and folders[-1] == "agents" else 1
    run = folders[-levels] if len(folders) >= levels else ""
    return State(file.name_conversation(run, levels=levels) if run else None)


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the members of events and agent traces, and commands by the name of the file."""
    if not line.keys() >= {"timestamp", "task_id"}:
        return False
    if line.keys() >= {"agent_id", "data"} and ("event_type" in line or "entry_type" in line):
        return True
    return "action" in line and _FILES.fullmatch(posixpath.basename(with_slashes(path))) is not None


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to one event."""
    line = _decode(data)
    details = fields(line.data)
    event_type, entry_type = text(line.event_type), text(line.entry_type)
    event = Event(
        event_kind="unknown",
        native_id=text(line.span_id),
        trace_id=text(line.trace_id),
        conversation_id=state.run,
        agent_id=text(line.agent_id),
        is_subagent=True if text(line.agent_id) else None,
        event_time=utc(line.timestamp),
        operation_name=event_type or entry_type or text(line.action),
        text=text(line.message),
        agent_name="attoswarm",
    )
    _set_measures(event, details)
    if event_type is not None:
        return (_map_swarm_event(event, event_type),)
    if entry_type is not None:
        return (_map_agent_entry(event, entry_type, details),)
    event.event_kind, event.role = "state", "user"
    return (event,)


def _set_measures(event: Event, data: JsonObject) -> None:
    """Set what a task took.

    If both tokens and cost are 0, the agent's program reported neither. The sum of tokens has
    no column; it stays in `raw`.
    """
    seconds = real(data.get("duration_s"))
    event.duration_ms = None if seconds is None else seconds * 1000
    event.error_message = text(data.get("error"))
    cost = real(data.get("cost_usd"))
    if cost or real(data.get("tokens_used")):
        event.cost_usd, event.usage_scope = cost, "agent_total"
        event.cost_source = "recorded" if cost is not None else None


def _map_swarm_event(event: Event, event_type: str) -> Event:
    kind = _EVENTS.get(event_type)
    if kind is None:
        raise UnknownType(event_type, event)
    event.event_kind = kind
    if event_type == "complete":
        event.outcome = "success"
    elif event_type == "fail":
        event.outcome, event.error_type = "failure", "task_failed"
        event.error_message = event.error_message or event.text
    return event


def _map_agent_entry(event: Event, entry_type: str, data: JsonObject) -> Event:
    kind = _ENTRIES.get(entry_type)
    if kind is None:
        raise UnknownType(entry_type, event)
    event.event_kind = kind
    if kind == "error":
        event.outcome, event.error_type = "failure", "task_failed"
    elif kind == "usage_summary":
        event.outcome = "failure" if event.error_message else "success"
    elif kind in ("tool_call", "tool_result"):
        event.operation_name = "execute_tool"
        event.tool_name = (
            text(data.get("tool")) or text(data.get("tool_name")) or text(data.get("name"))
        )
        event.tool_type = tool_type(event.tool_name)
        event.tool_arguments = as_json(data.get("args"))
        event.tool_result = as_json(data.get("result"))
    return event


DIALECT: Dialect[State] = Dialect(
    name="attoswarm",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
