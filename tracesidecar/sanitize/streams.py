"""Streamed messages: which lines of a chunk carry the pieces of one text, and which texts are still
being written at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from tracesidecar.sanitize import patterns

STREAM_SIGNS = (r'(?i)delta"', r'(?i)(?:_|[.])chunk"', r'"done":[ ]?false', r'"partial_json"')
"""A line that carries a piece holds one of these (in its kind of event or the name of a member)."""
GAP = 32
"""A text that so many lines in a row did not go on with is over."""
LONGEST_OPEN = 256 << 10
"""An open text that began further back than so many bytes is not waited for."""

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
"""Where the piece stands below the event, in the order in which it is looked for."""

_Json = Mapping[str, object]


class StreamPiece(NamedTuple):
    """A piece of a streamed text: its line [start, end) of the chunk, and the path of members to
    it.
    """

    start: int
    end: int
    path: tuple[str | int, ...]
    text: str


class StreamedText(NamedTuple):
    """The pieces of one text, in order; `is_open`: more may come; `is_lost`: they could not be told
    apart, so none may pass.
    """

    pieces: Sequence[StreamPiece]
    is_open: bool
    is_ambiguous: bool = False


class _Event(NamedTuple):
    path: tuple[str | int, ...]
    text: str | None
    key: tuple[object, ...]
    id: object
    ends: bool


def find_streams(data: bytes, signs: Sequence[int]) -> list[StreamedText]:
    """Return the streamed texts of two pieces or more, and every open one; `signs` are the places
    where STREAM_SIGNS end.
    """
    if not signs:
        return []
    found = _Open()
    try:
        for start, end, has_sign in _around(data, sorted(signs)):
            found.line(data, start, end, has_sign=has_sign)
        return found.streams()
    except Exception:  # noqa: BLE001 - fail closed: no line with a sign passes
        lines = [(start, end) for start, end, has_sign in _around(data, sorted(signs)) if has_sign]
        return [
            StreamedText(
                [StreamPiece(start, end, (), "") for start, end in lines],
                is_open=False,
                is_ambiguous=True,
            )
        ]


def pending_start(streams: Sequence[StreamedText], size: int) -> int | None:
    """Return where the first line begins that must wait for the rest of its text, None when none
    must.

    No other text is torn there: one that spans the place waits too.
    """
    spans = sorted(
        (stream.pieces[0].start, stream.pieces[-1].start, stream.is_open) for stream in streams
    )
    held = min(
        (first for first, _, is_open in spans if is_open and size - first <= LONGEST_OPEN),
        default=None,
    )
    if held is None:
        return None
    for first, last, _ in reversed(spans):
        if first < held <= last:
            held = first
    return held if size - held <= LONGEST_OPEN else None


class _Open:
    """The texts that are being put together while the lines go by."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[object, ...], list[tuple[object, StreamPiece]]] = {}
        self._last: dict[tuple[object, ...], int] = {}
        self._done: list[StreamedText] = []
        self._count = 0

    def line(self, data: bytes, start: int, end: int, *, has_sign: bool) -> None:
        self._count += 1
        if not has_sign and patterns.STREAM_END.search(data, start, min(end, start + 2048)) is None:
            return
        event = _event(data[start:end])
        if event is None:
            return
        key = event.key
        if event.text is not None:
            if self._count - self._last.get(key, self._count) > GAP:
                self._close(key)
            self._pieces.setdefault(key, []).append(
                (event.id, StreamPiece(start, end, event.path, event.text))
            )
            self._last[key] = self._count
        if event.ends:
            for other in [other for other in self._pieces if _belongs(event, other)]:
                self._end(other, event.id)

    def _end(self, key: tuple[object, ...], own: object) -> None:
        """Close a text; pieces with another id go on when the end names its own."""
        others = [
            each for each in self._pieces[key] if own is not None and each[0] not in {None, own}
        ]
        self._pieces[key] = [each for each in self._pieces[key] if each not in others]
        self._close(key)
        if others:
            self._pieces[key] = others

    def _close(self, key: tuple[object, ...], *, is_open: bool = False) -> None:
        pieces = self._pieces.pop(key)
        by_id: dict[object, list[StreamPiece]] = {}
        for each, piece in pieces:
            by_id.setdefault(each, []).append(piece)
        if len(by_id) == len(
            pieces
        ):  # an id of its own for each event says nothing about the message
            by_id = {None: [piece for _, piece in pieces]}
        self._done += [
            StreamedText(group, is_open) for group in by_id.values() if is_open or len(group) > 1
        ]

    def streams(self) -> list[StreamedText]:
        for key in list(self._pieces):
            self._close(key, is_open=self._count - self._last[key] <= GAP)
        return self._done


def _belongs(end: _Event, key: tuple[object, ...]) -> bool:
    """True when an end event (its scopes, its ids) is about the text with this key; what it does
    not name, it ends all of.
    """
    return all(
        theirs is None or theirs == ours
        for theirs, ours in zip(end.key[:-1], key[:-1], strict=True)
    )


def _event(line: bytes) -> _Event | None:
    try:
        value = msgspec.json.decode(line)
    except (
        msgspec.DecodeError,
        RecursionError,
    ):  # valid by another decoder: a number beyond a float
        return None
    path: tuple[str | int, ...] = ()
    scopes: dict[str, object] = {}
    for _ in range(4):
        if not isinstance(value, dict):
            return None
        member = cast("_Json", value)
        scopes.update((name, member[name]) for name in _SCOPES if _is_plain(member.get(name)))
        kind = next(
            (str(member[name]) for name in _KINDS if isinstance(member.get(name), str)), ""
        ).lower()
        event = _here(member, kind, path, scopes)
        if event is not None:
            return event
        inner = next((name for name in _ENVELOPES if isinstance(member.get(name), dict)), None)
        if inner is None:
            return None
        path, value = (*path, inner), member[inner]
    return None


def _here(
    member: _Json, kind: str, path: tuple[str | int, ...], scopes: Mapping[str, object]
) -> _Event | None:
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
    ids = tuple(member[name] if _is_plain(member.get(name)) else None for name in _IDS[1:])
    key = (*(scopes.get(name) for name in _SCOPES), *ids, (path, found[0]) if found else None)
    own = member.get("id") if _is_plain(member.get("id")) else None
    return _Event(
        (*path, *found[0]) if found else path, found[1] if found else None, key, own, ends
    )


def _is_finished(member: _Json) -> bool:
    return member.get("done") is True or isinstance(
        _at(member, ("choices", 0, "finish_reason")), str
    )


def _is_plain(value: object) -> bool:
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


def _around(data: bytes, hits: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """The lines with hits, and up to GAP + 1 lines behind each: a text may end there."""
    position = 0
    for i, hit in enumerate(hits):
        if hit <= position:
            continue
        start = max(position, data.rfind(b"\n", 0, hit - 1) + 1)
        yield from ((*line, False) for line in _lines(data, position, start, GAP + 1) if i)
        end = data.find(b"\n", hit - 1)
        position = (end if end >= 0 else len(data)) + 1
        yield start, position - 1, True
    yield from ((*line, False) for line in _lines(data, position, len(data), GAP + 1))


def _lines(data: bytes, start: int, end: int, most: int = 1 << 30) -> Iterator[tuple[int, int]]:
    while start < end and most:
        newline = data.find(b"\n", start, end)
        stop = newline if newline >= 0 else end
        if stop > start:
            yield start, stop
        start, most = stop + 1, most - 1
