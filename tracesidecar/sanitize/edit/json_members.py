"""JSON decoded so that no member of an object is lost, even if its name is repeated."""

from __future__ import annotations

import json


class Members(list[tuple[str, object]]):
    """The members of an object in order, including repeated names."""


def decode_members(raw: bytes) -> object:
    """Decode a line; each object becomes `Members`."""
    value: object = json.loads(raw, object_pairs_hook=Members)
    return value
