"""Tokens of a Codex rollout: totals that are written again and again, and the calls behind them."""

from __future__ import annotations

from tracesidecar.dialects.codex.line import RolloutPayload, State
from tracesidecar.dialects.dialect import EventFactory
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import call_key, count, fields, text

Tokens = list[int | None]

_NAMES = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
)
_TOTAL = _NAMES.index("total_tokens")


def map_token_count(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map totals: a call if they changed, else a repeat (the rate limits were renewed)."""
    info = fields(payload.info)
    totals, last = _tokens(info.get("total_token_usage")), _tokens(info.get("last_token_usage"))
    before = state.totals
    if totals is not None:
        state.totals = totals
    event = make("state")
    if totals is None and last is None:
        return event
    state.model = text(info.get("model")) or state.model
    event.model, event.provider_name = state.model, state.provider
    if last is None and totals is not None and before is None and state.parent is not None:
        _set_tokens(event, totals)
        event.event_kind, event.usage_scope = "usage_summary", "cumulative"
        return event
    spent = last if last is not None else _difference(totals or [], before)
    _set_tokens(event, spent)
    progress = totals[_TOTAL] if totals is not None else event.event_time
    event.api_call_id = f"{state.conversation}:{state.turn or ''}:{progress}"
    if (totals is not None and totals == before) or not any(spent[:_TOTAL]):
        event.usage_scope = "repeat"
    else:
        event.event_kind, event.operation_name, event.role, event.usage_scope = (
            "model_call",
            "chat",
            "assistant",
            "call",
        )
    return event


def map_usage_record(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map what a response used; the totals include it."""
    event = make("state")
    tokens = _tokens(payload.usage)
    if tokens is not None:
        _set_tokens(event, tokens)
        event.usage_scope, event.model, event.provider_name = "repeat", state.model, state.provider
        event.api_call_id = call_key(state.conversation, text(payload.response_id))
    return event


def _tokens(usage: object) -> Tokens | None:
    members = fields(usage)
    found = [count(members.get(name)) for name in _NAMES]
    if found[_TOTAL] is None and (found[0] is not None or found[3] is not None):
        found[_TOTAL] = (found[0] or 0) + (found[3] or 0)
    return found if any(each is not None for each in found) else None


def _difference(totals: Tokens, before: Tokens | None) -> Tokens:
    """Return what was used in between; totals that went down started again from zero."""
    if before is None or (totals[_TOTAL] or 0) < (before[_TOTAL] or 0):
        return totals
    return [
        None if now is None else max(0, now - (then or 0))
        for now, then in zip(totals, before, strict=True)
    ]


def _set_tokens(event: Event, tokens: Tokens) -> None:
    """Set the tokens: input includes the cache and output includes reasoning, like the columns."""
    (
        event.input_tokens,
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
        event.output_tokens,
        event.reasoning_output_tokens,
        _,
    ) = tokens
