"""What stands in a store beside its objects: the manifests of batches, and those of compactions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from tracesidecar.batch.manifest import Manifest, ManifestObject, decode_manifest
from tracesidecar.encode import COMPACTIONS, MANIFESTS
from tracesidecar.sinks import StoredObjects


class Compaction(msgspec.Struct, frozen=True):
    """StoredObjects of one partition that were written in place of others.

    `duplicates` counts the rows that were folded into an equal event.
    """

    version: int
    id: str
    dt: str
    dialect: str
    program: str
    objects: tuple[ManifestObject, ...]
    replaces: tuple[ManifestObject, ...]
    duplicates: int

    @property
    def name(self) -> str:
        """Where it stands in the store."""
        return f"{COMPACTIONS}dt={self.dt}/{self.id}.json"


def compaction_id(replaced: tuple[ManifestObject, ...]) -> str:
    """16 hex digits that follow from what is replaced: begun again, it is the same."""
    listed = "\n".join(
        f"{each.name} {each.sha256}" for each in sorted(replaced, key=lambda each: each.name)
    )
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def manifests(
    store: StoredObjects, refuse: Callable[[str], None]
) -> Iterator[tuple[str, Manifest]]:
    """Every batch's manifest with its name; `refuse` is told the names of those that are none."""
    for name, _ in store.list(MANIFESTS):
        try:
            yield name, decode_manifest(_content(store, name))
        except msgspec.DecodeError:
            refuse(name)


def compactions(
    store: StoredObjects, refuse: Callable[[str], None]
) -> Iterator[tuple[str, Compaction]]:
    """Every compaction's manifest with its name; `refuse` is told the names of those that are none."""
    for name, _ in store.list(COMPACTIONS):
        try:
            yield name, msgspec.json.decode(_content(store, name), type=Compaction)
        except msgspec.DecodeError:
            refuse(name)


def _content(store: StoredObjects, name: str) -> bytes:
    return b"".join(store.read(name))
