"""JSON that stands in text: attributes and exports that know only text write objects so."""

from __future__ import annotations

import msgspec

from tracesidecar.dialects.parsing.values import JsonObject, fields

_decode = msgspec.json.Decoder().decode


def decode_json_text(value: object) -> object:
    """What the JSON in a text says; anything else, and text that is no array or object, as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return _decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def object_in_text(value: object) -> JsonObject:
    """The members of an object, also where it is written in text; of anything else none."""
    return fields(decode_json_text(value))
