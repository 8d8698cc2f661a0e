"""Which partitions of a lake are to be rewritten, and what of earlier compactions is left to
remove.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from tracesidecar.batch.manifest import ManifestObject
from tracesidecar.ddl import LAKE_ROOTS
from tracesidecar.lake.records import compactions, manifests
from tracesidecar.sinks import StoredObjects

_EVENTS = re.compile(rf"(?:{'|'.join(LAKE_ROOTS.values())})/dt=([0-9-]+)/dialect=([^/]+)/[^/]+")
_COMPACTED = re.compile(
    rf"{LAKE_ROOTS['parquet']}/dt=[^/]+/dialect=[^/]+/compact-[0-9a-f]{{16}}-[0-9]{{5}}\.parquet"
)


class Partition(NamedTuple):
    """One day of one dialect."""

    dt: str
    dialect: str

    def name(self, compaction: str, number: int) -> str:
        """What an object of a compaction is called: the same whenever it is begun again."""
        return f"{LAKE_ROOTS['parquet']}/dt={self.dt}/dialect={self.dialect}/compact-{compaction}-{number:05d}.parquet"


@dataclass(slots=True)
class Survey:
    """`due` are the partitions to rewrite with all their objects; `remains` are objects whose rows
    are there already.
    """

    due: dict[Partition, tuple[ManifestObject, ...]] = field(default_factory=dict)
    remains: tuple[str, ...] = ()


def survey(
    store: StoredObjects, before: str, under_way: frozenset[str], refuse: list[str]
) -> Survey:
    """Look at the days before `before` (YYYY-MM-DD).

    StoredObjects that are under way, or in no manifest, are left alone; `refuse` gets unreadable
    manifests.
    """
    there = {name for prefix in LAKE_ROOTS.values() for name, _ in store.list(f"{prefix}/")}
    shipped = [each for _, manifest in manifests(store, refuse.append) for each in manifest.objects]
    made = [compaction for _, compaction in compactions(store, refuse.append)]
    written = [each for compaction in made for each in compaction.objects]
    replaced = {each.name for compaction in made for each in compaction.replaces}
    found: dict[Partition, list[ManifestObject]] = defaultdict(list)
    for each in (*shipped, *written):
        partition = _partition(each.name)
        if (
            partition is not None
            and partition.dt < before
            and each.name not in replaced | under_way
        ):
            found[partition].append(each)
    done = {frozenset(each.name for each in compaction.objects) for compaction in made}
    due = {
        partition: tuple(sorted(objects, key=lambda each: each.name))
        for partition, objects in sorted(found.items())
        if _is_due(objects, done)
    }
    unfinished = {name for name in there if _COMPACTED.fullmatch(name)} - {
        each.name for each in written
    }
    return Survey(due, tuple(sorted(((replaced & there) | unfinished) - under_way)))


def _is_due(objects: list[ManifestObject], done: set[frozenset[str]]) -> bool:
    """One Parquet file cannot be made better, nor can what one compaction has written."""
    names = frozenset(each.name for each in objects)
    return names not in done and not (
        len(names) == 1 and all(name.endswith(".parquet") for name in names)
    )


def _partition(name: str) -> Partition | None:
    match = _EVENTS.fullmatch(name)
    return Partition(match[1], match[2]) if match is not None else None
