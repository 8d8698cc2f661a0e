"""Prove from the store alone that every range of every segment is there, once and unaltered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracesidecar.batch.layout import manifest_name
from tracesidecar.batch.manifest import Manifest, ManifestObject
from tracesidecar.lake.contents import examine
from tracesidecar.lake.coverage import Coverage
from tracesidecar.lake.proof import Proof
from tracesidecar.lake.records import Compaction, compactions, manifests
from tracesidecar.sinks import StoredObjects

_OBJECT = re.compile(r"(?:[a-z]+/)?v1/dt=[^/]+/(?:dialect=[^/]+/)?[^/]+")
_COMPACTED = re.compile(r"parquet/v1/.+/compact-[0-9a-f]{16}-[0-9]{5}\.parquet")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before the store is looked at: objects of batches under way, and whether the
    sink may begin in the middle of a file.
    """

    under_way: frozenset[str] = frozenset()
    begins_anywhere: bool = False


def verify(
    store: StoredObjects,
    known: Known | None = None,
    *,
    tell: Callable[[int], object] = lambda _count: None,
) -> Proof:
    """Read everything and hold it against the manifests; `tell` is told of each number of bytes
    read. Raises RetryLater when the store is away.
    """
    return _Verification(store, known or Known(), tell).prove()


def size_of(store: StoredObjects) -> int:
    """The bytes that `verify` will read."""
    return sum(size_bytes for name, size_bytes in store.list("") if _OBJECT.fullmatch(name))


class _Verification:
    def __init__(self, store: StoredObjects, known: Known, tell: Callable[[int], object]) -> None:
        self._store = store
        self._known = known
        self._tell = tell
        self._proof = Proof()
        self._expected: dict[str, ManifestObject] = {}

    def prove(self) -> Proof:
        """List before the manifests are read: what a batch adds meanwhile is then not in the list,
        or in a manifest.
        """
        there = {name for name, _ in self._store.list("") if _OBJECT.fullmatch(name)}
        for name, manifest in manifests(self._store, self._unreadable):
            self._batch(name, manifest)
        made = [compaction for _, compaction in compactions(self._store, self._unreadable)]
        for compaction in made:
            for each in compaction.objects:
                self._expect(compaction.name, each)
        for compaction in made:
            self._compaction(compaction)
        replaced = {each.name: each for compaction in made for each in compaction.replaces}
        self._objects(there, replaced)
        for coverage in self._proof.coverages:
            self._range(coverage)
        return self._proof

    def _batch(self, name: str, manifest: Manifest) -> None:
        self._proof.batches += 1
        self._proof.coverages.add(manifest)
        if name != manifest_name(manifest.time, manifest.batch):
            self._proof.problem("misplaced", name, f"it is the manifest of batch {manifest.batch}")
        records = [each.lines if each.records < 0 else each.records for each in manifest.ranges]
        if sum(records) != sum(each.rows for each in manifest.objects):
            self._proof.problem(
                "rows",
                name,
                f"its ranges have {sum(records)} records, its objects {sum(each.rows for each in manifest.objects)}",
            )
        for each in manifest.objects:
            self._expect(name, each)

    def _compaction(self, compaction: Compaction) -> None:
        self._proof.compactions += 1
        self._proof.duplicates += compaction.duplicates
        before, after = (
            sum(each.rows for each in objects)
            for objects in (compaction.replaces, compaction.objects)
        )
        if before - compaction.duplicates != after:
            self._proof.problem(
                "rows",
                compaction.name,
                f"it replaced {before} rows by {after}, {compaction.duplicates} of them twice",
            )
        for each in compaction.replaces:
            if self._expected.get(each.name) not in {each, None}:
                self._proof.problem(
                    "altered",
                    each.name,
                    f"{compaction.name} replaced other content than what was shipped",
                )

    def _expect(self, by: str, each: ManifestObject) -> None:
        if each.name in self._expected:
            self._proof.problem("twice", each.name, f"a second manifest names it: {by}")
        self._expected[each.name] = each

    def _objects(self, there: set[str], replaced: dict[str, ManifestObject]) -> None:
        for name, each in sorted(self._expected.items()):
            if name not in replaced:
                self._object(each)
            elif name in there:
                self._proof.note(
                    "replaced",
                    name,
                    "a compaction has replaced it and could not remove it yet: its rows are seen twice",
                )
        for name in sorted(replaced.keys() - self._expected.keys()):
            self._proof.problem(
                "unknown", name, "a compaction replaced it, and no manifest names it"
            )
        for name in sorted(there - self._expected.keys() - replaced.keys()):
            self._stray(name)

    def _stray(self, name: str) -> None:
        if _COMPACTED.fullmatch(name):
            self._proof.note(
                "unfinished",
                name,
                "a compaction was interrupted: its rows are seen twice until it is run again",
            )
        elif name in self._known.under_way:
            self._proof.note("under_way", name, "its batch is being sent")
        else:
            self._proof.problem("stray", name, "no manifest names it")

    def _object(self, each: ManifestObject) -> None:
        try:
            found = examine(each.name, self._told(each.name))
        except FileNotFoundError:
            self._proof.problem("missing", each.name, f"it should have {each.rows} rows")
            return
        if (found.sha256, found.bytes) != (each.sha256, each.bytes):
            self._proof.problem(
                "altered",
                each.name,
                f"SHA-256 {found.sha256} of {found.bytes} bytes, shipped were {each.sha256} of {each.bytes}",
            )
        elif found.rows != each.rows:
            self._proof.problem(
                "rows",
                each.name,
                f"it has {'no readable' if found.rows is None else found.rows} rows, its manifest says {each.rows}",
            )
        else:
            self._proof.objects += 1
            self._proof.rows += each.rows
            self._proof.bytes += each.bytes

    def _told(self, name: str) -> Iterator[bytes]:
        for block in self._store.read(name):
            self._tell(len(block))
            yield block

    def _range(self, coverage: Coverage) -> None:
        key = coverage.key
        where = f"{key.host} {key.source} {coverage.path} (segment {key.segment}, generation {key.generation})"
        for start, end in coverage.gaps():
            if start == 0 and self._known.begins_anywhere:
                continue
            self._proof.problem("gap", where, f"no batch has the bytes {start} to {end}")
        for start, end, one, other in coverage.overlaps():
            self._proof.problem(
                "overlap", where, f"the bytes {start} to {end} are in {one} and in {other}"
            )
        for start, end, batch in coverage.strangers():
            self._proof.problem(
                "overlap",
                where,
                f"{batch} delivers {start} to {end} after all, which no batch has passed over",
            )

    def _unreadable(self, name: str) -> None:
        self._proof.problem("unreadable", name, "it is not a manifest")
