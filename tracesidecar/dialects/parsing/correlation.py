"""What connects lines: tool names by the id of their call, and unique ids of model calls."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracesidecar.dialects.truncate import ID_BYTES, SHORT_BYTES, shorten_id

REMEMBERED = 1_000
"""How many calls are remembered in a file; the oldest is forgotten first."""

_SURELY_SHORT = ID_BYTES // 4
"""So many characters are short enough for an id, whatever they are in UTF-8."""

_PROVIDER_ID = re.compile(
    r"(?:msg_|resp_|chatcmpl-|req_|gen-|cmpl-)\S{6,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    re.IGNORECASE,
)


def remember(names: dict[str, str], call: str, name: str) -> None:
    """Remember the tool of a call until its result comes; both are shortened if they are long."""
    call = _shorten(call)
    if call not in names and len(names) >= REMEMBERED:
        del names[next(iter(names))]
    names[call] = name if len(name) < _SURELY_SHORT else shorten_id(name, SHORT_BYTES)


def recall(names: Mapping[str, str], call: str | None) -> str | None:
    """Return what is remembered of a call."""
    return None if call is None else names.get(_shorten(call))


def forget(names: dict[str, str], call: str | None) -> str | None:
    """Return what is remembered of a call, for the last time."""
    return None if call is None else names.pop(_shorten(call), None)


def _shorten(call: str) -> str:
    return call if len(call) < _SURELY_SHORT else shorten_id(call)


def call_key(conversation: str | None, call: str | None) -> str | None:
    """Return an `api_call_id` that no other conversation has.

    An id that a provider or a UUID makes unique stays as it is; another is prefixed with its
    conversation.
    """
    if call is None or conversation is None or _PROVIDER_ID.fullmatch(call):
        return call
    return f"{conversation}:{call}"
