"""Transcripts of the Cursor CLI: messages and tool calls, without times, line ids or usage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName, with_slashes
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    fields,
    items,
    plain_text,
    recall,
    remember,
    text,
    tool_type,
)

_KINDS: dict[str, EventKind] = {
    "user": "user_message",
    "assistant": "model_message",
    "system": "state",
}
_QUERY = ("<user_query>", "</user_query>")


class Line(msgspec.Struct):
    """A message, or the end of a turn."""

    role: object = None
    message: object = None
    type: object = None
    status: object = None
    error: object = None


class State(msgspec.Struct):
    """Session and parent from the path, and the tools whose results are still to come."""

    conversation: str | None = None
    parent: str | None = None
    tools: dict[str, str] = {}


_decode = msgspec.json.Decoder(Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise files in the folder where Cursor keeps transcripts."""
    return "/agent-transcripts/" in with_slashes(path) and (
        "role" in line or line.get("type") == "turn_ended"
    )


def begin(file: FileName) -> State:
    """Take the conversation from the path.

    `agent-transcripts/<conversation>[/<conversation>].jsonl`, and
    `<conversation>/subagents/<agent>.jsonl`.
    """
    folders = with_slashes(file.path).split("/")
    is_subagent = len(folders) >= 3 and folders[-2] == "subagents"
    has_folder = len(folders) >= 2 and folders[-2] == file.stem
    return State(
        conversation=file.name_conversation(file.stem, levels=1 if has_folder else 0),
        parent=file.name_conversation(folders[-3], levels=2) if is_subagent else None,
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map each block of a message to one event, and a message without blocks to one too."""
    line = _decode(data)
    role = text(line.role)
    if line.type == "turn_ended":
        found = [_turn_ended(line)]
    elif role in _KINDS:
        found = list(_message(role, at(line.message, "content"), state)) or [
            Event(event_kind=_KINDS[role], role=role)
        ]
    else:
        raise UnknownType(
            text(line.type) or role or "",
            _set_envelope(Event(event_kind="unknown", role=role), state),
        )
    return [_set_envelope(event, state) for event in found]


def _message(role: str, content: object, state: State) -> Iterator[Event]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for block in map(fields, items(content)):
        kind = block.get("type")
        if kind == "text":
            yield Event(
                event_kind=_KINDS[role], role=role, text=_strip_query_tag(text(block.get("text")))
            )
        elif kind == "thinking":
            yield Event(event_kind="reasoning", role=role, text=text(block.get("thinking")))
        elif kind == "tool_use":
            yield _tool_call(block, state)
        elif kind == "tool_result":
            yield _tool_result(block, state)


def _tool_call(block: JsonObject, state: State) -> Event:
    call, name = text(block.get("id")), text(block.get("name"))
    if call is not None and name is not None:
        remember(state.tools, call, name)
    event = Event(
        event_kind="tool_call",
        operation_name="execute_tool",
        role="assistant",
        tool_call_id=call,
        tool_name=name,
    )
    event.tool_type, event.tool_arguments = tool_type(name), as_json(block.get("input"))
    return event


def _tool_result(block: JsonObject, state: State) -> Event:
    call = text(block.get("tool_use_id"))
    event = Event(
        event_kind="tool_result",
        role="tool",
        tool_call_id=call,
        tool_name=recall(state.tools, call),
    )
    event.tool_type = tool_type(event.tool_name)
    event.tool_result = plain_text(block.get("content")) or as_json(block.get("content"))
    event.outcome = "failure" if block.get("is_error") is True else "success"
    return event


def _turn_ended(line: Line) -> Event:
    status = text(line.status)
    event = Event(event_kind="state", operation_name="turn_ended", finish_reason=status)
    event.outcome = "success" if status == "success" else "failure" if status is not None else None
    event.error_message = as_json(line.error)
    return event


def _strip_query_tag(said: str | None) -> str | None:
    """Return what the user typed, without the tag that Cursor puts around it."""
    opening, closing = _QUERY
    if said is not None and said.startswith(opening) and said.endswith(closing):
        return said[len(opening) : -len(closing)].strip() or None
    return said


def _set_envelope(event: Event, state: State) -> Event:
    event.conversation_id, event.parent_conversation_id = state.conversation, state.parent
    event.is_subagent = True if state.parent is not None else None
    event.agent_name = "cursor-cli"
    return event


DIALECT: Dialect[State] = Dialect(
    name="cursor_cli",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
