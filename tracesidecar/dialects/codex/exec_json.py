"""Lines of `codex exec --json`: a thread, its turns with their usage, and the items of these."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.codex.items import (
    is_tool,
    item_type,
    map_said,
    map_tool_end,
    map_tool_start,
)
from tracesidecar.dialects.codex.line import State
from tracesidecar.dialects.dialect import EventFactory, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import JsonObject, at, count, fields, recall, text, utc

_TYPES = frozenset(
    (
        "thread.started",
        "turn.started",
        "turn.completed",
        "turn.failed",
        "item.started",
        "item.updated",
        "item.completed",
    )
)
_SAID: dict[str, EventKind] = {
    "user_message": "user_message",
    "reasoning": "reasoning",
    "agent_message": "model_message",
}
_USAGE = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)


class ExecLine(msgspec.Struct):
    """A line; no member is in all of them."""

    type: object = None
    thread_id: object = None
    usage: object = None
    item: object = None
    error: object = None
    message: object = None
    model: object = None
    timestamp: object = None


_decode = msgspec.json.Decoder(ExecLine).decode


def recognise(line: JsonObject) -> bool:
    """Recognise the types of lines, which only this program has."""
    kind = line.get("type")
    if kind in ("thread.started", "turn.started"):
        return "payload" not in line
    return kind in _TYPES and ("item" in line or "usage" in line or "error" in line)


def is_one(kind: str | None) -> bool:
    """Return whether a line of this type is one of these, by its name."""
    return kind in _TYPES


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line to events."""
    line = _decode(data)
    kind = text(line.type)
    state.model = text(line.model) or state.model
    make = _envelope(line, state)
    if kind == "thread.started":
        state.conversation = text(line.thread_id) or state.conversation
        state.session, state.totals, state.items = state.conversation, None, {}
        return [make("session_start")]
    if kind == "turn.completed":
        return [_turn(fields(line.usage), state, make)]
    if kind == "turn.failed":
        event = make("error")
        event.outcome, event.error_type = "failure", "turn_failed"
        event.error_message = text(at(line.error, "message"))
        return [event]
    if kind is not None and kind.startswith("item."):
        return _item(kind, fields(line.item), state, make)
    return [make("state")]


def _envelope(line: ExecLine, state: State) -> EventFactory:
    time = utc(line.timestamp)

    def make(kind: EventKind) -> Event:
        return Event(
            event_kind=kind,
            conversation_id=state.conversation,
            event_time=time,
            event_time_source="line" if time else None,
            agent_name="codex",
        )

    return make


def _turn(usage: JsonObject, state: State, make: EventFactory) -> Event:
    """Map the end of a turn to its usage: what the thread has used until then, less what before."""
    whole = [count(usage.get(name)) for name in _USAGE]
    before = state.totals
    goes_on = before is not None and all(
        (now or 0) >= (then or 0) for now, then in zip(whole, before, strict=True)
    )
    spent = (
        [
            None if now is None else now - (then or 0)
            for now, then in zip(whole, before, strict=True)
        ]
        if before is not None and goes_on
        else whole
    )
    event = make("state")
    event.outcome = "success"
    if not any(whole):
        return event
    state.totals = whole
    (
        event.input_tokens,
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
        event.output_tokens,
        event.reasoning_output_tokens,
    ) = spent
    event.event_kind, event.operation_name, event.role = "model_call", "chat", "assistant"
    event.model = state.model
    event.usage_scope = "call" if any(spent) else "repeat"
    event.api_call_id = f"{state.conversation}:turn:{(whole[0] or 0) + (whole[3] or 0)}"
    return event


def _item(kind: str, item: JsonObject, state: State, make: EventFactory) -> list[Event]:
    """Map an item: a tool's run begins and ends, or only ends; all else is said when it ends."""
    if is_tool(item):
        known = recall(state.items, text(item.get("id")))
        if kind == "item.completed":
            begin = [] if known is not None else [map_tool_start(item, state, make)]
            return [*begin, map_tool_end(item, state, make)]
        return [map_tool_start(item, state, make)] if known is None else [make("state")]
    said = map_said(item, make)
    if said is not None:
        if kind == "item.completed":
            said.event_kind = _SAID.get(item_type(item), "state")
        return [said]
    if item_type(item) == "error":
        event = make("error")
        event.outcome, event.error_type = "failure", "error"
        event.error_message = text(item.get("message"))
        return [event]
    if item_type(item) == "todo_list":
        return [make("state")]
    raise UnknownType(f"item.{item_type(item) or 'none'}", make("unknown"))
