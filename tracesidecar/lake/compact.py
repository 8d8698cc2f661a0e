"""Rewrite closed partitions to few large files; a crash at any point leaves a store that can be
proved, and work that is begun again.

New objects first, then a manifest that says what they replace, then the old objects go. Between the
second and the last of these steps readers see rows twice; what folds by event or call, as the views
do, is right all the time.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tracesidecar import __version__
from tracesidecar.batch.manifest import ManifestObject
from tracesidecar.lake.contents import examine
from tracesidecar.lake.partitions import Partition, survey
from tracesidecar.lake.records import Compaction, compaction_id
from tracesidecar.lake.rewrite import Limits, rewrite
from tracesidecar.lake.rows import CannotRewrite
from tracesidecar.sinks import StoredObjects

_SCRATCH = "compact-"


@dataclass(frozen=True, slots=True)
class Compacted:
    """One partition: what it was and what it is. `refused` says why it was left as it is."""

    partition: Partition
    before: tuple[ManifestObject, ...]
    after: tuple[ManifestObject, ...] = ()
    duplicates: int = 0
    refused: str = ""


class Compactor:
    """Compacts the lake of one store.

    One process at a time: it takes unfinished objects for remains.
    """

    def __init__(self, store: StoredObjects, scratch: str, limits: Limits) -> None:
        """`scratch` is a folder of this machine with room for a partition, decompressed."""
        self._store = store
        self._scratch = scratch
        self._limits = limits

    def plan(
        self, before: str, under_way: frozenset[str]
    ) -> dict[Partition, tuple[ManifestObject, ...]]:
        """Say what would be rewritten of the days before `before` (YYYY-MM-DD)."""
        return self._survey(before, under_way)[0]

    def run(self, before: str, under_way: frozenset[str]) -> Iterator[Compacted]:
        """Remove the remains of earlier runs, then rewrite partition after partition; a refused one
        does not hold up the others.
        """
        due, remains = self._survey(before, under_way)
        self._clean()
        for name in remains:
            self._store.remove(name)
        for partition, objects in due.items():
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._scratch) as folder:
                try:
                    yield self._rewrite(partition, objects, folder)
                except CannotRewrite as error:
                    yield Compacted(partition, objects, refused=str(error))
                except OSError as error:
                    yield Compacted(
                        partition,
                        objects,
                        refused=f"{self._scratch} cannot be used: {error.strerror}",
                    )

    def _survey(
        self, before: str, under_way: frozenset[str]
    ) -> tuple[dict[Partition, tuple[ManifestObject, ...]], Sequence[str]]:
        unreadable: list[str] = []
        found = survey(self._store, before, under_way, unreadable)
        if unreadable:
            raise CannotRewrite(
                f"{unreadable[0]} is not a manifest: what it stands for is not known, so nothing is rewritten"
            )
        return found.due, found.remains

    def _clean(self) -> None:
        for left in glob.glob(os.path.join(glob.escape(self._scratch), f"{_SCRATCH}*")):
            shutil.rmtree(left)

    def _rewrite(
        self, partition: Partition, objects: tuple[ManifestObject, ...], folder: str
    ) -> Compacted:
        paths = [self._fetched(each, folder, number) for number, each in enumerate(objects)]
        rewritten = rewrite(paths, folder, self._limits)
        expected = sum(each.rows for each in objects)
        if rewritten.rows != expected:
            raise CannotRewrite(f"it has {rewritten.rows} rows, and its manifests say {expected}")
        id_ = compaction_id(objects)
        after = tuple(
            _described(path, partition.name(id_, number))
            for number, path in enumerate(rewritten.files)
        )
        if sum(each.rows for each in after) != expected - rewritten.duplicates:
            raise CannotRewrite(
                f"the rewrite has {sum(each.rows for each in after)} rows of {expected - rewritten.duplicates}"
            )
        for path, each in zip(rewritten.files, after, strict=True):
            self._store.put(each.name, path)
        self._record(
            Compaction(1, id_, *partition, __version__, after, objects, rewritten.duplicates),
            folder,
        )
        for each in objects:
            self._store.remove(each.name)
        return Compacted(partition, objects, after, rewritten.duplicates)

    def _record(self, compaction: Compaction, folder: str) -> None:
        path = os.path.join(folder, "manifest.json")
        with open(path, "wb") as file:
            file.write(msgspec.json.encode(compaction) + b"\n")
        self._store.put(compaction.name, path)

    def _fetched(self, each: ManifestObject, folder: str, number: int) -> str:
        """Bring the object here if it is not, and hold it against its manifest: what was altered
        must not be made to look right.
        """
        local = self._store.local(each.name)
        path = local or os.path.join(folder, f"{number:06d}-{os.path.basename(each.name)}")
        try:
            found = examine(
                each.name, self._store.read(each.name) if local else self._copied(each.name, path)
            )
        except FileNotFoundError:
            raise CannotRewrite(f"{each.name} is missing: see verify") from None
        if (found.sha256, found.rows) != (each.sha256, each.rows):
            raise CannotRewrite(f"{each.name} is not what was shipped: see verify")
        return path

    def _copied(self, name: str, path: str) -> Iterator[bytes]:
        with open(path, "wb") as file:
            for block in self._store.read(name):
                file.write(block)
                yield block


def _described(path: str, name: str) -> ManifestObject:
    with open(path, "rb") as file:
        found = examine(name, iter(lambda: file.read(1 << 20), b""))
    return ManifestObject(name, found.sha256, found.bytes, found.rows or 0)
