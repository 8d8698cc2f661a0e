"""Langfuse exports: rows of observations, traces and scores.

They come from the blob storage export (snake case), or from API and user interface (camel case).
Source: langfuse.com, blob storage export field reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    fields,
    message_text,
    milliseconds_between,
    real,
    text,
    tool_type,
    total,
    utc,
)

_KINDS: dict[str, tuple[EventKind, str]] = {
    "GENERATION": ("model_call", "chat"),
    "EMBEDDING": ("model_call", "embeddings"),
    "TOOL": ("tool_call", "execute_tool"),
    "AGENT": ("agent_run", "invoke_agent"),
    "SPAN": ("span", "span"),
    "CHAIN": ("span", "chain"),
    "RETRIEVER": ("span", "retrieval"),
    "EVALUATOR": ("span", "evaluator"),
    "GUARDRAIL": ("span", "guardrail"),
    "EVENT": ("state", "event"),
}
_UNKNOWN: tuple[EventKind, str | None] = ("unknown", None)
_CAMEL = re.compile(r"(?<=[a-z])([A-Z])")
_decode = msgspec.json.Decoder(dict[str, object]).decode


class State(msgspec.Struct):
    """No state: each row is complete."""


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a row by names that only Langfuse's tables have."""
    row = line.keys()
    is_observation = (
        not row.isdisjoint(("parent_observation_id", "parentObservationId")) and "type" in row
    )
    is_score = (
        not row.isdisjoint(("data_type", "dataType"))
        and not row.isdisjoint(("observation_id", "observationId"))
        and "value" in row
    )
    is_trace = {"bookmarked", "public", "tags", "timestamp"} <= row
    return is_observation or is_score or is_trace


def map_line(data: bytes, _state: State) -> Sequence[Event]:
    """Map a row to one event."""
    row = _decode(data)
    if "trace_id" not in row:
        row = {_CAMEL.sub(r"_\1", key).lower(): value for key, value in row.items()}
    if "data_type" in row and "value" in row:
        return (_score(row),)
    if "type" in row:
        return (_observation(row),)
    return (_trace(row),)


def _observation(row: JsonObject) -> Event:
    written = text(row.get("type")) or ""
    kind, operation = _KINDS.get(written, _UNKNOWN)
    event = _set_envelope(
        Event(event_kind=kind, operation_name=operation, native_id=text(row.get("id"))),
        row,
        "start_time",
    )
    event.parent_id = text(row.get("parent_observation_id"))
    event.duration_ms = milliseconds_between(event.event_time, utc(row.get("end_time")))
    event.outcome = (
        "failure" if row.get("level") == "ERROR" else "success" if row.get("end_time") else None
    )
    event.error_message = text(row.get("status_message")) if event.outcome == "failure" else None
    if kind == "unknown":
        raise UnknownType(written, event)
    if kind == "tool_call":
        event.tool_name, event.tool_call_id = text(row.get("name")), event.native_id
        event.tool_type = tool_type(event.tool_name)
        event.tool_arguments, event.tool_result = (
            as_json(row.get("input") or None),
            as_json(row.get("output") or None),
        )
    else:
        event.text = message_text(row.get("output"))
        event.role = (
            "assistant" if event.text is not None and kind in ("model_call", "agent_run") else None
        )
    event.model = text(row.get("provided_model_name")) or text(row.get("model"))
    _set_usage(event, row)
    if row.get("end_time") is None and event.usage_scope is None:
        event.event_kind = "state"  # still running: a later export has it again
    return event


def _trace(row: JsonObject) -> Event:
    """Map a trace.

    A trace is the sum of its observations, so its usage and cost stay in the line.
    """
    event = _set_envelope(
        Event(event_kind="span", operation_name="trace", native_id=text(row.get("id"))),
        row,
        "timestamp",
    )
    event.trace_id = event.native_id
    event.conversation_id = event.conversation_id or event.trace_id
    event.text = message_text(row.get("output"))
    return event


def _score(row: JsonObject) -> Event:
    """Map a score of a trace or an observation; its name and value are the text."""
    event = _set_envelope(
        Event(event_kind="state", operation_name="score", native_id=text(row.get("id"))),
        row,
        "timestamp",
    )
    event.parent_id = text(row.get("observation_id"))
    value = text(row.get("string_value")) or as_json(row.get("value"))
    event.text = f"{text(row.get('name')) or 'score'}: {value}"
    return event


def _set_envelope(event: Event, row: JsonObject, time: str) -> Event:
    event.trace_id = text(row.get("trace_id"))
    event.conversation_id = text(row.get("session_id")) or event.trace_id
    event.user_id, event.agent_version = text(row.get("user_id")), text(row.get("version"))
    event.event_time = utc(row.get(time))
    event.event_time_source = "line" if event.event_time is not None else None
    return event


def _set_usage(event: Event, row: JsonObject) -> None:
    """Set tokens and cost.

    Langfuse counts in buckets, each with its price: cached tokens are beside `input`, and
    reasoning is beside `output`. If a program did not subtract the cached part from `input`,
    the `total` shows it: then it is input and output alone.
    """
    buckets = {
        key: number
        for key, value in fields(row.get("usage_details")).items()
        if (number := count(value)) is not None
    }
    read = _bucket(buckets, "cache_read", "cached")
    written = _bucket(buckets, "cache_creation", "cache_write")
    thought = _bucket(buckets, "reasoning")
    event.input_tokens, event.output_tokens = buckets.get("input"), buckets.get("output")
    if buckets.get("total") != total(event.input_tokens, event.output_tokens):
        event.input_tokens = total(event.input_tokens, read, written)
        event.output_tokens = total(event.output_tokens, thought)
    (
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
        event.reasoning_output_tokens,
    ) = read, written, thought
    cost = (
        real(row.get("total_cost"))
        if row.get("total_cost") is not None
        else real(row.get("calculated_total_cost"))
    )
    event.cost_usd = cost if cost is not None else real(at(row.get("cost_details"), "total"))
    if event.cost_usd == 0 and not fields(row.get("cost_details")):
        event.cost_usd = None  # Langfuse writes 0 without a price, and for what is not a call
    event.cost_source = "recorded" if event.cost_usd is not None else None
    if any(
        value is not None for value in (event.input_tokens, event.output_tokens, event.cost_usd)
    ):
        event.usage_scope = "call" if event.event_kind == "model_call" else "agent_total"
    if event.usage_scope == "call":
        event.api_call_id = call_key(event.conversation_id, event.native_id)


def _bucket(buckets: Mapping[str, int], *parts: str) -> int | None:
    return total(*(number for key, number in buckets.items() if any(part in key for part in parts)))


DIALECT: Dialect[State] = Dialect(
    name="langfuse",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
    is_revised=True,
)
