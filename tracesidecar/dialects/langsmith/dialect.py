"""LangSmith: exported runs, one a line, and recorded sessions of Anthropic's managed agents.

Those are pairs of a method and its result. Source: docs.langchain.com, run data format; usage
metadata of LangChain messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind
from tracesidecar.dialects.langsmith import managed_agents
from tracesidecar.dialects.langsmith.managed_agents import State
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    at,
    call_key,
    count,
    fields,
    message_text,
    milliseconds_between,
    object_in_text,
    real,
    text,
    tool_type,
    utc,
)


class Run(msgspec.Struct):
    """A run. `session_id` is the project; the conversation is in the metadata."""

    id: object = None
    name: object = None
    run_type: object = None
    start_time: object = None
    end_time: object = None
    inputs: object = None
    outputs: object = None
    error: object = None
    status: object = None
    parent_run_id: object = None
    trace_id: object = None
    extra: object = None
    prompt_tokens: object = None
    completion_tokens: object = None
    prompt_token_details: object = None
    completion_token_details: object = None
    total_cost: object = None


_KINDS: dict[str, tuple[EventKind, str]] = {
    "llm": ("model_call", "chat"),
    "embedding": ("model_call", "embeddings"),
    "tool": ("tool_call", "execute_tool"),
    "chain": ("span", "chain"),
    "retriever": ("span", "retrieval"),
    "prompt": ("span", "prompt"),
    "parser": ("span", "parser"),
}
_UNKNOWN: tuple[EventKind, str | None] = ("unknown", None)
_CONVERSATION = ("thread_id", "session_id", "conversation_id")
_decode = msgspec.json.Decoder(Run).decode


def recognise(_path: str, line: JsonObject) -> bool:
    """Recognise a run by its type and its position in a trace."""
    return isinstance(line.get("run_type"), str) and not line.keys().isdisjoint(
        ("dotted_order", "trace_id", "parent_run_id")
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a run to one event; a line of a session may become several."""
    if data.startswith(b"["):
        return managed_agents.map_line(data, state)
    run = _decode(data)
    written = text(run.run_type) or ""
    kind, operation = _KINDS.get(written, _UNKNOWN)
    event = Event(
        event_kind=kind,
        operation_name=operation,
        native_id=text(run.id),
        parent_id=text(run.parent_run_id),
    )
    _set_envelope(event, run)
    if kind == "unknown":
        raise UnknownType(written, event)
    if kind == "tool_call":
        event.tool_name, event.tool_type = text(run.name), tool_type(text(run.name))
        event.tool_call_id = (
            text(at(object_in_text(run.outputs), "output", "tool_call_id")) or event.native_id
        )
        event.tool_arguments, event.tool_result = as_json(run.inputs), as_json(run.outputs)
    else:
        event.text = message_text(run.outputs)
        event.role = "assistant" if event.text is not None and kind == "model_call" else None
    _set_usage(event, run)
    if run.end_time is None and event.usage_scope is None:
        event.event_kind = "state"  # still running: a later export has it again
    return (event,)


def _set_envelope(event: Event, run: Run) -> None:
    extra = object_in_text(run.extra)
    metadata = fields(extra.get("metadata"))
    event.trace_id = text(run.trace_id) or (event.native_id if event.parent_id is None else None)
    event.conversation_id = next(
        (found for key in _CONVERSATION if (found := text(metadata.get(key)))), event.trace_id
    )
    event.event_time = utc(run.start_time)
    event.event_time_source = "line" if event.event_time is not None else None
    event.duration_ms = milliseconds_between(event.event_time, utc(run.end_time))
    if run.error is not None or run.status == "error":
        event.outcome, event.error_message = "failure", as_json(run.error)
    elif run.end_time is not None:
        event.outcome = "success"
    parameters = fields(extra.get("invocation_params"))
    event.model = (
        text(metadata.get("ls_model_name"))
        or text(parameters.get("model"))
        or text(parameters.get("model_name"))
    )
    event.provider_name = text(metadata.get("ls_provider"))
    event.user_id = text(metadata.get("user_id"))


def _set_usage(event: Event, run: Run) -> None:
    """Set tokens and cost: columns of the export, else the usage metadata.

    Both count caches within the input. A chain has the sum of its calls.
    """
    usage = fields(object_in_text(run.outputs).get("usage_metadata")) or fields(
        at(object_in_text(run.extra), "metadata", "usage_metadata")
    )
    event.input_tokens = count(
        run.prompt_tokens if run.prompt_tokens is not None else usage.get("input_tokens")
    )
    event.output_tokens = count(
        run.completion_tokens if run.completion_tokens is not None else usage.get("output_tokens")
    )
    read = fields(run.prompt_token_details) or fields(usage.get("input_token_details"))
    written = fields(run.completion_token_details) or fields(usage.get("output_token_details"))
    event.cache_read_input_tokens, event.cache_creation_input_tokens = (
        count(read.get("cache_read")),
        count(read.get("cache_creation")),
    )
    event.reasoning_output_tokens = count(written.get("reasoning"))
    event.cost_usd = real(run.total_cost if run.total_cost is not None else usage.get("total_cost"))
    event.cost_source = "recorded" if event.cost_usd is not None else None
    if (
        event.input_tokens is not None
        or event.output_tokens is not None
        or event.cost_usd is not None
    ):
        event.usage_scope = "call" if event.event_kind == "model_call" else "agent_total"
    if event.usage_scope == "call":
        event.api_call_id = call_key(event.conversation_id, event.native_id)


DIALECT: Dialect[State] = Dialect(
    name="langsmith",
    recognise=recognise,
    state=State,
    begin=lambda _path: State(),
    map_line=map_line,
    is_revised=True,
    bulky=(("serialized",), ("manifest",)),
)
