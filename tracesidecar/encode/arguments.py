"""What a tool was asked to touch: the command, the file or the address among its arguments."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import msgspec


class Target(NamedTuple):
    """What the arguments of a tool call name; None where they name none."""

    command: str | None = None
    file: str | None = None
    url: str | None = None


class _Arguments(msgspec.Struct):
    """Only what is looked for: everything else is skipped undecoded."""

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


_decode = msgspec.json.Decoder(_Arguments).decode
_NOTHING = Target()


def target(tool_arguments: str | None) -> Target:
    """Read the `tool_arguments` column.

    Text that is no JSON object (a patch, arguments that were cut) names nothing.
    """
    if tool_arguments is None or not tool_arguments.startswith("{"):
        return _NOTHING
    try:
        found = _decode(tool_arguments)
    except (msgspec.DecodeError, RecursionError):
        return _NOTHING
    return Target(
        _command(found.command) or _command(found.cmd),
        _first(
            found.file_path,
            found.path,
            found.absolute_path,
            found.notebook_path,
            found.target_file,
            found.filename,
        ),
        _first(found.url, found.uri),
    )


def _first(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _command(value: object) -> str | None:
    """One line of a shell, or a list of words."""
    if isinstance(value, list):
        return shlex.join(str(word) for word in value) or None
    return _first(value)
