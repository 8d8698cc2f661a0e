"""JSON inside of text: attributes and exports that only have text write objects in this way."""

from __future__ import annotations

import msgspec

from tracesidecar.dialects.parsing.values import JsonObject, fields

_decode = msgspec.json.Decoder().decode


def decode_json_text(value: object) -> object:
    """Return the array or object that a text holds as JSON, any other value as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return _decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def object_in_text(value: object) -> JsonObject:
    """Return the members of an object that may be written as text; else nothing."""
    return fields(decode_json_text(value))
