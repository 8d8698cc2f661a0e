"""Machina: one flat line for each action of a maintenance agent, one file a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    count,
    fields,
    real,
    text,
    tool_type,
    utc,
)

_KEYS = frozenset(("action", "connector", "operation", "output_summary", "duration_ms"))
_CUT = "...[truncated]"
_ERROR_RESULT = "{'error':"
_NAMED_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z][A-Za-z0-9_-]{0,63}){1,3}")
_USERS = ("user_id", "user", "actor", "requested_by")
_CONVERSATION_FILE = re.compile(r"\d{4}-\d{2}-\d{2}_(.{1,200})")
"""The documented name of a file.

The program itself writes `traces-2026-04-20.jsonl` or `traces.jsonl`, with many conversations.
"""


class State(msgspec.Struct):
    """The conversation that the file is named after, for lines of old versions that name none."""

    conversation: str | None = None


class Line(msgspec.Struct):
    """An action; the last members came with version 0.3.

    A member is never null: "" and 0 also mean that there is no value.
    """

    action: object = None
    timestamp: object = None
    connector: object = None
    asset_id: object = None
    operation: object = None
    input_summary: object = None
    output_summary: object = None
    duration_ms: object = None
    success: object = None
    error: object = None
    metadata: object = None
    conversation_id: object = None
    prompt_tokens: object = None
    completion_tokens: object = None
    usd_cost: object = None
    model: object = None
    total_tokens: object = None


_decode = msgspec.json.Decoder(Line).decode
_decode_result = msgspec.json.Decoder(dict[str, object]).decode


def begin(file: FileName) -> State:
    """Take the conversation from the name of the file, if it has the documented form."""
    named = _CONVERSATION_FILE.fullmatch(file.stem)
    return State(file.name_conversation(named[1]) if named else None)


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a line that has all members of an action."""
    return line.keys() >= _KEYS


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map an action to one event, and a tool call to a call and its result."""
    line = _decode(data)
    action = text(line.action) or ""
    if action == "tool_call":
        return _tool_call(line, state)
    event = _base_event(line, state)
    shape = _SHAPES.get(action)
    if shape is None and _NAMED_ACTION.fullmatch(action):
        shape = _action_by_name
    if shape is None:
        raise UnknownType(action, event)
    shape(event, line)
    return (event,)


def _base_event(line: Line, state: State) -> Event:
    """Return an event with the columns that all actions fill in the same way."""
    failed = line.success is False
    return Event(
        event_kind="unknown",
        conversation_id=line.conversation_id
        if isinstance(line.conversation_id, str)
        else state.conversation,
        event_time=utc(line.timestamp),
        duration_ms=real(line.duration_ms),
        operation_name=text(line.action),
        text=text(line.output_summary),
        outcome="failure" if failed else "success" if line.success is True else None,
        error_type=text(line.action) if failed else None,
        error_message=text(line.error),
        agent_name="machina",
        truncated=_is_cut(line.input_summary, line.output_summary) or None,
        connector=text(line.connector),
        asset_id=text(line.asset_id),
        user_id=_user(line.metadata),
    )


def _user(metadata: object) -> str | None:
    known = fields(metadata)
    return next((user for key in _USERS if (user := text(known.get(key)))), None)


def _action_by_name(event: Event, line: Line) -> None:
    """Set the columns of an action of a connector: `cmms.create_work_order` is done by then."""
    event.event_kind = "tool_call"
    event.tool_name = event.operation_name
    event.tool_type = tool_type(event.tool_name)
    event.connector = event.connector or (event.tool_name or "").partition(".")[0]
    event.tool_arguments = text(line.input_summary) or as_json(fields(line.metadata) or None)
    event.tool_result, event.text = event.text, None


def _model_call(event: Event, line: Line) -> None:
    """Set the columns of a model call.

    A round trip to the model is two lines: its usage, and how long it took. Only the first is a
    call, or the only one if it failed.
    """
    event.operation_name = "chat"
    model = text(line.model)
    given, written = count(line.prompt_tokens), count(line.completion_tokens)
    if not given and not written:
        # a figure without its parts; most of a call is what it reads
        given = count(line.total_tokens) or given
    if model is None and not given and not written:
        event.event_kind = "span" if event.outcome == "success" else "model_call"
        return
    event.event_kind = "model_call"
    event.model = model
    event.provider_name = model.partition("/")[0] if model and "/" in model else None
    event.input_tokens, event.output_tokens, event.usage_scope = given, written, "call"
    event.duration_ms = event.duration_ms or None
    # Machina also writes 0.0 for a model without a price.
    event.cost_usd = real(line.usd_cost) or None
    event.cost_source = "recorded" if event.cost_usd is not None else None


def _connector(event: Event, line: Line) -> None:
    """Set the columns of the agent's own query to a connector, before it calls the model."""
    event.event_kind = "span"
    event.tool_name = text(line.operation) or text(line.connector)
    event.tool_type = "datastore"
    query = {
        "connector": text(line.connector),
        "asset_id": text(line.asset_id),
        "input": text(line.input_summary),
    }
    event.tool_arguments = (
        as_json({name: value for name, value in query.items() if value})
        if any(query.values())
        else None
    )


def _workflow_step(event: Event, line: Line) -> None:
    event.event_kind = "span"
    event.tool_name = text(line.operation)


def _state(event: Event, _entry: Line) -> None:
    event.event_kind = "state"


_SHAPES: dict[str, Callable[[Event, Line], None]] = {
    "llm_call": _model_call,
    "connector_query": _connector,
    "workflow_step": _workflow_step,
    "connector_connect": _state,
    "load_assets": _state,
}


def _tool_call(line: Line, state: State) -> Sequence[Event]:
    """Map a line to the call and its result.

    Machina reports a failed tool as a success; the result shows the failure.
    """
    result = _base_event(line, state)
    full = text(fields(line.metadata).get("result_json"))
    result.event_kind, result.operation_name = "tool_result", "execute_tool"
    result.tool_name = text(line.operation)
    result.tool_type = tool_type(result.tool_name)
    result.tool_result, result.text = full or result.text, None
    result.truncated = _is_cut(line.output_summary, full) or None
    if result.outcome == "success" and (text(line.output_summary) or "").startswith(_ERROR_RESULT):
        result.outcome, result.error_type = "failure", "tool_error"
        result.error_message = _error_in_result(full) or text(line.output_summary)
    call = Event(
        event_kind="tool_call",
        conversation_id=result.conversation_id,
        event_time=result.event_time,
        operation_name="execute_tool",
        tool_name=result.tool_name,
        tool_type=result.tool_type,
        tool_arguments=text(line.input_summary),
        agent_name="machina",
        truncated=_is_cut(line.input_summary) or None,
        connector=result.connector,
        asset_id=result.asset_id,
        user_id=result.user_id,
    )
    return (call, result)


def _error_in_result(full: str | None) -> str | None:
    """Return the `error` of a complete result."""
    if full is None or full.endswith(_CUT):
        return None
    try:
        return text(_decode_result(full).get("error"))
    except (
        msgspec.DecodeError,
        RecursionError,
    ):  # redaction may have damaged the JSON; the summary has the error too
        return None


def _is_cut(*values: object) -> bool:
    return any(isinstance(value, str) and value.endswith(_CUT) for value in values)


DIALECT: Dialect[State] = Dialect(
    name="machina", recognise=recognise, state=State, begin=begin, map_line=map_line
)
