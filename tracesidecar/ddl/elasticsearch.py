"""Elasticsearch and OpenSearch: index templates for formats `event`, `ecs`, `raw` and `ocsf`.

Each has one for an index, and one for a data stream. A strict mapping rejects a document with an
unknown field, so that a drift is seen on the first day and not in the thousandth field. Only the
mapping of `ocsf` grows: its keys are those of the schema, not of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracesidecar.ddl.statement import ROW
from tracesidecar.dialects import COLUMNS, Column, ColumnType

Mapping = dict[str, object]
PRIORITY = 300
"""Above the 100 of the template that Elasticsearch itself has for `logs-*-*`."""

_DATE: Mapping = {"type": "date"}
_EPOCH: Mapping = {"type": "date", "format": "epoch_millis"}
_LONG: Mapping = {"type": "long"}
_KEYWORD: Mapping = {"type": "keyword", "ignore_above": 1024}
# At four bytes a character, 8191 is just below the longest term of Lucene.
_LONG_KEYWORD: Mapping = {"type": "keyword", "ignore_above": 8191}
_TEXT: Mapping = {"type": "match_only_text"}
_KEPT: Mapping = {"type": "keyword", "index": False, "doc_values": False}

_TYPES: dict[ColumnType, Mapping] = {
    "string": _KEYWORD,
    "bigint": _LONG,
    "double": {"type": "double"},
    "boolean": {"type": "boolean"},
}
_LONG_COLUMNS = {
    "text": _TEXT,
    "error_message": _TEXT,
    "tool_arguments": _TEXT,
    "tool_result": _TEXT,
    "raw": _KEPT,
    "labels": _LONG_KEYWORD,
    "command": _LONG_KEYWORD,
    "file_path": _LONG_KEYWORD,
    "url": _LONG_KEYWORD,
}

_ECS_OTHERS: dict[str, Mapping] = {
    "event.duration": _LONG,
    "event.kind": _KEYWORD,
    "event.category": _KEYWORD,
    "event.type": _KEYWORD,
    "event.module": _KEYWORD,
    "event.dataset": _KEYWORD,
    "service.name": _KEYWORD,
    **dict.fromkeys(
        (
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
        ),
        _KEYWORD,
    ),
    "tracesidecar.schema_version": _LONG,
    "tracesidecar.usage.input_tokens": _LONG,
    "tracesidecar.usage.output_tokens": _LONG,
    "ecs.version": _KEYWORD,
}
"""Fields of format `ecs` that belong to no column, or do not have the type of the column."""


_OCSF_TEXTS: dict[str, Mapping] = {
    **dict.fromkeys(
        (
            "message",
            "status_detail",
            "process.cmd_line",
            "unmapped.command",
            "unmapped.tool_arguments",
            "unmapped.tool_result",
        ),
        _TEXT,
    ),
    **dict.fromkeys(("api.request.data", "api.response.data", "api.response.error_message"), _TEXT),
    **dict.fromkeys(
        ("time", "metadata.logged_time", "trace.span.start_time", "trace.span.end_time"), _EPOCH
    ),
    "@timestamp": _DATE,
    "raw_data": _KEPT,
}
"""Fields of format `ocsf` that need another type than their JSON type suggests."""


@dataclass(frozen=True, slots=True)
class Template:
    """One index template; `body` is the body of `PUT _index_template/<name>`."""

    name: str
    purpose: str
    body: Mapping


def templates(*, flattened: str = "flattened") -> tuple[Template, ...]:
    """Return all six templates.

    `flattened` is the name of the type for objects with free keys; OpenSearch calls it
    `flat_object`.
    """
    events, ecs, ocsf = event_mapping(), ecs_mapping(flattened), ocsf_mapping()
    return (
        _template(
            "tracesidecar-event",
            "format event, an index: `_id` is the event_id",
            ["tracesidecar-event-*"],
            events,
        ),
        _template(
            "logs-tracesidecar_event",
            "format event, a data stream",
            ["logs-tracesidecar_event-*"],
            events,
            is_stream=True,
        ),
        _template(
            "tracesidecar-ecs",
            "formats ecs and raw, an index: `_id` is the event.id",
            ["tracesidecar-ecs-*", "tracesidecar-raw-*"],
            ecs,
        ),
        _template(
            "logs-tracesidecar",
            "formats ecs and raw, data streams",
            ["logs-tracesidecar.*-*", "logs-tracesidecar_raw-*"],
            ecs,
            is_stream=True,
        ),
        _template(
            "tracesidecar-ocsf",
            "format ocsf, an index: `_id` is the metadata.uid",
            ["tracesidecar-ocsf-*"],
            ocsf,
        ),
        _template(
            "logs-tracesidecar_ocsf",
            "format ocsf, a data stream",
            ["logs-tracesidecar_ocsf-*"],
            ocsf,
            is_stream=True,
        ),
    )


def event_mapping() -> Mapping:
    """Return the mapping of format `event`: each column under its own name."""
    columns = {column.name: _LONG_COLUMNS.get(column.name) or _type_of(column) for column in ROW}
    return {"dynamic": "strict", "properties": {"@timestamp": _DATE, **columns}}


def ecs_mapping(flattened: str) -> Mapping:
    """Return the mapping of format `ecs`: each column under its name in ECS.

    Any key below `labels` is a keyword.
    """
    fields: dict[str, Mapping] = {
        column.ecs: _LONG_COLUMNS.get(column.name) or _type_of(column)
        for column in COLUMNS
        if column.ecs and column.ecs != "labels"
    }
    fields |= _ECS_OTHERS
    fields |= {f"gen_ai.tool.call.{side}": {"type": flattened} for side in ("arguments", "result")}
    properties: Mapping = {"labels": {"type": "object", "dynamic": True}}
    for name, mapping in fields.items():
        _put(properties, name.split("."), mapping)
    labels: object = {"labels": {"path_match": "labels.*", "mapping": _KEYWORD}}
    return {"dynamic": "strict", "dynamic_templates": [labels], "properties": properties}


def ocsf_mapping() -> Mapping:
    """Return the mapping of format `ocsf`: texts and times.

    Any other field gets the type of its first value.
    """
    properties: Mapping = {}
    for name, mapping in _OCSF_TEXTS.items():
        _put(properties, name.split("."), mapping)
    strings: object = {"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}}
    return {"date_detection": False, "dynamic_templates": [strings], "properties": properties}


def _type_of(column: Column) -> Mapping:
    return _DATE if column.is_time else _TYPES[column.type]


def _put(properties: Mapping, keys: list[str], mapping: Mapping) -> None:
    first, *rest = keys
    if not rest:
        properties[first] = mapping
        return
    inner = properties.setdefault(first, {})
    if isinstance(inner, dict):
        _put(inner.setdefault("properties", {}), rest, mapping)


def _template(
    name: str, purpose: str, patterns: list[str], mapping: Mapping, *, is_stream: bool = False
) -> Template:
    body: Mapping = {
        "index_patterns": patterns,
        "priority": PRIORITY,
        "template": {"mappings": mapping},
        "_meta": {"made_by": "tracesidecar ddl"},
    }
    return Template(name, purpose, body | ({"data_stream": {}} if is_stream else {}))
