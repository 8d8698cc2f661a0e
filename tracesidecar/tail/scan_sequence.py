"""One scan: the polls, comparisons and decisions that it takes, in their order."""

from __future__ import annotations

from collections.abc import Collection

from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.findings import Findings
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.holding.link_maintenance import LinkMaintenance
from tracesidecar.tail.poll_cycle import PollCycle
from tracesidecar.tail.reading.expanded_archives import ExpandedArchives
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import Loss, Scan, SegmentState
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.expiry import Expiry
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.resting import RestingSegments
from tracesidecar.tail.tracking.segment_log import SegmentLog
from tracesidecar.tail.tracking.sibling_search import SiblingSearch
from tracesidecar.tail.tracking.unseen_ends import UnseenEnds


class ScanSequence:
    """Takes the steps of a scan. What they find is collected in the ScanContext that they share."""

    def __init__(
        self,
        *,
        tree: Tree,
        own: OwnPaths,
        directory_mounts: DirectoryMounts,
        locator: FileLocator,
        poll_cycle: PollCycle,
        changes: Changes,
        new_files: NewFiles,
        siblings: SiblingSearch,
        continuations: Continuations,
        lifecycle: Lifecycle,
        expiry: Expiry,
        unseen_ends: UnseenEnds,
        resting: RestingSegments,
        held_files: HeldFiles,
        link_maintenance: LinkMaintenance,
        log: SegmentLog,
        landmarks: LandmarkKeeper,
        files: FileTable,
        scan: ScanContext,
        expanded: ExpandedArchives,
        findings: Findings,
    ) -> None:
        self._tree = tree
        self._own = own
        self._directory_mounts = directory_mounts
        self._locator = locator
        self._poll_cycle = poll_cycle
        self._changes = changes
        self._new_files = new_files
        self._siblings = siblings
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._expiry = expiry
        self._unseen_ends = unseen_ends
        self._resting = resting
        self._held_files = held_files
        self._link_maintenance = link_maintenance
        self._log = log
        self._landmarks = landmarks
        self._files = files
        self._scan = scan
        self._expanded = expanded
        self._findings = findings
        self._is_first = True
        self._has_more = False

    def scan(self, now: float, *, full: bool = False) -> Scan:
        """Scan, as `Tailer.scan`."""
        self._tree.begin_scan()
        self._own.refresh()
        try:
            return self._scan_files(now, full=full)
        finally:
            self._tree.end_scan()

    def _scan_files(self, now: float, *, full: bool) -> Scan:
        self._scan.now = now
        self._scan.turns.begin(is_bounded=not full)
        self._directory_mounts.begin_scan(now)
        self._continuations.begin_scan(now)
        if self._is_first:
            self._lifecycle.resume()
            self._locator.recall_rotations()
        self._lifecycle.recall_suspended()
        self._expiry.recall_unended()
        self._expanded.recall()
        must_search = not self._has_more and self._expiry.must_search()
        searched = self._poll_cycle.visit(now, full=full or must_search)
        self._verify_suspects(is_scan=True)
        self._search_copies()
        self._new_files.decide()
        while outdated := self._new_files.take_outdated():
            for file in outdated:
                self._changes.settle(file)
            self._search_copies()
            self._new_files.decide_rest()
        self._has_more = self._scan.turns.has_more
        self._expiry.expire(searched=searched and not self._has_more)
        self._resting.expire()
        self._held_files.close_finished(self._lifecycle.is_finished)
        self._link_maintenance.maintain(now)
        if not self._has_more:
            self._unseen_ends.end_first_scan()
        self._is_first = False
        self._landmarks.flush()  # before anything is forgotten that has some
        self._log.flush(now)
        return self._findings.hand_over()

    def _search_copies(self) -> None:
        """Meet the files in which those go on that have lost their names or their content."""
        self._siblings.search_rotated()
        while self._new_files.take_expects_copies():
            self._poll_cycle.search()
        self._siblings.search_continuations()
        while self._changes.compare_namesakes(self._new_files.undecided):
            self._siblings.search_continuations()

    def find_losses(self, ending: Collection[int] = ()) -> tuple[Loss, ...]:
        """Verify what readers found broken, as `Tailer.find_losses`."""
        self._verify_suspects(is_scan=False)
        self._expiry.end_cut_archives()
        for segment in ending:
            if (file := self._files.get(segment)) is not None:
                self._lifecycle.give_up(file, "deleted")
        self._log.flush(self._scan.now)
        return self._findings.hand_over_losses()

    def _verify_suspects(self, *, is_scan: bool) -> None:
        """Verify what readers found broken, and see whether deleted files have grown."""
        broken = [self._files.get(segment) for segment in self._scan.broken]
        deleted = self._scan.turns.choose(self._continuations.deleted, "deleted")
        suspects = {file.id: file for file in [*broken, *deleted] if file}
        for file in suspects.values():
            if file.state in (SegmentState.LIVE, SegmentState.DELETED):
                self._changes.verify(file, is_scan=is_scan)
        self._scan.broken.clear()
