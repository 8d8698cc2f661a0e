"""Objects for Elasticsearch.

Names with dots become nested objects, and JSON text the value of a `flattened` field, which accepts
only objects and has limits of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tracesidecar.dialects import truncate_text

LEAF_LIMIT_BYTES = 32_000
"""A term of Lucene has at most 32,766 bytes, including key and separator; the rest is for the
marker of a truncated text.
"""
DEPTH_LIMIT = 20
"""The field type's own `depth_limit`, by default."""

FieldPath = tuple[tuple[str, ...], str]
"""The keys that lead to an object, and the key in it."""

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


def make_flattened_field(column: str | None) -> dict[str, object] | None:
    """Return the object that the text is, or `{"value": text}` if the field would reject that.

    The field rejects anything but an object, more than 20 levels, NUL in a key, and a leaf above
    the limit; so a text that could hold such a leaf becomes a value too. None stays None.
    """
    if column is None:
        return None
    if column.startswith("{") and not is_too_long(column):
        try:
            found = _decode_object(column)
        except (msgspec.DecodeError, RecursionError):
            found = {}
        if found and _is_accepted(found):
            return found
    return {"value": truncate_text(column, LEAF_LIMIT_BYTES)}


def is_too_long(column: str | None) -> bool:
    """Return whether `make_flattened_field` truncates the text."""
    return (
        column is not None
        and len(column) * 4 > LEAF_LIMIT_BYTES
        and len(column.encode()) > LEAF_LIMIT_BYTES
    )


def split_path(dotted: str) -> FieldPath:
    """Return the path of a name with dots: `a.b.c` is the key `c` of the object at `a`, `b`."""
    *parents, leaf = dotted.split(".")
    return tuple(parents), leaf


def nest(leaves: Iterable[tuple[FieldPath, object]]) -> dict[str, object]:
    """Return the object with these leaves; the last value of a path wins.

    No path may lead through the leaf of another.
    """
    root: dict[str, object] = {}
    objects: dict[tuple[str, ...], dict[str, object]] = {(): root}
    for (parents, leaf), value in leaves:
        found = objects.get(parents)
        if found is None:
            found = _add_object(objects, parents)
        found[leaf] = value
    return root


def _add_object(
    objects: dict[tuple[str, ...], dict[str, object]], keys: tuple[str, ...]
) -> dict[str, object]:
    parent = objects.get(keys[:-1])
    if parent is None:
        parent = _add_object(objects, keys[:-1])
    parent[keys[-1]] = found = objects[keys] = {}
    return found


def _is_accepted(root: dict[str, object]) -> bool:
    level: list[object] = [root]
    for _ in range(DEPTH_LIMIT):
        if any(
            "\0" in key for container in level if isinstance(container, dict) for key in container
        ):
            return False
        level = [
            value
            for container in level
            for value in _values(container)
            if isinstance(value, dict | list)
        ]
        if not level:
            return True
    return False


def _values(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        return container.values()
    return container if isinstance(container, list) else ()
