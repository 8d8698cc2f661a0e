"""Sessions of Kimi CLI and Kimi Code: two shapes of lines in files of one name, `wire.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.kimi import cli as kimi_cli
from tracesidecar.dialects.kimi import code as kimi_code
from tracesidecar.dialects.kimi.session import State, begin, event
from tracesidecar.dialects.parsing.values import at, fields, text

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

_decode = msgspec.json.Decoder(kimi_code.Record).decode


def _recognise(path: str, line: Mapping[str, object]) -> bool:
    if _PATH.search(path.replace("\\", "/")):
        return True
    kind = line.get("type")
    if kind == "metadata":
        return "protocol_version" in line
    if isinstance(kind, str):
        return kind in _CODE_TYPES
    return (
        "timestamp" in line
        and text(at(line.get("message"), "type")) in kimi_cli.TYPES
        and "payload" in fields(line.get("message"))
    )


def _events(line: bytes, state: State) -> Sequence[Event]:
    record = _decode(line)
    if record.type is None:
        return [kimi_cli.mapped(record.timestamp, fields(record.message), state)]
    if record.type == "metadata":
        return [event("session_start", record.created_at, state)]
    return kimi_code.mapped(record, state)


DIALECT: Dialect[State] = Dialect(
    name="kimi",
    recognise=_recognise,
    state=State,
    begin=begin,
    events=_events,
)
