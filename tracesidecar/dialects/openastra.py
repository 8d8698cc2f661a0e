"""Rows of Open Astra's table `agent_traces`, as its API returns them: one for each turn.

Source: openastra.net/docs/agents/traces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    call_key,
    count,
    fields,
    items,
    milliseconds_between,
    real,
    text,
    tool_type,
    utc,
)

_KEYS = frozenset(("session_id", "agent_id", "final_status", "started_at"))
_FAILED = frozenset(("timeout", "error", "failed", "cancelled"))


class State(msgspec.Struct):
    """The conversation by the file, for a row that names none."""

    conversation: str


_decode = msgspec.json.Decoder(dict[str, object]).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise the columns of a row; the API has one below `trace`, or many below `traces`."""
    return any(row.keys() >= _KEYS for row in _rows(line))


def begin(file: FileName) -> State:
    """Take the conversation from the name of the file."""
    return State(file.conversation)


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map each turn to its run, its tools, and what happened to its providers."""
    return [event for row in _rows(_decode(data)) for event in _turn(row, state)]


def _rows(line: JsonObject) -> Iterator[JsonObject]:
    if isinstance(line.get("trace"), dict):
        yield fields(line["trace"])
    elif isinstance(line.get("traces"), list):
        yield from map(fields, items(line["traces"]))
    else:
        yield line


def _turn(row: JsonObject, state: State) -> Iterator[Event]:
    turn = _event("agent_run", row, state)
    begun, ended = utc(row.get("started_at")), utc(row.get("finished_at"))
    turn.event_time, turn.operation_name = begun or ended, "invoke_agent"
    took = real(row.get("duration_ms"))
    turn.duration_ms = took if took is not None else milliseconds_between(begun, ended)
    turn.input_tokens = count(row.get("prompt_tokens"))
    turn.output_tokens = count(row.get("completion_tokens"))
    turn.model = text(row.get("model"))
    if turn.input_tokens is not None or turn.output_tokens is not None:
        # nothing else has the tokens of a turn, so they may be summed
        turn.usage_scope = "call"
        turn.api_call_id = call_key(turn.conversation_id, turn.native_id)
    turn.finish_reason = text(row.get("final_status"))
    if turn.finish_reason == "completed":
        turn.outcome = "success"
    elif turn.finish_reason in _FAILED:
        turn.outcome, turn.error_type = "failure", turn.finish_reason
        turn.error_message = text(row.get("error_message"))
    yield turn
    for call in map(fields, items(row.get("tool_calls"))):
        yield _tool(call, row, state)
    for change in items(row.get("circuit_breaker_events")):
        event = _event("state", row, state)
        event.operation_name, event.text = "circuit_breaker", as_json(change)
        event.event_time = _time_of(fields(change)) or begun
        event.provider_name = text(fields(change).get("provider"))
        yield event


def _tool(call: JsonObject, row: JsonObject, state: State) -> Event:
    """Map a tool's run, which has no arguments and no result."""
    event = _event("tool_result", row, state)
    event.operation_name, event.role = "execute_tool", "tool"
    event.tool_name = text(call.get("toolName")) or text(call.get("tool_name"))
    event.tool_type = tool_type(event.tool_name)
    took = call.get("durationMs", call.get("duration_ms"))
    event.duration_ms = real(took)
    event.event_time = _time_of(call) or utc(row.get("started_at"))
    failed = call.get("error")
    event.outcome = "success" if failed in (None, False, "") else "failure"
    if event.outcome == "failure":
        event.error_type, event.error_message = "tool_error", as_json(failed)
    return event


def _time_of(members: JsonObject) -> str | None:
    times = (utc(members.get(key)) for key in ("timestamp", "at", "time"))
    return next((time for time in times if time), None)


def _event(kind: EventKind, row: JsonObject, state: State) -> Event:
    return Event(
        event_kind=kind,
        native_id=text(row.get("id")),
        conversation_id=text(row.get("session_id")) or state.conversation,
        agent_id=text(row.get("agent_id")),
        user_id=text(row.get("uid")) or text(row.get("user_id")),
        project=text(row.get("workspace_id")),
        event_time_source="line",
        agent_name="openastra",
    )


DIALECT: Dialect[State] = Dialect(
    name="openastra",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
    is_revised=True,
)
