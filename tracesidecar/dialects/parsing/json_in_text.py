"""JSON that stands in text: attributes and exports that know only text write objects so."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tracesidecar.dialects.parsing.values import fields

_decode = msgspec.json.Decoder().decode


def decoded(value: object) -> object:
    """What the JSON in a text says; anything else, and text that is no array or object, as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return _decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def members(value: object) -> Mapping[str, object]:
    """The members of an object, also where it is written in text; of anything else none."""
    return fields(decoded(value))
