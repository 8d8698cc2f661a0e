"""Records of format `ecs`: documents of the Elastic Common Schema 9, as nested objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter

import msgspec

from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode.event_fields import count_duration, parse_labels
from tracesidecar.encode.json_fields import (
    FieldPath,
    is_too_long,
    make_flattened_field,
    nest,
    split_path,
)
from tracesidecar.encode.targets import base_name, split_command, split_url
from tracesidecar.encode.targets import split_path as split_file_path

VERSION = "9.5.0"
"""The version of the schema.

`gen_ai.*` is beta in it, and has no fields for conversations, caches and costs: those are below
`tracesidecar.*`.
"""

LARGEST_INTEGER = 2**31 - 1
"""`gen_ai.usage.*` is a 32-bit integer in the mappings up to ECS 9.3: Elasticsearch would reject a
document with a larger number.
"""

CATEGORIES: dict[str, tuple[str, str]] = {
    "shell": ("process", "start"),
    "edit": ("file", "change"),
    "read": ("file", "access"),
    "search": ("file", "access"),
    "web": ("web", "access"),
}
"""Type of the tool → category and type of the event of its call."""
_API = ("api", "access")

TYPES = {
    "session_start": "start",
    "session_end": "end",
    "tool_result": "info",
    "permission": "info",
    "state": "info",
    "usage_summary": "info",
}
"""Kind of event → type, for kinds whose type does not depend on the tool."""

_ACTIONS = frozenset(("tool_call", "tool_result"))
_NAMES = {column.name: column.ecs for column in COLUMNS}

COLUMN_MAPPING: Mapping[str, str] = {column: f"`{name}`" for column, name in _NAMES.items()} | {
    "event_kind": "`event.action`; of a named action (`cmms.create_work_order`), its name",
    "schema_version": "`tracesidecar.schema_version`; `ecs.version` is that of ECS",
    "duration_ms": "`event.duration`, in nanoseconds",
    "input_tokens": (
        "`gen_ai.usage.input_tokens` of a model call; "
        "of other scopes, or from 2^31, `tracesidecar.usage.input_tokens`"
    ),
    "output_tokens": (
        "`gen_ai.usage.output_tokens` of a model call; "
        "of other scopes, or from 2^31, `tracesidecar.usage.output_tokens`"
    ),
    "command": "`process.command_line`; also `process.args`, `process.name`, `process.executable`",
    "file_path": "`file.path`; also `file.name`, `file.directory`, `file.extension`",
    "url": "`url.original`; also `url.scheme`, `url.domain`, `url.path`, and in `related.hosts`",
    "user_id": "`user.id`, and in `related.user`",
    "host_name": "`host.name`, and in `related.hosts`",
    "tool_type": "`gen_ai.tool.type`; decides `event.category` and `event.type`",
    "tool_arguments": ("`gen_ai.tool.call.arguments`, always an object"),
    "tool_result": "`gen_ai.tool.call.result`, always an object",
    "agent_name": "`gen_ai.agent.name` and `service.name`",
    "line_state": "`tracesidecar.line_state`; `event.kind` is `pipeline_error` when it is not `ok`",
    "labels": "`labels.*`, keywords",
}

_CONVERTED = frozenset(
    (
        "schema_version",
        "duration_ms",
        "input_tokens",
        "output_tokens",
        "tool_arguments",
        "tool_result",
        "labels",
    )
)
_DIRECT: dict[str, FieldPath] = {
    column: split_path(name) for column, name in _NAMES.items() if column not in _CONVERTED
}
_direct_values = attrgetter(*_DIRECT)
_PATHS: dict[str, FieldPath] = {
    name: split_path(name)
    for name in (
        "ecs.version",
        "event.action",
        "event.kind",
        "event.module",
        "event.dataset",
        "event.category",
        "event.type",
        "event.duration",
        "service.name",
        "labels",
        "process.args",
        "process.name",
        "process.executable",
        "file.name",
        "file.directory",
        "file.extension",
        "url.scheme",
        "url.domain",
        "url.path",
        "related.hosts",
        "related.user",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "tracesidecar.schema_version",
        "tracesidecar.truncated",
        "tracesidecar.usage.input_tokens",
        "tracesidecar.usage.output_tokens",
    )
}
_LABELS = "labels"

_encode = msgspec.json.Encoder().encode


def encode(event: Event, dialect: str) -> bytes:
    """Return an event as a document."""
    return _encode(build_document(event, dialect))


def build_document(event: Event, dialect: str) -> dict[str, object]:
    """Return the document. A label replaces a value of the event with the same name."""
    leaves = [
        (path, value)
        for path, value in zip(_DIRECT.values(), _direct_values(event), strict=True)
        if value is not None
    ]
    leaves += [
        (_PATHS[name], value) for name, value in _convert(event, dialect) if value is not None
    ]
    leaves += [
        (((_LABELS,), key.replace(".", "_")), value)
        for key, value in parse_labels(event.labels).items()
    ]
    return nest(leaves)


def _convert(event: Event, dialect: str) -> Iterator[tuple[str, object]]:
    yield "ecs.version", VERSION
    yield "event.kind", "event" if event.line_state in (None, "ok") else "pipeline_error"
    yield "event.module", "tracesidecar"
    yield "event.dataset", f"tracesidecar.{dialect}"
    yield "event.duration", count_duration(event.duration_ms, 1_000_000)
    yield "service.name", event.agent_name
    yield "tracesidecar.schema_version", event.schema_version
    if event.event_kind in _ACTIONS and "." in (event.operation_name or ""):
        yield "event.action", event.operation_name
    yield from _classify(event)
    yield from _targets(event)
    yield _usage(event, event.input_tokens) + ".input_tokens", event.input_tokens
    yield _usage(event, event.output_tokens) + ".output_tokens", event.output_tokens
    yield "gen_ai.tool.call.arguments", make_flattened_field(event.tool_arguments)
    yield "gen_ai.tool.call.result", make_flattened_field(event.tool_result)
    yield (
        "tracesidecar.truncated",
        True if is_too_long(event.tool_arguments) or is_too_long(event.tool_result) else None,
    )


def _classify(event: Event) -> Iterator[tuple[str, object]]:
    """Yield category and type.

    An error has no category, because no category of ECS that fits has the type `error`.
    """
    if event.event_kind == "error":
        yield "event.type", ["error"]
        return
    if event.event_kind in ("session_start", "session_end"):
        category, kind = "session", "info"
    else:
        category, kind = CATEGORIES.get(event.tool_type or "", _API)
    yield "event.category", [category]
    yield "event.type", [TYPES.get(event.event_kind, kind)]


def _targets(event: Event) -> Iterator[tuple[str, object]]:
    """Yield the parts of what a tool touches, and everything that others are related by."""
    hosts = [event.host_name] if event.host_name else []
    if event.command is not None and (words := split_command(event.command)):
        yield "process.args", words
        yield "process.name", base_name(words[0])
        yield "process.executable", words[0] if words[0].startswith(("/", "~")) else None
    if event.file_path is not None:
        file = split_file_path(event.file_path)
        yield "file.name", file.name
        yield "file.directory", file.directory
        yield "file.extension", file.extension
    if event.url is not None:
        url = split_url(event.url)
        yield "url.scheme", url.scheme
        yield "url.domain", url.domain
        yield "url.path", url.path
        hosts += [url.domain] if url.domain else []
    yield "related.hosts", hosts or None
    yield "related.user", [event.user_id] if event.user_id else None


def _usage(event: Event, tokens: int | None) -> str:
    """Return the parent of the token fields: `gen_ai.usage` only holds what may be summed."""
    summable = event.usage_scope in (None, "call") and (tokens or 0) <= LARGEST_INTEGER
    return "gen_ai.usage" if summable else "tracesidecar.usage"
