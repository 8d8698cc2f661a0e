"""Lines that `claude -p --output-format stream-json` has beside those of a transcript.

Source: the types `SDKMessage` of the Claude Agent SDK.
"""

from __future__ import annotations

from tracesidecar.dialects.claude_code.line import Line, State
from tracesidecar.dialects.claude_code.messages import set_usage
from tracesidecar.dialects.dialect import EventFactory
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import (
    JsonObject,
    at,
    call_key,
    count,
    fields,
    items,
    real,
    text,
    total,
)

_BOOKKEEPING = frozenset(
    (
        "auth_status",
        "control_cancel_request",
        "control_request",
        "control_response",
        "files_persisted",
        "keep_alive",
        "prompt_suggestion",
        "rate_limit_event",
        "tool_progress",
        "tool_use_summary",
    )
)
_OWN = frozenset(("result", "stream_event", "rate_limit_event", "tool_progress"))


def recognise(line: JsonObject) -> bool:
    """Recognise the envelope: a `session_id` beside one of the types that only these lines have."""
    if not isinstance(line.get("session_id"), str):
        return False
    kind = line.get("type")
    if kind == "system":
        return isinstance(line.get("subtype"), str) and "uuid" in line
    if kind in ("assistant", "user"):
        return "parent_tool_use_id" in line and isinstance(line.get("message"), dict)
    return kind in _OWN and "uuid" in line


def map_line(kind: str | None, line: Line, state: State, make: EventFactory) -> list[Event]:
    """Map a line that a transcript does not have; nothing if it is one that both have."""
    if kind == "system" and line.subtype == "init":
        state.model = text(line.model)
        event = make("session_start")
        event.model = state.model
        return [event]
    if kind == "result":
        return _result(line, state, make)
    if kind == "stream_event":
        return [_part(fields(line.event), state, make)]
    return [make("state")] if kind in _BOOKKEEPING else []


def _part(part: JsonObject, state: State, make: EventFactory) -> Event:
    """Map a part of an answer: only its last one has the tokens that were written in the end."""
    event = make("state")
    if part.get("type") == "message_start":
        state.streamed = text(at(part, "message", "id"))
        state.model = text(at(part, "message", "model")) or state.model
    elif part.get("type") == "message_delta" and state.streamed is not None:
        set_usage(event, part.get("usage"), None)
        event.role, event.model = "assistant", state.model
        event.api_call_id = call_key(event.conversation_id, state.streamed)
        event.finish_reason = text(at(part, "delta", "stop_reason"))
    return event


def _result(line: Line, state: State, make: EventFactory) -> list[Event]:
    """Map the end: how it went, and the totals of the session, one row for each model."""
    event = make("session_end")
    event.role, event.text = "assistant", text(line.result)
    event.finish_reason, event.duration_ms = text(line.subtype), real(line.whole_duration)
    failed = line.is_error is True or (event.finish_reason or "").startswith("error")
    event.outcome = "failure" if failed else "success"
    if failed:
        event.error_type = event.finish_reason
        said = [each for each in items(line.errors) if isinstance(each, str)]
        event.error_message = event.text or "\n".join(said) or None
    models = [
        (name, fields(used)) for name, used in fields(line.model_usage).items() if fields(used)
    ]
    if len(models) < 2:
        event.model = models[0][0] if models else state.model
        _set_totals(event, fields(line.usage), total_cost=line.total_cost)
        return [event]
    return [event, *(_of_model(name, used, make) for name, used in models)]


def _of_model(name: str, used: JsonObject, make: EventFactory) -> Event:
    event = make("usage_summary")
    event.model = name
    usage = {
        "input_tokens": used.get("inputTokens"),
        "output_tokens": used.get("outputTokens"),
        "cache_read_input_tokens": used.get("cacheReadInputTokens"),
        "cache_creation_input_tokens": used.get("cacheCreationInputTokens"),
        "server_tool_use": {"web_search_requests": used.get("webSearchRequests")},
    }
    _set_totals(event, usage, total_cost=used.get("costUSD"))
    return event


def _set_totals(event: Event, usage: JsonObject, *, total_cost: object) -> None:
    """Set the totals of a session so far: those that come later replace them."""
    read = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    event.input_tokens = total(count(usage.get("input_tokens")), read, written)
    event.cache_read_input_tokens, event.cache_creation_input_tokens = read, written
    event.output_tokens = count(usage.get("output_tokens"))
    event.web_search_requests = count(at(usage, "server_tool_use", "web_search_requests"))
    event.cost_usd = real(total_cost)
    event.cost_source = "recorded" if event.cost_usd is not None else None
    event.usage_scope = "session_total"
    event.provider_name = "anthropic" if "claude" in (event.model or "") else None
    event.api_call_id = f"{event.conversation_id}:result"
