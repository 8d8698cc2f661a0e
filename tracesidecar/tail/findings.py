"""Hand over what a scan has found; an operator hears of each lasting trouble once."""

from __future__ import annotations

from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.inventory import Inventory
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import Loss, Remark, Scan, WarningKind
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.unseen_ends import UnseenEnds


class Findings:
    """Makes the values that scans return, and remembers which warnings they had."""

    def __init__(
        self,
        scan: ScanContext,
        files: FileTable,
        held_files: HeldFiles,
        continuations: Continuations,
        unseen_ends: UnseenEnds,
        *,
        inventory: Inventory,
        held_limit: int,
    ) -> None:
        """More than `held_limit` bytes of deleted files cause a warning."""
        self._scan = scan
        self._files = files
        self._held_files = held_files
        self._continuations = continuations
        self._unseen_ends = unseen_ends
        self._inventory = inventory
        self._held_limit = held_limit
        self._remarked: set[tuple[WarningKind, str]] = set()
        self._not_regular = 0

    def hand_over_losses(self) -> tuple[Loss, ...]:
        """Return the losses that were found, without the rest."""
        losses = tuple(self._scan.losses)
        self._scan.losses.clear()
        return losses

    def hand_over(self) -> Scan:
        """Return what was found, once everything is saved."""
        deleted_bytes = sum(file.disk_bytes for file in self._continuations.deleted)
        deleted_bytes += self._held_files.measure_nameless()
        set_aside = self._held_files.set_aside
        self._warn_of_held(deleted_bytes + set_aside.bytes)
        remarks = self._take_remarks()
        self._not_regular += sum(remark.kind == "refused" for remark in remarks)
        scan = Scan(
            tuple(self._scan.changed),
            tuple(self._scan.added),
            tuple(self._scan.losses),
            tuple(self._scan.recovered),
            tuple(self._scan.rewrites),
            tuple(remarks),
            files=len(self._files),
            waiting=len(self._continuations.waiting)
            + len(self._unseen_ends)
            + self._scan.awaits_notices,
            not_regular=self._not_regular,
            deleted_bytes=deleted_bytes,
            set_aside=set_aside,
            limits=self._inventory.list_reached_limits(),
            has_more=self._scan.turns.has_more,
            is_urgent=self._scan.turns.is_urgent,
        )
        self._scan.clear()
        return scan

    def _warn_of_held(self, held_bytes: int) -> None:
        if held_bytes > self._held_limit:
            self._scan.warn(
                "held_limit",
                "",
                "deleted files that sinks have not finished take more space than held_limit; "
                "they are kept",
            )
        else:
            self._remarked.discard(("held_limit", ""))

    def _take_remarks(self) -> list[Remark]:
        """Return the remarks that were not made before, and every announcement."""
        if ("notices", "") not in self._scan.remarks:
            self._remarked.discard(("notices", ""))
        remarks = [
            remark for key, remark in self._scan.remarks.items() if key not in self._remarked
        ]
        self._remarked.update(self._scan.remarks)
        return remarks + self._scan.announcements
