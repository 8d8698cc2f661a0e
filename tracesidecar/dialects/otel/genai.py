"""The columns that attributes of a span or log record determine, in any convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.otel import semantic_conventions as names
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    decode_json_text,
    items,
    message_text,
    object_in_text,
    real,
    text,
    tool_type,
    total,
)

SpanStatus = Literal["ok", "error", "unset"]
Attributes = JsonObject

NAMED = frozenset(name for known in names.COLUMNS.values() for name in known)
"""Names of all attributes that determine a column."""

_OF_ONE_CALL: frozenset[EventKind] = frozenset(("model_call", "model_message", "error"))


def span_event(name: str | None, attributes: Attributes, status: SpanStatus) -> Event:
    """Return an event with the columns that name, attributes and status of a span determine.

    Ids and times are up to the caller, who then calls `identify`. An unset status counts as
    success if the span is a call: instrumentation only sets it for errors (OpenTelemetry, Set
    Status).
    """
    kind, operation = span_kind(name, attributes)
    event = _event_of_attributes(kind, attributes)
    event.operation_name = event.operation_name or operation
    if kind == "tool_call" and event.tool_name is None:
        event.tool_name = (
            text(attributes.get(names.ENTITY_NAME))
            or (name or "").removeprefix("execute_tool ")
            or None
        )
        event.tool_type = tool_type(event.tool_name)
    if kind == "permission" and status != "error":
        event.outcome = _read_outcome(event, attributes)
    elif status != "unset" or kind != "span":
        event.outcome = "failure" if status == "error" else "success"
    if event.outcome != "failure":
        event.error_type = event.error_message = None
    return _set_content(event, attributes)


def span_kind(name: str | None, attributes: Attributes) -> tuple[EventKind, str | None]:
    """Return the kind of event that a span is, and its operation.

    The attributes decide, else the name, else whether there are token counts.
    """
    for key in names.KIND_ATTRIBUTES:
        value = attributes.get(key)
        if isinstance(value, str) and (known := names.SPAN_KINDS.get(value.strip('"').lower())):
            return known
    for beginning, operation in names.SPAN_NAMES:
        if (
            name is not None
            and name.startswith(beginning)
            and (known := names.SPAN_KINDS.get((operation or name).lower()))
        ):
            return known
    counts = any(key in attributes for key in names.COLUMNS["input_tokens"])
    return ("model_call", "chat") if counts else ("span", None)


def log_event(name: str, attributes: Attributes, body: object, *, is_error: bool) -> Event:
    """Return an event with the columns that a log record with that event name determines.

    `name` is empty for a record without one, which stays bookkeeping with its text.
    """
    prefix = next((prefix for prefix in names.AGENT_PREFIXES if name.startswith(prefix)), None)
    known = (
        names.LOG_KINDS.get(name)
        if prefix is None
        else names.AGENT_LOG_KINDS.get(name.removeprefix(prefix))
    )
    event = _event_of_attributes(known or ("error" if is_error else "state"), attributes)
    if event.event_kind == "model_call" and event.usage_scope is None:
        # The request whose usage is in another record, or a fragment of a streamed answer.
        event.event_kind = "state"
    event.operation_name = (
        event.operation_name or names.LOG_OPERATIONS.get(event.event_kind) or name or None
    )
    event.outcome = _read_outcome(event, attributes)
    if event.outcome != "failure":
        event.error_type = event.error_message = None
    if event.event_kind == "user_message":
        event.role, event.text = "user", _first(attributes, names.PROMPTS)
        return event
    _set_content(event, attributes)
    if (
        event.text is None
        and prefix is None
        and (event.event_kind == "model_message" or isinstance(body, str))
    ):
        event.text = message_text(body)  # a coding agent's record only has its name as body
    return event


def identify(event: Event, trace: str | None, call: str | None) -> Event:
    """Set conversation and model call: from the attributes, else from trace and span.

    `call` is the id of the span that is the call.
    """
    event.trace_id = trace
    event.conversation_id = event.conversation_id or trace
    event.api_call_id = event.api_call_id or event.request_id
    is_call = event.event_kind in _OF_ONE_CALL
    event.api_call_id = (
        call_key(
            event.conversation_id,
            event.api_call_id or (call if event.usage_scope == "call" else None),
        )
        if is_call
        else None
    )
    return event


def _event_of_attributes(kind: EventKind, attributes: Attributes) -> Event:
    """Return an event with the value of the preferred name for each column."""
    event = Event(event_kind=kind)
    ranks: dict[str, int] = {}
    for name, value in attributes.items():
        target = _TARGETS.get(name)
        if target is not None and value is not None and value != "":
            column, rank, read = target
            if rank < ranks.get(column, _LAST) and (found := read(value)) is not None:
                ranks[column] = rank
                setattr(event, column, found)
    _set_usage(event, attributes)
    if event.tool_name is not None or event.tool_type is not None:
        known = tool_type(event.tool_name)
        event.tool_type = known if known not in (None, "function") else event.tool_type or known
    if event.cost_usd is not None:
        event.cost_source = "recorded"
    if any(
        value is not None for value in (event.input_tokens, event.output_tokens, event.cost_usd)
    ):
        event.usage_scope = "call" if kind == "model_call" else "agent_total"
    return event


def _set_usage(event: Event, attributes: Attributes) -> None:
    """Read usage that is an object; make input include caches, and output include reasoning."""
    if names.USAGE_OBJECT in attributes and event.input_tokens is None:
        usage = object_in_text(attributes[names.USAGE_OBJECT])
        event.input_tokens, event.output_tokens = (
            count(usage.get("input_tokens")),
            count(usage.get("output_tokens")),
        )
        event.cache_read_input_tokens = count(usage.get("cache_read_input_tokens"))
        event.cache_creation_input_tokens = count(usage.get("cache_creation_input_tokens"))
    if names.COST_OBJECT in attributes and event.cost_usd is None:
        event.cost_usd = real(object_in_text(attributes[names.COST_OBJECT]).get("total_cost"))
    cached, thought = (
        total(event.cache_read_input_tokens, event.cache_creation_input_tokens),
        event.reasoning_output_tokens,
    )
    # If more came from the cache than there was input, the cache is counted beside the input. The
    # same is true of reasoning and output.
    if (
        cached
        and event.input_tokens is not None
        and (cached > event.input_tokens or not names.BESIDE_INPUT.isdisjoint(attributes))
    ):
        event.input_tokens += cached
    if (
        thought
        and event.output_tokens is not None
        and (thought > event.output_tokens or not names.BESIDE_OUTPUT.isdisjoint(attributes))
    ):
        event.output_tokens += thought


def _set_content(event: Event, attributes: Attributes) -> Event:
    """Set what was said, or the arguments and the result of a tool."""
    if event.event_kind in ("tool_call", "tool_result"):
        event.tool_arguments = event.tool_arguments or _first(attributes, names.INPUTS)
        event.tool_result = event.tool_result or _first(attributes, names.OUTPUTS)
        return event
    event.tool_arguments = event.tool_result = None
    if event.event_kind in ("model_call", "model_message", "agent_run"):
        answers = (message_text(attributes[name]) for name in names.ANSWERS if name in attributes)
        event.text = next((answer for answer in answers if answer), None)
        event.role = "assistant" if event.text is not None else None
    return event


def _read_outcome(event: Event, attributes: Attributes) -> Literal["success", "failure"] | None:
    """Return whether a tool worked, or a permission was given; an error is a failure."""
    said = attributes.get("success", attributes.get("decision"))
    if event.event_kind == "error":
        return "failure"
    if isinstance(said, bool):
        return "success" if said else "failure"
    if not isinstance(said, str):
        return None
    return (
        "success"
        if said.lower().startswith(("true", "accept", "approve", "allow", "auto_accept"))
        else "failure"
    )


def _first(attributes: Attributes, known: tuple[str, ...]) -> str | None:
    return next((value for name in known if (value := as_json(attributes.get(name)))), None)


def _word(value: object) -> str | None:
    """Return a name or an id as text.

    MLflow writes each attribute as JSON, which puts text in quotes.
    """
    if isinstance(value, str):
        return value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value
    return None if isinstance(value, bool) else as_json(value)


def _reason(value: object) -> str | None:
    """Return the first of several reasons."""
    reasons = decode_json_text(value)
    return text(reasons) or next(
        (reason for item in items(reasons) if (reason := text(item))), None
    )


def _message(value: object) -> str | None:
    return text(value) or text(at(value, "message")) or as_json(value)


_READERS: dict[str, Callable[[object], object]] = {
    "input_tokens": count,
    "cache_read_input_tokens": count,
    "cache_creation_input_tokens": count,
    "output_tokens": count,
    "reasoning_output_tokens": count,
    "cost_usd": real,
    "duration_ms": real,
    "tool_arguments": as_json,
    "tool_result": as_json,
    "finish_reason": _reason,
    "error_message": _message,
}

_LAST = 1_000
_TARGETS = {
    name: (column, rank, _READERS.get(column, _word))
    for column, known in names.COLUMNS.items()
    for rank, name in enumerate(known)
}
"""By the name of an attribute: its column, its rank among the names, and its converter."""
