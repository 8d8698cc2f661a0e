"""Whether a line carries a piece of a streamed message, or ends one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import msgspec

from tracesidecar.json_size import has_too_many_values
from tracesidecar.sanitize import patterns

STREAM_SIGNS = (r'(?i)delta"', r'(?i)(?:_|[.])chunk"', r'"done":[ ]?false', r'"partial_json"')
"""A line that carries a piece matches one of these, in its event type or a member name."""

_ENVELOPES = ("event", "payload", "params", "update", "data", "msg", "message", "chunk", "response")
_IDS = (
    "id",
    "item_id",
    "itemId",
    "message_id",
    "messageId",
    "call_id",
    "toolCallId",
    "index",
    "content_index",
    "output_index",
)
_SCOPES = (
    "session_id",
    "sessionId",
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
    "agent_id",
    "agentId",
    "parent_tool_use_id",
)
_KINDS = ("type", "sessionUpdate", "object", "kind", "method")
_TEXTS: tuple[tuple[str | int, ...], ...] = (
    ("delta", "text"),  # Anthropic text_delta
    ("delta", "partial_json"),  # Anthropic input_json_delta
    ("delta", "thinking"),
    ("delta", "content"),
    ("delta", "text", "text"),
    ("delta",),  # OpenAI Responses, Codex, Vercel
    ("choices", 0, "delta", "content"),  # chat.completion.chunk
    ("choices", 0, "delta", "reasoning_content"),
    ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
    ("choices", 0, "text"),
    ("content", "text"),  # agent_message_chunk of ACP
    ("message", "content"),
    ("textDelta",),
    ("inputTextDelta",),
    ("argsTextDelta",),
    ("text",),
    ("content",),
)
"""The paths below the event at which the piece is looked for, in this order."""

_Json = Mapping[str, object]


class StreamEvent(NamedTuple):
    """A line of a stream: `text` is the piece at `path`, None if the line only ends a message.

    `key` identifies the message by its scopes and ids. `id` is the event's own id, which some
    formats keep for a whole message and others give to every event.
    """

    path: tuple[str | int, ...]
    text: str | None
    key: tuple[object, ...]
    id: object
    ends: bool

    def is_about(self, key: tuple[object, ...]) -> bool:
        """Return True if this end event applies to the message with `key`.

        A scope or id that the event does not name matches every message.
        """
        return all(
            theirs is None or theirs == ours
            for theirs, ours in zip(self.key[:-1], key[:-1], strict=True)
        )


def read_event(line: bytes) -> StreamEvent | None:
    """Return the stream event that the line carries, None if it carries none."""
    if has_too_many_values(line):
        return None
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        # valid for another decoder only, for example with a number beyond a float
        return None
    path: tuple[str | int, ...] = ()
    scopes: dict[str, object] = {}
    for _ in range(4):
        if not isinstance(value, dict):
            return None
        member = cast("_Json", value)
        scopes.update((name, member[name]) for name in _SCOPES if _is_scalar(member.get(name)))
        kind = next(
            (str(member[name]) for name in _KINDS if isinstance(member.get(name), str)), ""
        ).lower()
        event = _event_of(member, kind, path, scopes)
        if event is not None:
            return event
        inner = next((name for name in _ENVELOPES if isinstance(member.get(name), dict)), None)
        if inner is None:
            return None
        path, value = (*path, inner), member[inner]
    return None


def _event_of(
    member: _Json, kind: str, path: tuple[str | int, ...], scopes: Mapping[str, object]
) -> StreamEvent | None:
    is_piece = (
        "delta" in kind
        or kind.endswith("chunk")
        or "delta" in member
        or "choices" in member
        or member.get("done") is False
    )
    ends = patterns.STREAM_END_KIND.search(kind) is not None or _is_finished(member)
    if not is_piece and not ends:
        return None
    found = (
        next(
            ((where, text) for where in _TEXTS if isinstance(text := _at(member, where), str)), None
        )
        if is_piece
        else None
    )
    if found is None and not ends:
        return None
    ids = tuple(member[name] if _is_scalar(member.get(name)) else None for name in _IDS[1:])
    key = (*(scopes.get(name) for name in _SCOPES), *ids, (path, found[0]) if found else None)
    own_id = member.get("id") if _is_scalar(member.get("id")) else None
    return StreamEvent(
        (*path, *found[0]) if found else path, found[1] if found else None, key, own_id, ends
    )


def _is_finished(member: _Json) -> bool:
    return member.get("done") is True or isinstance(
        _at(member, ("choices", 0, "finish_reason")), str
    )


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int)


def _at(value: object, path: Iterable[str | int]) -> object:
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value
