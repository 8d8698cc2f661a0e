"""The JSON Schema says what the loader says."""

from __future__ import annotations

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


def test_unknown_keys_are_refused_as_the_loader_does() -> None:
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
