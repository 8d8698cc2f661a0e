"""What tools were asked to touch, and what a result has in common with its call.

Read of the whole arguments, before anything is truncated: what is long must not be hidden by that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence

import msgspec

from tracesidecar.dialects.event import Event
from tracesidecar.dialects.parsing import command_line, milliseconds_between, text
from tracesidecar.dialects.truncate import shorten_id, truncate_text

OPEN_CALLS = 32
"""How many calls without a result are remembered of a file: the latest ones."""
TARGET_BYTES = 256
"""The most that a result has of the command, file and address of its call."""
_PATCHED_FILE = re.compile(
    r"^\*\*\* (?:Add File|Update File|Delete File|Move to): (.{1,4096}?)\r?$", re.MULTILINE
)
"""How a patch in the form of `apply_patch` begins the changes of a file."""


class OpenCall(msgspec.Struct, array_like=True):
    """A call whose result is still to come: where its line is, when it was, and what it touches."""

    offset: int
    time: str | None = None
    api_call_id: str | None = None
    command: str | None = None
    file_path: str | None = None
    url: str | None = None
    is_cut: bool = False


OpenCalls = MutableMapping[str, OpenCall]


class _Arguments(msgspec.Struct):
    """Only the keys that are looked for: everything else is skipped without being decoded."""

    command: object = None
    cmd: object = None
    command_line: object = msgspec.field(default=None, name="commandLine")
    command_line_of_windsurf: object = msgspec.field(default=None, name="CommandLine")
    script: object = None
    file_path: object = None
    file_path_in_camel_case: object = msgspec.field(default=None, name="filePath")
    path: object = None
    absolute_path: object = None
    absolute_path_of_windsurf: object = msgspec.field(default=None, name="AbsolutePath")
    notebook_path: object = None
    target_file: object = None
    target_file_of_windsurf: object = msgspec.field(default=None, name="TargetFile")
    filename: object = None
    file: object = None
    url: object = None
    uri: object = None
    url_of_windsurf: object = msgspec.field(default=None, name="Url")
    urls: object = None
    input: object = None
    patch: object = None
    changes: object = None
    connector: object = None
    asset_id: object = None


_decode = msgspec.json.Decoder(_Arguments).decode


def set_target(event: Event) -> None:
    """Set the command, file or address that the arguments of a tool name, where nothing else did.

    Arguments that are no JSON object may be a patch, which names its files.
    """
    arguments = event.tool_arguments
    if arguments is None:
        return
    if not arguments.startswith("{"):
        if event.file_path is None and "*** " in arguments:
            event.file_path = next(iter(find_patched_files(arguments)), None)
        return
    try:
        found = _decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return
    if event.command is None:
        event.command = _first(
            command_line,
            found.command,
            found.cmd,
            found.command_line,
            found.command_line_of_windsurf,
        ) or (command_line(found.script) if event.tool_type == "shell" else None)
    if event.file_path is None:
        event.file_path = _file(found)
    if event.url is None:
        event.url = _first(text, found.url, found.uri, found.url_of_windsurf) or _first_of(
            found.urls
        )
    if event.connector is None:
        event.connector = text(found.connector)
    if event.asset_id is None:
        event.asset_id = text(found.asset_id)


def find_patched_files(patch: str) -> Sequence[str]:
    """Return the files that a patch in the form of `apply_patch` changes."""
    return list(dict.fromkeys(_PATCHED_FILE.findall(patch)))


def join_result(event: Event, call_id: str, offset: int, calls: OpenCalls) -> None:
    """Remember a call; give a result what its call said, and the time since.

    `offset` is that of the line: a line that has both says nothing of the time between.
    """
    if event.event_kind == "tool_call":
        key = shorten_id(f"{event.conversation_id}\0{call_id}")
        if key not in calls and len(calls) >= OPEN_CALLS:
            del calls[next(iter(calls))]
        command, file_path, url = map(_shorten, (event.command, event.file_path, event.url))
        calls[key] = OpenCall(
            offset,
            event.event_time,
            None if event.api_call_id is None else shorten_id(event.api_call_id),
            command,
            file_path,
            url,
            command is not event.command
            or file_path is not event.file_path
            or url is not event.url,
        )
    elif event.event_kind == "tool_result":
        call = calls.pop(shorten_id(f"{event.conversation_id}\0{call_id}"), None)
        if call is not None:
            _add_call(event, call, offset)


def _shorten(value: str | None) -> str | None:
    return None if value is None else truncate_text(value, TARGET_BYTES)


def _add_call(event: Event, call: OpenCall, offset: int) -> None:
    event.api_call_id = event.api_call_id or call.api_call_id
    if event.command is None and event.file_path is None and event.url is None:
        event.command, event.file_path, event.url = call.command, call.file_path, call.url
        event.truncated = event.truncated or call.is_cut or None
    if event.duration_ms is None and call.offset != offset and event.event_time_source == "line":
        took = milliseconds_between(call.time, event.event_time)
        event.duration_ms = took if took is not None and took > 0 else None


def _file(found: _Arguments) -> str | None:
    named = _first(
        text,
        found.file_path,
        found.file_path_in_camel_case,
        found.path,
        found.absolute_path,
        found.absolute_path_of_windsurf,
        found.notebook_path,
        found.target_file,
        found.target_file_of_windsurf,
        found.filename,
        found.file,
    )
    if named is not None:
        return named
    for patch in (found.input, found.patch):
        if isinstance(patch, str) and (files := find_patched_files(patch)):
            return files[0]
    return _first_of(list(found.changes)) if isinstance(found.changes, dict) else None


def _first(read: Callable[[object], str | None], *values: object) -> str | None:
    said = (value for value in values if value is not None)
    return next((found for value in said if (found := read(value)) is not None), None)


def _first_of(value: object) -> str | None:
    return text(value[0]) if isinstance(value, list) and value else None
