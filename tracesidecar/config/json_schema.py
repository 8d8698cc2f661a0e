"""The JSON Schema of the configuration, for editors and other programs."""

from __future__ import annotations

from typing import Any

import msgspec

from tracesidecar.config.schema import Configuration
from tracesidecar.sinks import SINK_PACKAGES, sink_type
from tracesidecar.units import Seconds, Secret, Size

_CUSTOM: dict[object, dict[str, Any]] = {
    Size: {
        "type": "string",
        "pattern": "^[0-9]+ *(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)$",
        "examples": ["48MiB"],
    },
    Seconds: {
        "type": "string",
        "pattern": "^[0-9]+(\\.[0-9]+)? *(ms|s|m|h|d)$",
        "examples": ["25s"],
    },
    Secret: {"type": "string"},
}


def configuration_schema() -> dict[str, Any]:
    """Return the schema, built from the option structs, with one alternative per sink type."""
    options = {name: sink_type(name).options for name in sorted(SINK_PACKAGES)}
    roots, definitions = msgspec.json.schema_components(
        [Configuration, *options.values()],
        schema_hook=_CUSTOM.__getitem__,
        ref_template="#/$defs/{name}",
    )
    document = definitions["Configuration"]
    document["properties"]["state_directory"]["description"] = (
        "default $STATE_DIRECTORY, else the user's state directory"
    )
    document["required"] = ["source", "sink"]
    document["properties"]["sink"] = {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": list(roots[1:])},
    }
    for name, root in zip(options, roots[1:], strict=True):
        definitions[root["$ref"].rsplit("/", 1)[1]]["properties"]["type"] = {"const": name}
    del definitions["Configuration"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "title": "tracesidecar",
        "$defs": definitions,
    }
