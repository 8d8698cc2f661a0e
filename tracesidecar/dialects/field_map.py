"""Lines of any shape as events, by configuration: each column has a path of its value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from tracesidecar.dialects.dialect import Dialect, UnknownType
from tracesidecar.dialects.event import Event, EventKind, Outcome
from tracesidecar.dialects.generic import State, guess_kind
from tracesidecar.dialects.parsing import (
    JsonObject,
    as_json,
    count,
    plain_text,
    real,
    text,
    tool_type,
    utc,
)
from tracesidecar.dialects.registry import GENERIC
from tracesidecar.errors import ConfigurationError

_Convert = Callable[[object], object]
_Read = Callable[[object], object]

KINDS = get_args(EventKind)
OUTCOMES = get_args(Outcome)
_NOT_IN_LINE = frozenset(
    (
        "event_id",
        "schema_version",
        "event_time_source",
        "ingest_time",
        "cost_source",
        "source_file",
        "source_line",
        "source_offset",
        "line_bytes",
        "line_sha256",
        "line_state",
        "redaction_count",
        "redaction_kinds",
        "truncated",
        "supersedes",
        "raw",
        "labels",
        "generation",
        "processed_by",
        "user_source",
    )
)
"""Columns that do not come from the line's content."""
_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d{1,6})\]|\["([^"]+)"\]')

_decode = msgspec.json.Decoder().decode


def field_map_dialect(
    fields: Mapping[str, str], event_kinds: Mapping[str, str] | None = None
) -> Dialect[msgspec.Struct]:
    """Build a dialect from a field map: column → path of its value in the line.

    A path looks like `message.content[0].text`. A key with dots or brackets is quoted:
    `attributes["gen_ai.request.model"]`. A value that begins with `=` is a constant:
    `agent_name = "=my-agent"`.

    Values are converted to the type of their column: counts and numbers may be text, times may
    have any usual form, arguments and results become JSON strings. A value that cannot be
    converted is None. `native_id` must be unique in its conversation, because rows with the
    same id become one row.

    `event_kinds` translates the values at the path of `event_kind` (`{"message":
    "user_message"}`). The name of a kind needs no translation; any other value makes the line
    an unknown type. Without `event_kind` the kind follows from tokens, tool and role. Tokens
    count as those of one call unless `usage_scope` says otherwise.

    Raise ConfigurationError for a column that does not exist or cannot be mapped, for an
    invalid path, and for a kind that does not exist.
    """
    translated = _check_kinds(event_kinds or {})
    types = _column_types()
    columns = tuple(
        (column, _reader(column, path), types[_check_column(column, types)])
        for column, path in fields.items()
        if column != "event_kind"
    )
    native_kind = _reader("event_kind", fields["event_kind"]) if "event_kind" in fields else None

    def map_line(data: bytes, _state: msgspec.Struct) -> Sequence[Event]:
        decoded = _decode(data)
        event = Event(event_kind="unknown")
        for column, read, convert in columns:
            setattr(event, column, convert(read(decoded)))
        _set_defaults(event)
        name = "untyped" if native_kind is None else (text(native_kind(decoded)) or "untyped")
        kind = guess_kind(event) if native_kind is None else translated.get(name)
        if kind is None:
            raise UnknownType(name, event)
        event.event_kind = kind
        return (event,)

    return Dialect(
        name=GENERIC,
        recognise=lambda _path, _line: True,
        state=State,
        begin=lambda _path: State(),
        map_line=map_line,
        is_revised=True,
    )


def _set_defaults(event: Event) -> None:
    if event.cost_usd is not None:
        event.cost_source = "recorded"
    if event.usage_scope is None and (
        event.input_tokens is not None or event.output_tokens is not None
    ):
        event.usage_scope = "call"
    if event.tool_type is None:
        event.tool_type = tool_type(event.tool_name)


def _check_kinds(event_kinds: Mapping[str, str]) -> dict[str, EventKind]:
    for native, kind in event_kinds.items():
        if kind not in KINDS:
            raise ConfigurationError(
                f'event_kinds: "{native}" is mapped to "{kind}", which is not an event kind'
                f"{_nearest(kind, KINDS)}"
            )
    return cast("dict[str, EventKind]", {**{kind: kind for kind in KINDS}, **event_kinds})


def _check_column(column: str, types: Mapping[str, _Convert]) -> str:
    if column in _NOT_IN_LINE:
        raise ConfigurationError(
            f'fields: the column "{column}" cannot be mapped: '
            "it does not come from the content of the line"
        )
    if column not in types:
        raise ConfigurationError(
            f'fields: "{column}" is not a column of the event{_nearest(column, types)}'
        )
    return column


def _nearest(name: str, known: Sequence[str] | JsonObject) -> str:
    near = difflib.get_close_matches(name, known, 1, 0)
    return f'; the nearest is "{near[0]}"' if near else ""


def _reader(column: str, path: str) -> _Read:
    if path.startswith("="):
        constant = path[1:]
        return lambda _decoded: constant
    steps = _steps(column, path)

    def read(value: object) -> object:
        for step in steps:
            if isinstance(step, str) and isinstance(value, dict):
                value = value.get(step)
            elif isinstance(step, int) and isinstance(value, list) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    return read


def _steps(column: str, path: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    position = 0
    while (
        position < len(path) and (step := _STEP.match(path, position)) and (steps or path[0] != ".")
    ):
        key, index, quoted = step.groups()
        steps.append(int(index) if index else key or quoted)
        position = step.end()
    if not steps or position < len(path):
        raise ConfigurationError(
            f'fields: {column} = "{path}" is not a path; paths look like a.b[0].c '
            'or a["key.with.dots"], and constants like =text'
        )
    return tuple(steps)


def _column_types() -> dict[str, _Convert]:
    special: dict[str, _Convert] = {
        "event_time": utc,
        "text": plain_text,
        "tool_arguments": as_json,
        "tool_result": as_json,
        "outcome": _outcome,
    }
    types = {
        column: _converter(hint)
        for column, hint in get_type_hints(Event).items()
        if column not in _NOT_IN_LINE
    }
    return {**types, **special}


def _converter(hint: object) -> _Convert:
    kinds = [each for each in get_args(hint) if each is not NoneType]
    by_type: dict[object, _Convert] = {int: count, float: real, bool: _boolean}
    if kinds and get_origin(kinds[0]) is Literal:
        allowed = get_args(kinds[0])
        return lambda value: value if value in allowed else None
    return by_type.get(kinds[0], _scalar) if kinds else _scalar


def _scalar(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def _boolean(value: object) -> bool | None:
    return (
        value
        if isinstance(value, bool)
        else {"true": True, "false": False}.get(value)
        if isinstance(value, str)
        else None
    )


def _outcome(value: object) -> str | None:
    if isinstance(value, bool):
        return "success" if value else "failure"
    said = value.lower() if isinstance(value, str) else None
    return (
        {"ok": "success", "error": "failure"}.get(said, said if said in OUTCOMES else None)
        if said
        else None
    )
