"""Sessions of Kimi CLI and Kimi Code: two shapes of lines in files named `wire.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import with_slashes
from tracesidecar.dialects.kimi import cli, code
from tracesidecar.dialects.kimi.session import State, begin, make_event
from tracesidecar.dialects.parsing import JsonObject, at, fields, text

_PATH = re.compile(r"/\.kimi(?:-code)?/sessions/.*/wire\.jsonl")
_CODE_TYPES = frozenset(
    (
        "context.append_message",
        "context.append_loop_event",
        "turn.prompt",
        "usage.record",
        "config.update",
    )
)

_decode = msgspec.json.Decoder(code.Line).decode


def recognise(path: str, line: JsonObject) -> bool:
    """Recognise the folders of sessions, metadata, and the types of either program."""
    if _PATH.search(with_slashes(path)):
        return True
    kind = line.get("type")
    if kind == "metadata":
        return "protocol_version" in line
    if isinstance(kind, str):
        return kind in _CODE_TYPES
    return (
        "timestamp" in line
        and text(at(line.get("message"), "type")) in cli.TYPES
        and "payload" in fields(line.get("message"))
    )


def map_line(data: bytes, state: State) -> Sequence[Event]:
    """Map a line of either program to its events."""
    line = _decode(data)
    if line.type is None:
        return [cli.map_message(line.timestamp, fields(line.message), state)]
    if line.type == "metadata":
        return [make_event("session_start", line.created_at, state)]
    return code.map_line(line, state)


DIALECT: Dialect[State] = Dialect(
    name="kimi",
    recognise=recognise,
    state=State,
    begin=begin,
    map_line=map_line,
)
