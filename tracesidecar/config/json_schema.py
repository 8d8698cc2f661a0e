"""The JSON Schema of the configuration, for editors and other programs."""

from __future__ import annotations

from collections.abc import Mapping
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

_NAMES = {
    "DaemonOptions": "daemon",
    "SourceOptions": "source",
    "SourceLimits": "source.limits",
    "RedactionOptions": "redaction",
    "CustomRule": "redaction.rule",
    "RedactionTest": "redaction.test",
    "QuarantineOptions": "quarantine",
    "SinkOptions": "sink",
    "BatchLimits": "sink.batch",
    "TlsOptions": "sink.tls",
    "Bearer": "sink.auth.bearer",
    "Basic": "sink.auth.basic",
    "Header": "sink.auth.header",
    "OAuth2": "sink.auth.oauth2",
    "Signature": "sink.signature",
    "Expectation": "sink.http.expect",
    "Sasl": "sink.kafka.sasl",
    "ObjectLock": "sink.s3.object_lock",
}
"""Structs and the names of their definitions, which stay when a struct is renamed or moved. That of
a sink type is `sink.` and the type.
"""


def configuration_schema() -> dict[str, Any]:
    """Return the schema, built from the option structs, with one alternative per sink type."""
    options = {name: sink_type(name).options for name in sorted(SINK_PACKAGES)}
    roots, definitions = msgspec.json.schema_components(
        [Configuration, *options.values()], schema_hook=_CUSTOM.__getitem__, ref_template="{name}"
    )
    names = dict(_NAMES)
    for name, root in zip(options, roots[1:], strict=True):
        definition = definitions[root["$ref"]]
        definition["properties"]["type"] = {"const": name}
        names[root["$ref"]] = f"sink.{name}"
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
    del definitions["Configuration"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_rename_references(document, names),
        "title": "tracesidecar",
        "$defs": {
            names[key]: {**_rename_references(definition, names), "title": names[key]}
            for key, definition in definitions.items()
        },
    }


def _rename_references(part: Any, names: Mapping[str, str]) -> Any:
    """Return a part of a schema with every reference by the definition's own name."""
    if isinstance(part, list):
        return [_rename_references(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _rename_references(value, names) for key, value in part.items()}
    if "$ref" in part:
        renamed["$ref"] = f"#/$defs/{names[part['$ref']]}"
    if "discriminator" in part:
        mapping = part["discriminator"]["mapping"]
        renamed["discriminator"]["mapping"] = {
            tag: f"#/$defs/{names[name]}" for tag, name in mapping.items()
        }
    return renamed
