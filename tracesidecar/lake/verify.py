"""Proves from the store alone that every range of every segment is stored, once and unaltered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tracesidecar.batch import Manifest, ManifestObject, manifest_name
from tracesidecar.encode import FORMATS, lake_root, partition_folder
from tracesidecar.lake.contents import examine
from tracesidecar.lake.coverage import Coverage
from tracesidecar.lake.findings import Proof
from tracesidecar.lake.inventory import ObjectInventory
from tracesidecar.lake.partitions import is_compacted
from tracesidecar.lake.records import Compaction, compactions, manifests
from tracesidecar.sinks import StoredObjects

_ANY = "[^/]+"
_OBJECT = re.compile(
    "|".join(
        f"{partition_folder(lake_root(each), _ANY, dialect)}/{_ANY}"
        for each in FORMATS
        for dialect in ("", _ANY)
    )
)


def verify(
    store: StoredObjects,
    *,
    under_way: frozenset[str] = frozenset(),
    begins_anywhere: bool = False,
    on_read: Callable[[int], object] = lambda _size_bytes: None,
) -> Proof:
    """Read all objects and compare them with the manifests.

    `under_way` names objects of batches that are being sent; `begins_anywhere` allows segments to
    begin in the middle of a file. `on_read` is called with the size of each block that was read.
    Raises RetryLater when the store cannot be used now.
    """
    return _StoreVerification(store, under_way, on_read, begins_anywhere=begins_anywhere).run()


def size_of(store: StoredObjects) -> int:
    """Return how many bytes `verify` will read."""
    return sum(size_bytes for name, size_bytes in store.list("") if _OBJECT.fullmatch(name))


class _StoreVerification:
    def __init__(
        self,
        store: StoredObjects,
        under_way: frozenset[str],
        on_read: Callable[[int], object],
        *,
        begins_anywhere: bool,
    ) -> None:
        self._store = store
        self._under_way = under_way
        self._on_read = on_read
        self._begins_anywhere = begins_anywhere
        self._proof = Proof()
        self._inventory = ObjectInventory()

    def run(self) -> Proof:
        """Verify everything.

        The objects are listed before the manifests are read: an object that a batch adds in between
        is then not in the list, and one in the list has its manifest.
        """
        self._inventory.note_existing(filter(_OBJECT.fullmatch, self._list()))
        for name, manifest in manifests(self._store, self._report_unreadable):
            self._check_batch(name, manifest)
        for _, compaction in compactions(self._store, self._report_unreadable):
            self._inventory.remember(compaction)
            for each in compaction.objects:
                self._expect(compaction.name, each)
        for compaction in self._inventory.list_compactions():
            self._check_compaction(compaction)
        self._check_objects()
        for coverage in self._proof.coverages:
            self._check_coverage(coverage)
        return self._proof

    def _list(self) -> Iterator[str]:
        return (name for name, _ in self._store.list(""))

    def _check_batch(self, name: str, manifest: Manifest) -> None:
        self._proof.batches += 1
        self._proof.coverages.add(manifest)
        if name != manifest_name(manifest.time, manifest.batch):
            self._proof.add_problem(
                "misplaced", name, f"it is the manifest of batch {manifest.batch}"
            )
        records = [each.lines if each.records < 0 else each.records for each in manifest.ranges]
        if sum(records) != sum(each.rows for each in manifest.objects):
            self._proof.add_problem(
                "rows",
                name,
                f"its ranges have {sum(records)} records, "
                f"its objects {sum(each.rows for each in manifest.objects)}",
            )
        for each in manifest.objects:
            self._expect(name, each)

    def _check_compaction(self, compaction: Compaction) -> None:
        self._proof.compactions += 1
        self._proof.duplicates += compaction.duplicates
        before, after = (
            sum(each.rows for each in objects)
            for objects in (compaction.replaces, compaction.objects)
        )
        if before - compaction.duplicates != after:
            self._proof.add_problem(
                "rows",
                compaction.name,
                f"it replaced {before} rows ({compaction.duplicates} duplicates) by {after}",
            )
        for each in compaction.replaces:
            self._inventory.note_replaced(each.name)
            if self._inventory.find_expected(each.name) not in {each, None}:
                self._proof.add_problem(
                    "altered",
                    each.name,
                    f"{compaction.name} replaced content that was not the shipped one",
                )

    def _expect(self, by: str, each: ManifestObject) -> None:
        if self._inventory.find_expected(each.name) is not None:
            self._proof.add_problem("twice", each.name, f"a second manifest lists it: {by}")
        self._inventory.expect(each)

    def _check_objects(self) -> None:
        """Check what is expected, and report what is not.

        What the first list did not have may have arrived since: it is looked for in another, for to
        ask for each object that a manifest lists would take long if there is none of them.
        """
        inventory = self._inventory
        if inventory.has_missing():
            inventory.note_arrived(self._list())
        for each in inventory.list_expected(is_there=False, is_replaced=False):
            self._report_missing(each)
        for each in inventory.list_expected(is_there=True, is_replaced=False):
            self._check_object(each)
        for each in inventory.list_expected(is_there=True, is_replaced=True):
            self._proof.add_note(
                "replaced",
                each.name,
                "a compaction has replaced it but not removed it yet: its rows are seen twice",
            )
        for name in inventory.list_replaced_strays():
            self._proof.add_problem(
                "unknown", name, "a compaction replaced it, but no manifest lists it"
            )
        for name in inventory.list_strays():
            self._report_stray(name)

    def _report_missing(self, each: ManifestObject) -> None:
        self._proof.add_problem("missing", each.name, f"it should have {each.rows} rows")

    def _report_stray(self, name: str) -> None:
        if is_compacted(name):
            self._proof.add_note(
                "unfinished",
                name,
                "a compaction was interrupted: its rows are seen twice until it runs again",
            )
        elif name in self._under_way:
            self._proof.add_note("under_way", name, "its batch is being sent")
        else:
            self._proof.add_problem("stray", name, "no manifest lists it")

    def _check_object(self, each: ManifestObject) -> None:
        try:
            found = examine(each.name, self._read(each.name), each.bytes)
        except FileNotFoundError:
            self._report_missing(each)
            return
        if found.bytes > each.bytes:  # it may be without end: it is not read further
            self._proof.add_problem(
                "altered", each.name, f"it has more bytes than were shipped, which are {each.bytes}"
            )
        elif (found.sha256, found.bytes) != (each.sha256, each.bytes):
            self._proof.add_problem(
                "altered",
                each.name,
                f"it has {found.bytes} bytes with SHA-256 {found.sha256}, "
                f"shipped were {each.bytes} with {each.sha256}",
            )
        elif found.rows != each.rows:
            self._proof.add_problem(
                "rows",
                each.name,
                f"it has {'no readable' if found.rows is None else found.rows} rows, "
                f"its manifest says {each.rows}",
            )
        else:
            self._proof.objects += 1
            self._proof.rows += each.rows
            self._proof.bytes += each.bytes

    def _read(self, name: str) -> Iterator[bytes]:
        for block in self._store.read(name):
            self._on_read(len(block))
            yield block

    def _check_coverage(self, coverage: Coverage) -> None:
        key = coverage.key
        where = (
            f"{key.host} {key.source} {coverage.path} "
            f"(segment {key.segment}, generation {key.generation})"
        )
        for start, end in coverage.gaps():
            if start == 0 and self._begins_anywhere:
                continue
            self._proof.add_problem("gap", where, f"no batch has the bytes {start} to {end}")
        for start, end, one, other in coverage.overlaps():
            self._proof.add_problem(
                "overlap", where, f"the bytes {start} to {end} are in {one} and in {other}"
            )
        for start, end, batch in coverage.find_unexpected_redrives():
            self._proof.add_problem(
                "overlap",
                where,
                f"{batch} redelivered the bytes {start} to {end}, which no batch had skipped",
            )

    def _report_unreadable(self, name: str) -> None:
        self._proof.add_problem("unreadable", name, "it is not a manifest")
