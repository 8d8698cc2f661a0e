"""The JSON Schema says what the loader says."""

from __future__ import annotations

import json
import re

from tracesidecar.config.json_schema import configuration_schema
from tracesidecar.sinks.registry import SINK_PACKAGES


def test_every_sink_type_is_an_alternative_with_its_own_name() -> None:
    schema = configuration_schema()
    references = [
        alternative["$ref"].removeprefix("#/$defs/")
        for alternative in schema["properties"]["sink"]["items"]["anyOf"]
    ]
    assert [schema["$defs"][name]["properties"]["type"] for name in references] == [
        {"const": name} for name in sorted(SINK_PACKAGES)
    ]


def test_every_reference_leads_somewhere() -> None:
    schema = configuration_schema()
    assert set(_references(schema)) <= {f"#/$defs/{name}" for name in schema["$defs"]}


def test_definitions_are_named_by_the_keys_and_not_by_modules_or_classes() -> None:
    definitions = configuration_schema()["$defs"]
    text = json.dumps(configuration_schema())
    assert "tracesidecar." not in text.replace("tracesidecar.toml", "")
    assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", name) for name in definitions)
    assert {name: definition["title"] for name, definition in definitions.items()} == {
        name: name for name in definitions
    }
    assert {f"sink.{name}" for name in SINK_PACKAGES} < definitions.keys()
    mappings = [
        part["discriminator"]["mapping"]
        for definition in definitions.values()
        for property_ in definition["properties"].values()
        for part in (property_, *property_.get("anyOf", ()))
        if "discriminator" in part
    ]
    assert mappings
    assert {target for mapping in mappings for target in mapping.values()} <= {
        f"#/$defs/{name}" for name in definitions
    }


def test_unknown_keys_are_rejected_as_the_loader_does() -> None:
    schema = configuration_schema()
    assert schema["additionalProperties"] is False
    assert all(
        definition["additionalProperties"] is False for definition in schema["$defs"].values()
    )


def _references(part: object) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in _references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for item in part.values() for found in _references(item)]
