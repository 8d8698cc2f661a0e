"""Tokens of a Codex rollout: totals that are written again and again, and the calls behind them."""

from __future__ import annotations

from tracesidecar.dialects.codex.line import RolloutPayload, State
from tracesidecar.dialects.dialect import EventFactory
from tracesidecar.dialects.event import Event, UsageScope
from tracesidecar.dialects.parsing import call_key, count, fields, text
from tracesidecar.dialects.truncate import shorten_id

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
_REMEMBERED = 16


def map_token_count(payload: RolloutPayload, state: State, make: EventFactory) -> list[Event]:
    """Map totals: a call if they changed, else a repeat (the rate limits were renewed).

    What the totals moved by beyond the last usage are calls that no line tells. A last usage that
    totals or window contradict is not believed.
    """
    info = fields(payload.info)
    totals, last = _tokens(info.get("total_token_usage")), _tokens(info.get("last_token_usage"))
    before = state.totals
    if totals is not None:
        state.totals = totals
    if totals is None and last is None:
        return [make("state")]
    state.model = text(info.get("model")) or state.model
    window = count(info.get("model_context_window"))
    has_moved = totals is None or totals != before
    doubted = []
    if last is not None and has_moved and _is_contradicted(last, totals, before, window):
        doubted, last = [_usage_row(last, "implausible", state, make)], None
    if last is None and (totals is None or (before is None and state.parent is not None)):
        return [*doubted, _usage_row(totals or [None] * len(_NAMES), "cumulative", state, make)]
    spent = last if last is not None else _difference(totals or [], before)
    progress = totals[_TOTAL] if totals is not None else None
    if not has_moved or not any(spent[:_TOTAL]):
        event = _usage_row(spent, "repeat", state, make)
        event.api_call_id = _key(state, progress, event)
        return [event, *doubted]
    event = _call(spent, progress, state, make)
    if last is not None and totals is not None and before is not None and not state.has_records:
        beyond = _beyond(totals, before, last)
        if beyond is not None:
            jump = _call(beyond, None, state, make)
            jump.api_call_id = f"{event.api_call_id}:before"
            return [jump, event, *doubted]
    return [event, *doubted]


def map_usage_record(payload: RolloutPayload, state: State, make: EventFactory) -> Event:
    """Map what a response used: a call, unless the totals have told it."""
    tokens = _tokens(payload.usage)
    if tokens is None:
        return make("state")
    state.has_records = True
    event = _usage_row(tokens, "repeat", state, make)
    key = event.api_call_id = call_key(state.conversation, text(payload.response_id))
    figures = _figures(tokens)
    if state.counted.pop(figures, None) is None and any(tokens[:_TOTAL]):
        _make_call(event)
        _remember(state.records, figures, key or "")
    return event


def _call(spent: Tokens, progress: int | None, state: State, make: EventFactory) -> Event:
    """Return a call by the totals; one that has a record is that record's call."""
    event = _usage_row(spent, "call", state, make)
    event.api_call_id = _key(state, progress, event)
    figures = _figures(spent)
    recorded = state.records.pop(figures, None)
    if recorded is not None:
        event.usage_scope, event.api_call_id = "repeat", recorded or event.api_call_id
        return event
    _make_call(event)
    _remember(state.counted, figures, "")
    return event


def _key(state: State, progress: int | None, event: Event) -> str:
    place = event.event_time if progress is None else progress
    return f"{state.conversation}:{state.turn or ''}:{place}"


def _make_call(event: Event) -> None:
    event.event_kind, event.operation_name, event.role, event.usage_scope = (
        "model_call",
        "chat",
        "assistant",
        "call",
    )


def _usage_row(tokens: Tokens, scope: UsageScope, state: State, make: EventFactory) -> Event:
    event = make("usage_summary" if scope == "cumulative" else "state")
    _set_tokens(event, tokens)
    event.usage_scope, event.model, event.provider_name = scope, state.model, state.provider
    event.service_tier = state.tier
    return event


def _is_contradicted(
    last: Tokens, totals: Tokens | None, before: Tokens | None, window: int | None
) -> bool:
    """Return whether a last usage cannot be.

    It is more than the totals, or than they moved by, or than fits the window, of which Codex
    writes 95 percent. Totals that went down started again.
    """
    given, spent = last[0] or 0, last[_TOTAL] or 0
    if window and given * 0.95 > window:
        return True
    if (last[1] or 0) > given:
        return True
    if totals is None:
        return False
    whole = totals[_TOTAL] or 0
    if spent > whole:
        return True
    earlier = before[_TOTAL] or 0 if before is not None else None
    return earlier is not None and whole >= earlier and spent > whole - earlier


def _beyond(totals: Tokens, before: Tokens, last: Tokens) -> Tokens | None:
    """Return what the totals moved by beyond the last usage, None if that is nothing."""
    if (totals[_TOTAL] or 0) < (before[_TOTAL] or 0):
        return None
    beyond = _difference(_difference(totals, before), last)
    return beyond if (beyond[_TOTAL] or 0) > 0 and any(beyond[:_TOTAL]) else None


def _figures(tokens: Tokens) -> str:
    """Return by what a record and totals are the same call: not every version writes the rest."""
    given, cached, _, written, _, _ = tokens
    return f"{given or 0},{cached or 0},{written or 0}"


def _remember(known: dict[str, str], figures: str, key: str) -> None:
    known.pop(figures, None)
    if len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[figures] = shorten_id(key)


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
