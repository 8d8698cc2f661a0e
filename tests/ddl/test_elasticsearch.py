"""The mappings are strict, and accept everything that is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from tests.ddl.lakes import event, rows
from tracesidecar.ddl.elasticsearch import ecs_mapping, event_mapping, templates
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode import ecs
from tracesidecar.encode.canonical import encode

FREE = {"flattened"}
EXAMPLES: dict[str, object] = {"string": "x", "bigint": 1, "double": 0.5, "boolean": True}


def full(**given: object) -> Event:
    """Return an event in which every column has a value."""
    values = {
        column.name: column.values[0] if column.values else EXAMPLES[column.type]
        for column in COLUMNS
    }
    times = {column.name: "2026-09-01T10:00:00.000001Z" for column in COLUMNS if column.is_time}
    return event(
        1,
        **(
            values
            | times
            | {"labels": '{"team":"a"}', "tool_arguments": '{"command":"ls"}'}
            | given
        ),
    )


def strangers(
    document: Mapping[str, Any], mapping: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    """Yield what a strict mapping would reject."""
    for key, value in document.items():
        found = mapping["properties"].get(key)
        if found is None:
            if mapping.get("dynamic") is not True:
                yield f"{path}{key}"
        elif "properties" in found:
            yield from strangers(value, found, f"{path}{key}.")
        elif isinstance(value, dict) and found["type"] not in FREE:
            yield f"{path}{key} is an object"


def test_every_document_of_format_event_is_within_its_mapping() -> None:
    for dialect, one in [*rows(), ("codex", full())]:
        assert list(strangers(msgspec.json.decode(encode(one, dialect)), event_mapping())) == []


@pytest.mark.parametrize("tool_type", ["shell", "edit", "read", "search", "web", "mcp"])
@pytest.mark.parametrize("usage_scope", ["call", "session_total"])
def test_every_document_of_format_ecs_is_within_its_mapping(
    tool_type: str, usage_scope: str
) -> None:
    one = full(
        tool_type=tool_type,
        usage_scope=usage_scope,
        tool_arguments='{"command":"ls","file_path":"/a","url":"https://example.org"}',
        event_kind="tool_call",
    )
    document = msgspec.json.decode(ecs.encode(one, "codex"))
    assert list(strangers(document, ecs_mapping("flattened"))) == []


def test_templates_do_not_overlap() -> None:
    patterns = [
        str(pattern)
        for template in templates()
        for pattern in msgspec.convert(template.body["index_patterns"], list[str])
    ]
    assert len(set(patterns)) == len(patterns) == 8
    streams = [template.name for template in templates() if "data_stream" in template.body]
    assert streams == ["logs-tracesidecar_event", "logs-tracesidecar", "logs-tracesidecar_ocsf"]


def test_opensearch_gets_its_own_name_for_free_objects() -> None:
    found = msgspec.json.encode(
        [template.body for template in templates(flattened="flat_object")]
    ).decode()
    assert "flat_object" in found
    assert "flattened" not in found
