"""Rewrites partitions of past days to few large files.

A crash at any point leaves a store that `verify` still proves, and work that the next run repeats.

The new objects are written first, then a record that says what they replace, and then the old
objects are removed. Until the last step readers see rows twice; queries that deduplicate by event
or call, as the views do, are correct all the time.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tracesidecar import __version__
from tracesidecar.batch import ManifestObject
from tracesidecar.lake.contents import examine
from tracesidecar.lake.partitions import CompactionPlan, Partition, plan_compaction
from tracesidecar.lake.records import Compaction, compaction_id
from tracesidecar.lake.rewrite import RewriteLimits, rewrite
from tracesidecar.lake.rows import CannotRewrite
from tracesidecar.sinks import StoredObjects

_SCRATCH = "compact-"


@dataclass(frozen=True, slots=True)
class Compacted:
    """One partition before and after. `obstacle` says why it was left as it is, if it was."""

    partition: Partition
    before: tuple[ManifestObject, ...]
    after: tuple[ManifestObject, ...] = ()
    duplicates: int = 0
    conflicts: int = 0
    obstacle: str = ""


class Compactor:
    """Compacts the lake of one store.

    Only one process may do this at a time: it removes unfinished objects as leftovers.
    """

    def __init__(self, store: StoredObjects, scratch: str, limits: RewriteLimits) -> None:
        """`scratch` is a folder with room for a partition, as it is and decompressed."""
        self._store = store
        self._scratch = scratch
        self._limits = limits

    def plan(
        self, before: str, under_way: frozenset[str]
    ) -> dict[Partition, tuple[ManifestObject, ...]]:
        """Return what would be rewritten of the days before `before` (YYYY-MM-DD)."""
        return self._plan(before, under_way).due

    def run(self, before: str, under_way: frozenset[str]) -> Iterator[Compacted]:
        """Remove the leftovers of earlier runs, then rewrite and yield partition after partition.

        One that cannot be rewritten does not stop the others.
        """
        plan = self._plan(before, under_way)
        self._clean_scratch()
        for name in plan.leftovers:
            self._store.remove(name)
        for partition, objects in plan.due.items():
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._scratch) as folder:
                try:
                    yield self._rewrite(partition, objects, folder)
                except CannotRewrite as error:
                    yield Compacted(partition, objects, obstacle=str(error))
                except OSError as error:
                    yield Compacted(
                        partition,
                        objects,
                        obstacle=f"could not write below {self._scratch}: {error.strerror}; "
                        "make room there, or correct its rights",
                    )

    def _plan(self, before: str, under_way: frozenset[str]) -> CompactionPlan:
        unreadable: list[str] = []
        plan = plan_compaction(self._store, before, under_way, unreadable)
        if unreadable:
            raise CannotRewrite(
                f"{unreadable[0]} is not a manifest; without knowing its objects, "
                "nothing is rewritten"
            )
        return plan

    def _clean_scratch(self) -> None:
        for left in glob.glob(os.path.join(glob.escape(self._scratch), f"{_SCRATCH}*")):
            shutil.rmtree(left)

    def _rewrite(
        self, partition: Partition, objects: tuple[ManifestObject, ...], folder: str
    ) -> Compacted:
        paths = [self._fetch(each, folder, number) for number, each in enumerate(objects)]
        rewritten = rewrite(paths, folder, self._limits)
        expected = sum(each.rows for each in objects)
        if rewritten.rows != expected:
            raise CannotRewrite(
                f"it has {rewritten.rows} rows, but its manifests say {expected}: run verify"
            )
        id_ = compaction_id(objects)
        after = tuple(
            _describe(path, partition.object_name(id_, number))
            for number, path in enumerate(rewritten.files)
        )
        if sum(each.rows for each in after) != expected - rewritten.duplicates:
            raise CannotRewrite(
                f"the rewrite has {sum(each.rows for each in after)} rows, "
                f"expected were {expected - rewritten.duplicates}"
            )
        for path, each in zip(rewritten.files, after, strict=True):
            self._store.put(each.name, path)
        self._record(
            Compaction(
                1,
                id_,
                *partition,
                __version__,
                after,
                objects,
                rewritten.duplicates,
                rewritten.conflicts,
            ),
            folder,
        )
        for each in objects:
            self._store.remove(each.name)
        return Compacted(partition, objects, after, rewritten.duplicates, rewritten.conflicts)

    def _record(self, compaction: Compaction, folder: str) -> None:
        path = os.path.join(folder, "manifest.json")
        with open(path, "wb") as file:
            file.write(msgspec.json.encode(compaction) + b"\n")
        self._store.put(compaction.name, path)

    def _fetch(self, each: ManifestObject, folder: str, number: int) -> str:
        """Copy an object; return the path of the copy.

        It is compared with its manifest: a rewrite must not make an altered object look correct.
        Who may write in the lake could replace it after that, by a link to another file.
        """
        path = os.path.join(folder, f"{number:06d}-{os.path.basename(each.name)}")
        try:
            found = examine(each.name, self._copy(each.name, path), each.bytes)
        except FileNotFoundError:
            raise CannotRewrite(f"{each.name} is missing: run verify") from None
        if (found.sha256, found.rows) != (each.sha256, each.rows):
            raise CannotRewrite(f"{each.name} is not what was shipped: run verify")
        return path

    def _copy(self, name: str, path: str) -> Iterator[bytes]:
        with open(path, "wb") as file:
            for block in self._store.read(name):
                file.write(block)
                yield block


def _describe(path: str, name: str) -> ManifestObject:
    with open(path, "rb") as file:
        found = examine(name, iter(lambda: file.read(1 << 20), b""))
    return ManifestObject(name, found.sha256, found.bytes, found.rows or 0)
