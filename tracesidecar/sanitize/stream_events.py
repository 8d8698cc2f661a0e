"""Whether a line carries a piece of a streamed message, or ends one.

The table of stream formats tells it, and for what has no row the usual names do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from tracesidecar.json_size import has_too_many_values
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.rules import Codec, StreamFormat, load_stream_formats

_USUAL_SIGNS = (r'(?i)delta"', r'(?i)(?:_|[.])chunk"', r'"done":[ ]?false', r'"partial_json"')
"""A line that carries a piece matches one of these, in its event type or a member name."""

_EACH = "*"
_MOST_PIECES = 64
"""How many pieces of one line are looked at: choices, tool calls and parts."""

_ENVELOPES = (
    "event",
    "payload",
    "params",
    "update",
    "data",
    "msg",
    "message",
    "chunk",
    "response",
    "properties",
    "result",
    "body",
)
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


Path = tuple[str | int, ...]
"""The names and positions on the way to a value in a line."""


class MessageKey(NamedTuple):
    """Which message a piece belongs to: what the lines of a format tell messages apart by."""

    format: str
    parts: tuple[object, ...]


class StreamEvent(NamedTuple):
    """A line of a stream: `text` is the piece at `path`, None if the line only ends a message.

    `id` is the event's own id, which some formats keep for a whole message and others give to every
    event. `codec` is what the value at `path` is.
    """

    path: Path
    text: bytes | None
    key: MessageKey
    id: object
    ends: bool
    codec: Codec = "text"

    def is_about(self, key: MessageKey) -> bool:
        """Return True if this end event applies to the message with `key`.

        A scope or id that the event does not name matches every message.
        """
        return self.key.format == key.format and all(
            theirs is None or theirs == ours
            for theirs, ours in zip(self.key.parts[:-1], key.parts[:-1], strict=True)
        )


def list_stream_signs() -> tuple[str, ...]:
    """Return the expressions of which a line that carries a piece matches one."""
    return (*_USUAL_SIGNS, *(each.sign for each in load_stream_formats()))


def read_events(line: bytes) -> Sequence[StreamEvent]:
    """Return the stream events that the line carries."""
    if has_too_many_values(line):
        return ()
    try:
        value: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        # valid for another decoder only, for example with a number beyond a float
        return ()
    for each in load_stream_formats():
        if each.pattern.search(line) is not None and (events := _read_pieces(each, value)):
            return events
    event = _read_usual(value)
    return () if event is None else (event,)


def _read_pieces(known: StreamFormat, value: object) -> list[StreamEvent]:
    """Return the pieces that a line of a known format carries."""
    ends = any(
        found not in (None, False, "")
        for path in known.end_paths
        for _, found in _resolve(value, path)
    )
    events: list[StreamEvent] = []
    for path in known.piece_paths:
        for where, found in _resolve(value, path):
            text = decode_piece(found, known.codec)
            if text is None or len(events) >= _MOST_PIECES:
                continue
            parts = tuple(_at_side(value, each, where) for each in known.message_paths)
            place = tuple(_EACH if isinstance(step, int) else step for step in where)
            key = MessageKey(known.name, (*map(_scalar_or_none, parts), place))
            events.append(StreamEvent(where, text, key, None, ends, known.codec))
        if any(event.text for event in events):
            break
    return events


def decode_piece(value: object, codec: Codec) -> bytes | None:
    """Return the bytes of a piece, None if the value is none."""
    try:
        if codec == "bytes":
            return bytes(cast("list[int]", value)) if isinstance(value, list) and value else None
        if not isinstance(value, str):
            return None
        return base64.b64decode(value, validate=True) if codec == "base64" else value.encode()
    except (TypeError, ValueError, binascii.Error):
        return None


def _resolve(value: object, path: Sequence[str], done: Path = ()) -> Iterator[tuple[Path, object]]:
    """Iterate over the values at a path in which `*` is each item of a list."""
    for i, step in enumerate(path):
        if step == _EACH:
            if isinstance(value, list):
                for at, item in enumerate(value[:_MOST_PIECES]):
                    yield from _resolve(item, path[i + 1 :], (*done, at))
            return
        if not isinstance(value, dict) or step not in value:
            return
        value, done = value[step], (*done, step)
    yield done, value


def _at_side(value: object, path: Sequence[str], where: Path) -> object:
    """Return the value at a path, whose `*` are the items on the way to `where`."""
    for i, step in enumerate(path):
        if step == _EACH:
            at = where[i] if i < len(where) else 0
            value = _at(value, (at if isinstance(at, int) else 0,))
        else:
            value = _at(value, (step,))
    return value


def _scalar_or_none(value: object) -> object:
    return value if _is_scalar(value) else None


def _read_usual(value: object) -> StreamEvent | None:
    """Return the event of a line that keeps a piece under a usual name."""
    path: Path = ()
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
    member: _Json, kind: str, path: Path, scopes: Mapping[str, object]
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
    key = MessageKey(
        "", (*(scopes.get(name) for name in _SCOPES), *ids, (path, found[0]) if found else None)
    )
    own_id = member.get("id") if _is_scalar(member.get("id")) else None
    return StreamEvent(
        (*path, *found[0]) if found else path,
        found[1].encode("utf-8", "surrogatepass") if found else None,
        key,
        own_id,
        ends,
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
