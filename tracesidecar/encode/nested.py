"""Values with dotted paths into one nested object."""

from __future__ import annotations

from collections.abc import Iterable

Path = tuple[tuple[str, ...], str]
"""The keys that lead to an object, and the key within it."""


def path(dotted: str) -> Path:
    """Take a dotted name apart: `a.b.c` is the key `c` of the object at `a`, `b`."""
    *parents, leaf = dotted.split(".")
    return tuple(parents), leaf


def nest(leaves: Iterable[tuple[Path, object]]) -> dict[str, object]:
    """Build the object; a later value of the same path wins.

    No path may lead through another's leaf.
    """
    root: dict[str, object] = {}
    objects: dict[tuple[str, ...], dict[str, object]] = {(): root}
    for (parents, leaf), value in leaves:
        found = objects.get(parents)
        if found is None:
            found = _grown(objects, parents)
        found[leaf] = value
    return root


def _grown(
    objects: dict[tuple[str, ...], dict[str, object]], keys: tuple[str, ...]
) -> dict[str, object]:
    parent = objects.get(keys[:-1])
    if parent is None:
        parent = _grown(objects, keys[:-1])
    parent[keys[-1]] = found = objects[keys] = {}
    return found
