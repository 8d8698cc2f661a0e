"""The records that a store has beside its objects: manifests of batches and of compactions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from tracesidecar.batch import (
    MOST_MANIFEST_BYTES,
    Manifest,
    ManifestObject,
    decode_manifest,
    require_counts,
    require_object,
)
from tracesidecar.encode import COMPACTIONS, MANIFESTS
from tracesidecar.sinks import StoredObjects


class Compaction(msgspec.Struct, frozen=True):
    """One finished compaction: the objects of a partition, and those that they replace.

    `duplicates` counts the rows that were dropped because their event has another row, `conflicts`
    those that got a derived id because another line has their event's.
    """

    version: int
    id: str
    dt: str
    dialect: str
    program: str
    objects: tuple[ManifestObject, ...]
    replaces: tuple[ManifestObject, ...]
    duplicates: int
    conflicts: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for a count that is none, or a name that this program gives to none."""
        require_counts(self.duplicates, self.conflicts)
        for each in (*self.objects, *self.replaces):
            require_object(each)

    @property
    def name(self) -> str:
        """The name of this record in the store."""
        return f"{COMPACTIONS}dt={self.dt}/{self.id}.json"


def compaction_id(replaced: tuple[ManifestObject, ...]) -> str:
    """Return the 16 hex digits that name a compaction of these objects, also when it runs again."""
    listed = "\n".join(
        f"{each.name} {each.sha256}" for each in sorted(replaced, key=lambda each: each.name)
    )
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def manifests(
    store: StoredObjects, on_unreadable: Callable[[str], None]
) -> Iterator[tuple[str, Manifest]]:
    """Yield each batch's manifest with its name; report the names of unreadable ones."""
    for name, size_bytes in store.list(MANIFESTS):
        try:
            yield name, decode_manifest(_content(store, name, size_bytes))
        except msgspec.DecodeError:
            on_unreadable(name)


def compactions(
    store: StoredObjects, on_unreadable: Callable[[str], None]
) -> Iterator[tuple[str, Compaction]]:
    """Yield each compaction's record with its name; report the names of unreadable ones."""
    for name, size_bytes in store.list(COMPACTIONS):
        try:
            yield name, msgspec.json.decode(_content(store, name, size_bytes), type=Compaction)
        except (msgspec.DecodeError, RecursionError):
            on_unreadable(name)


def _content(store: StoredObjects, name: str, size_bytes: int) -> bytes:
    """Read a record; raise DecodeError if it is larger than one can be."""
    blocks: list[bytes] = []
    read = 0
    content = store.read(name) if size_bytes <= MOST_MANIFEST_BYTES else ()
    for block in content:
        blocks.append(block)
        read += len(block)
        if read > MOST_MANIFEST_BYTES:  # it has grown since it was listed
            break
    if max(read, size_bytes) > MOST_MANIFEST_BYTES:
        raise msgspec.DecodeError("it is too large for a manifest")
    return b"".join(blocks)
