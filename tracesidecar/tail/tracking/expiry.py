"""What becomes of orphans that go on nowhere: they are over, lost, or away."""

from __future__ import annotations

import time

from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.reading.compressed import CUT_SECONDS
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import LossReason, SegmentState
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.unseen_ends import UnseenEnds

_UNENDED_SECONDS = 60.0
"""How often to look for archives that count as cut off by now."""


class Expiry:
    """Ends the segments for whose continuation nobody waits any longer."""

    def __init__(
        self,
        files: FileTable,
        continuations: Continuations,
        lifecycle: Lifecycle,
        *,
        directory_mounts: DirectoryMounts,
        held_files: HeldFiles,
        unseen_ends: UnseenEnds,
        scan: ScanContext,
    ) -> None:
        self._files = files
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._directory_mounts = directory_mounts
        self._held_files = held_files
        self._unseen_ends = unseen_ends
        self._scan = scan
        self._recalls_unended_at = float("-inf")
        self._reported: set[int] = set()  # that their archives were cut off

    def recall_unended(self) -> None:
        """Have archives read again that end in mid-stream, once they count as cut off."""
        if self._scan.now < self._recalls_unended_at:
            return
        self._recalls_unended_at = self._scan.now + _UNENDED_SECONDS
        oldest = time.time_ns() - int(CUT_SECONDS * 1e9)
        for segment in self._scan.unended:
            file = self._files.get(segment)
            if file is not None and file.modified_ns < oldest:
                self._scan.changed[segment] = None

    def must_search(self) -> bool:
        """Return whether a segment is about to be given up: before that, everything is listed."""
        return any(
            file.state is not SegmentState.DELETED
            and (not file.is_acknowledged or file in self._unseen_ends)
            for file in self._continuations.find_expired()
        )

    def expire(self, *, searched: bool) -> None:
        """Drop the orphans that are acknowledged, and give up the others.

        Those whose absence proves nothing are kept: they are away.

        `searched`: every directory was listed in this scan.
        """
        self._reported = {each for each in self._reported if self._files.get(each) is not None}
        for file in self._continuations.find_expired():
            is_deleted = file.state is SegmentState.DELETED
            if is_deleted and self._must_stay(file):
                continue
            if file.state is SegmentState.MISSING and not self._directory_mounts.proves_deletion(
                file
            ):
                if file in self._unseen_ends and self._directory_mounts.has_ground(file):
                    # its root is empty: it may be filled again
                    self._lifecycle.report_loss(file, "gone")
                self._lifecycle.suspend(file)
            elif (
                is_deleted and file.is_acknowledged and not self._directory_mounts.has_ground(file)
            ):
                self._held_files.release(file)  # its bytes are delivered; it may still be restored
                self._lifecycle.suspend(file)
            elif is_deleted:
                self._expire_deleted(file)
            elif (reason := self._find_loss(file)) is None:
                self._lifecycle.forget(file)
            elif searched:
                self._lifecycle.give_up(file, reason)

    def end_cut_archives(self) -> None:
        """Give up deleted archives that end in mid-stream, if no scan may come that does so.

        They were deleted longer ago than a continuation is looked for.
        """
        for file in self._continuations.deleted:
            grace = self._files.options(file).copy_grace
            if (
                file.is_acknowledged
                and self._lacks_its_end(file)
                and self._held_files.measure_rest(file) >= grace
                and not self._must_stay(file)
            ):
                self._lifecycle.give_up(file, "corrupt")

    def _expire_deleted(self, file: File) -> None:
        if not file.is_acknowledged or file.id in self._scan.changed:
            return
        if self._lacks_its_end(file):
            self._lifecycle.give_up(file, "corrupt")  # nobody knows how much is missing of it
        else:
            self._lifecycle.forget(file)

    def _find_loss(self, file: File) -> LossReason | None:
        """Return why a missing file is lost that goes on nowhere, None if it has all arrived."""
        if file.is_acknowledged and file in self._unseen_ends:
            return "gone"
        if file.id in self._scan.expanded:
            return "bomb"
        if file.is_acknowledged and file.id not in self._scan.changed:
            return None
        return file.loss or "deleted"

    def _must_stay(self, file: File) -> bool:
        """Return whether a deleted file has, or may have, something that is still needed."""
        if self._held_files.has_grown(file):
            return True  # somebody still writes to it
        if not self._held_files.outlasts_its_name(file):
            # of an archive the rest is read once the source may expand it so far
            return file.id in self._scan.expanded
        if file.is_acknowledged and self._lacks_its_end(file):
            self._reported.add(file.id)
            self._lifecycle.report_loss(file, "corrupt")
        return True

    def _lacks_its_end(self, file: File) -> bool:
        """Return whether a deleted archive was cut off, and nobody has reported it yet."""
        return (
            file.id in self._scan.unended
            and file.id not in self._reported
            and file.id not in self._scan.changed
        )
