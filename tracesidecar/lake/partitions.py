"""Which partitions of a lake to compact, and which objects of earlier compactions to remove."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from tracesidecar.batch import ManifestObject
from tracesidecar.ddl import LAKE_ROOTS
from tracesidecar.encode import parse_object_name, partition_folder
from tracesidecar.lake.records import compactions, manifests
from tracesidecar.sinks import StoredObjects

_COMPACTED = re.compile(
    partition_folder(LAKE_ROOTS["parquet"], "[^/]+", "[^/]+")
    + r"/compact-[0-9a-f]{16}-[0-9]{5}\.parquet"
)


class Partition(NamedTuple):
    """One day (UTC, YYYY-MM-DD) of one dialect."""

    dt: str
    dialect: str

    def object_name(self, compaction: str, number: int) -> str:
        """Return the name of an object of a compaction, by the compaction's id."""
        folder = partition_folder(LAKE_ROOTS["parquet"], self.dt, self.dialect)
        return f"{folder}/compact-{compaction}-{number:05d}.parquet"


@dataclass(slots=True)
class CompactionPlan:
    """What there is to do.

    `due` has the partitions to rewrite, each with all of its objects; `leftovers` are objects whose
    rows are stored elsewhere already.
    """

    due: dict[Partition, tuple[ManifestObject, ...]] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()


def is_compacted(name: str) -> bool:
    """Return whether a compaction wrote the object of this name."""
    return _COMPACTED.fullmatch(name) is not None


def plan_compaction(
    store: StoredObjects, before: str, under_way: frozenset[str], unreadable: list[str]
) -> CompactionPlan:
    """Plan for the days before `before` (YYYY-MM-DD).

    Objects that are being sent (`under_way`) or in no manifest are left alone. The names of
    unreadable manifests are added to `unreadable`.
    """
    existing = {name for prefix in LAKE_ROOTS.values() for name, _ in store.list(f"{prefix}/")}
    shipped = [
        each for _, manifest in manifests(store, unreadable.append) for each in manifest.objects
    ]
    finished = [compaction for _, compaction in compactions(store, unreadable.append)]
    written = [each for compaction in finished for each in compaction.objects]
    replaced = {each.name for compaction in finished for each in compaction.replaces}
    found: dict[Partition, list[ManifestObject]] = defaultdict(list)
    for each in (*shipped, *written):
        partition = _partition(each.name)
        if (
            partition is not None
            and partition.dt < before
            and each.name not in replaced | under_way
        ):
            found[partition].append(each)
    done = {frozenset(each.name for each in compaction.objects) for compaction in finished}
    due = {
        partition: tuple(sorted(objects, key=lambda each: each.name))
        for partition, objects in sorted(found.items())
        if _is_due(objects, done)
    }
    unfinished = {name for name in existing if is_compacted(name)} - {each.name for each in written}
    return CompactionPlan(due, tuple(sorted(((replaced & existing) | unfinished) - under_way)))


def _is_due(objects: list[ManifestObject], done: set[frozenset[str]]) -> bool:
    """Return whether compacting helps: not one Parquet file, nor the output of one compaction."""
    names = frozenset(each.name for each in objects)
    return names not in done and not (
        len(names) == 1 and all(name.endswith(".parquet") for name in names)
    )


def _partition(name: str) -> Partition | None:
    found = parse_object_name(name)
    if found is None or not found.dialect or found.root not in LAKE_ROOTS.values():
        return None
    return Partition(found.day, found.dialect)
