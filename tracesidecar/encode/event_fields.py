"""Columns of an event that several formats convert: times, labels and tool arguments."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def epoch_microseconds(time: str | None) -> int:
    """Return a time of an event (RFC 3339 with microseconds and Z) as exact microseconds.

    Raise ValueError if there is none; an event that is shipped always has its times.
    """
    if time is None:
        raise ValueError("the event has no time yet")
    return (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=256)
def parse_labels(column: str | None) -> Mapping[str, str]:
    """Return the labels of the source from the `labels` column, a JSON object."""
    return MappingProxyType(msgspec.json.decode(column, type=dict[str, str]) if column else {})


class ToolTarget(NamedTuple):
    """What a tool was asked to touch; None for what its arguments do not name."""

    command: str | None = None
    file: str | None = None
    url: str | None = None


class _Arguments(msgspec.Struct):
    """Only the keys that are looked for: everything else is skipped without being decoded."""

    command: object = None
    cmd: object = None
    file_path: object = None
    path: object = None
    absolute_path: object = None
    notebook_path: object = None
    target_file: object = None
    filename: object = None
    url: object = None
    uri: object = None


_decode_arguments = msgspec.json.Decoder(_Arguments).decode
_NO_TARGET = ToolTarget()


def parse_target(tool_arguments: str | None) -> ToolTarget:
    """Return the command, file or address that the `tool_arguments` column names.

    A text that is not a JSON object (a patch, or arguments that were truncated) names nothing.
    """
    if tool_arguments is None or not tool_arguments.startswith("{"):
        return _NO_TARGET
    try:
        found = _decode_arguments(tool_arguments)
    except (msgspec.DecodeError, RecursionError):
        return _NO_TARGET
    return ToolTarget(
        _command(found.command) or _command(found.cmd),
        _first_text(
            found.file_path,
            found.path,
            found.absolute_path,
            found.notebook_path,
            found.target_file,
            found.filename,
        ),
        _first_text(found.url, found.uri),
    )


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _command(value: object) -> str | None:
    """Return a command line: agents write one as a text, or as a list of words."""
    if isinstance(value, list):
        return shlex.join(str(word) for word in value) or None
    return _first_text(value)
