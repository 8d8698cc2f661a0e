"""One model call in two spans: that of a framework, and within it that of the client it calls.

Both stay rows. They get one key and one request id, so that the call counts once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tracesidecar.dialects.event import Event
from tracesidecar.dialects.truncate import shorten_id

REMEMBERED = 64
"""How many spans of calls are remembered of a file, and how many of the spans around them."""


class KnownCall(msgspec.Struct, array_like=True):
    """What the span of a call said."""

    call: str
    request: str | None
    input_tokens: int | None
    output_tokens: int | None


class State(msgspec.Struct):
    """The latest calls by their own span, and by the span around it."""

    calls: dict[str, KnownCall] = {}
    within: dict[str, KnownCall] = {}


def join_nested_calls(events: Iterable[Event], state: State) -> None:
    """Give a call and the one around it the key of the inner one, if both say the same tokens.

    A call around several others says their sum, and a span without tokens says nothing else.
    """
    for event in events:
        if event.event_kind != "model_call" or event.native_id is None or not event.api_call_id:
            continue
        span = shorten_id(f"{event.trace_id}\0{event.native_id}")
        around = shorten_id(f"{event.trace_id}\0{event.parent_id}") if event.parent_id else None
        inner = state.within.pop(span, None)
        if inner is not None and _is_same(event, inner):
            event.api_call_id = inner.call
            event.request_id = event.request_id or inner.request or inner.call
        elif around is not None and (outer := state.calls.get(around)) is not None:
            if _is_same(event, outer):
                event.api_call_id = outer.call
                event.request_id = event.request_id or outer.request or outer.call
        elif around is not None:
            # the inner span ends first, so it nearly always comes first
            event.request_id = event.request_id or event.api_call_id
        known = KnownCall(
            shorten_id(event.api_call_id),
            None if event.request_id is None else shorten_id(event.request_id),
            event.input_tokens,
            event.output_tokens,
        )
        _remember(state.calls, span, known)
        if around is not None:
            _remember(state.within, around, known)


def _is_same(event: Event, other: KnownCall) -> bool:
    unknown = (None, None)
    own = event.input_tokens, event.output_tokens
    others = other.input_tokens, other.output_tokens
    return own in (others, unknown) or others == unknown


def _remember(known: dict[str, KnownCall], span: str, call: KnownCall) -> None:
    if len(known) >= REMEMBERED:
        del known[next(iter(known))]
    known[span] = call
