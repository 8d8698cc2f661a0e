"""Items: what was done in a turn, as `codex exec --json` and rollouts from 0.150 on write it.

Source: codex-rs/protocol/src/items.rs and codex-rs/exec/src/exec_events.rs.
"""

from __future__ import annotations

import re

from tracesidecar.dialects.codex.line import State
from tracesidecar.dialects.dialect import EventFactory
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    command_line,
    exit_code,
    forget,
    items,
    milliseconds_between,
    plain_text,
    real,
    remember,
    text,
    tool_type,
    utc,
)

_HUMP = re.compile(r"(?<!^)(?=[A-Z])")
_SAID = {
    "user_message": "user",
    "agent_message": "assistant",
    "plan": "assistant",
    "hook_prompt": "system",
}
_TOOLS: dict[str, str] = {
    "command_execution": "exec_command",
    "file_change": "apply_patch",
    "web_search": "web_search",
    "image_view": "view_image",
    "image_generation": "image_generation",
    "collab_agent_tool_call": "collab_agent",
    "collab_tool_call": "collab_agent",
    "dynamic_tool_call": "dynamic_tool",
    "mcp_tool_call": "mcp",
}
"""Type of an item → the tool, if the item does not name it."""
_FAILED = frozenset(
    ("failed", "declined", "error", "errored", "denied", "interrupted", "timed_out")
)


def item_type(item: JsonObject) -> str:
    """Return the type of an item as the words of its name: rollouts write `CommandExecution`."""
    return _HUMP.sub("_", text(item.get("type")) or "").lower()


def is_tool(item: JsonObject) -> bool:
    """Return whether an item is a tool's run."""
    return item_type(item) in _TOOLS


def map_said(item: JsonObject, make: EventFactory) -> Event | None:
    """Return what an item says, as bookkeeping: in rollouts another line says it, too."""
    kind = item_type(item)
    if kind == "reasoning":
        event = make("state")
        event.role = "assistant"
        event.text = text(item.get("text")) or plain_text(
            item.get("summary_text") or item.get("summary") or item.get("raw_content")
        )
        return event
    if kind not in _SAID:
        return None
    event = make("state")
    event.role = _SAID[kind]
    event.text = text(item.get("text")) or plain_text(item.get("content"))
    return event


def map_tool_start(item: JsonObject, state: State, make: EventFactory) -> Event:
    """Return the call of a tool's run."""
    event = make("tool_call")
    event.role = "assistant"
    _set_tool(event, item)
    if event.tool_call_id is not None:
        remember(state.items, event.tool_call_id, event.tool_name or "")
    event.tool_arguments = _arguments(item)
    return event


def map_tool_end(
    item: JsonObject, state: State, make: EventFactory, *, took: float | None = None
) -> Event:
    """Return the result of a tool's run; `took` is how long it was, if the item does not say it."""
    event = make("tool_result")
    event.role = "tool"
    _set_tool(event, item)
    forget(state.items, event.tool_call_id)
    event.tool_result = _result(item)
    event.exit_code = exit_code(item.get("exit_code"))
    event.duration_ms = _duration(item.get("duration")) or real(item.get("duration_ms")) or took
    _set_target(event, item)
    _set_outcome(event, item)
    return event


def _set_tool(event: Event, item: JsonObject) -> None:
    kind = item_type(item)
    event.operation_name = "execute_tool"
    event.tool_call_id = text(item.get("call_id")) or text(item.get("id"))
    name = text(item.get("tool")) or text(item.get("name")) or _TOOLS[kind]
    server = text(item.get("server")) or text(item.get("namespace"))
    event.tool_name = f"mcp__{server}__{name}" if kind == "mcp_tool_call" and server else name
    event.tool_type = tool_type(event.tool_name)


def _set_target(event: Event, item: JsonObject) -> None:
    """Set what the run touched, for results that come without a call."""
    event.command = command_line(item.get("command"))
    files = _files(item)
    event.file_path = files[0] if files else text(item.get("path"))
    event.url = text(at(item, "action", "url"))


def _files(item: JsonObject) -> list[str]:
    changes = item.get("changes")
    if isinstance(changes, dict):
        return [str(path) for path in changes]
    return [path for each in items(changes) if (path := text(at(each, "path")))]


def _arguments(item: JsonObject) -> str | None:
    kind = item_type(item)
    if kind == "command_execution":
        given: JsonObject = {"command": item.get("command"), "cwd": item.get("cwd")}
    elif kind == "file_change":
        files = _files(item)
        given = {"file_path": files[0] if files else None, "changes": item.get("changes")}
    elif kind == "web_search":
        given = {"query": item.get("query"), "url": at(item, "action", "url")}
    else:
        named = (item[key] for key in ("arguments", "prompt", "path") if item.get(key))
        return as_json(next(named, None))
    return as_json({name: value for name, value in given.items() if value is not None})


def _result(item: JsonObject) -> str | None:
    for key in ("aggregated_output", "formatted_output", "stdout", "result", "content_items"):
        if (found := item.get(key)) is not None and found != "":
            return plain_text(at(found, "content")) or plain_text(found) or as_json(found)
    return as_json(item.get("changes"))


def _set_outcome(event: Event, item: JsonObject) -> None:
    status = (text(item.get("status")) or "").lower()
    error = item.get("error")
    said = text(at(error, "message")) or text(error)
    is_error = at(item.get("result"), "isError") is True or item.get("success") is False
    if event.exit_code not in (None, 0):
        event.outcome, event.error_type = "failure", "exit_code"
    elif status in _FAILED or said is not None or is_error:
        declined = status in ("declined", "denied")
        event.outcome = "failure"
        event.error_type = "permission_denied" if declined else "tool_error"
    elif status in ("completed", "success") or event.exit_code == 0:
        event.outcome = "success"
    if event.outcome == "failure":
        event.error_message = said or text(item.get("stderr")) or event.tool_result


def _duration(value: object) -> float | None:
    seconds, nanoseconds = real(at(value, "secs")), real(at(value, "nanos"))
    return None if seconds is None else round(seconds * 1000 + (nanoseconds or 0) / 1e6, 3)


def milliseconds_of_run(started: object, completed: object) -> float | None:
    """Return how long an item took, from its two times in milliseconds since the epoch."""
    return milliseconds_between(utc(started), utc(completed))
