"""Which directories and files one poll visits.

Without change events it visits all of them, else those that were announced.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.poll_schedule import FULL_CYCLE_SECONDS, PollSchedule
from tracesidecar.tail.discovery.walk import Discovery, WalkFindings
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.arrivals import Arrivals, MissedFile
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.identification import Identification
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.new_files import NewFiles

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher

_LIST_ALL_SECONDS = 300.0
"""How often every directory is listed, whether it seems changed or not."""

_MET = frozenset({SegmentState.NEW, SegmentState.LIVE, SegmentState.DELETED, SegmentState.MISSING})
"""The states of files that a scan has met, and of which whatever is lost is known."""


class PollCycle:
    """Visits directories and files, and passes its findings on."""

    def __init__(
        self,
        discovery: Discovery,
        schedule: PollSchedule,
        changes: Changes,
        identification: Identification,
        scan: ScanContext,
        *,
        admission: Admission,
        new_files: NewFiles,
        arrivals: Arrivals,
        lifecycle: Lifecycle,
        files: FileTable,
        watcher: Watcher | None,
        poll_interval: float,
    ) -> None:
        self._discovery = discovery
        self._schedule = schedule
        self._changes = changes
        self._identification = identification
        self._admission = admission
        self._new_files = new_files
        self._scan = scan
        self._arrivals = arrivals
        self._lifecycle = lifecycle
        self._files = files
        self._watcher = watcher
        self._poll_interval = poll_interval
        self._listed_at = float("-inf")
        self._polled_at = float("-inf")
        self._is_first = True

    def visit(self, now: float, *, full: bool) -> bool:
        """Visit the files and directories that are due; `full` visits all.

        Return whether every directory was listed.
        """
        announced = self._drain_announcements()
        self._arrivals.collect()
        has_missed = self._watcher is not None and self._watcher.take_missed()
        lists_all = (
            full or self._is_first or has_missed or now - self._listed_at >= _LIST_ALL_SECONDS
        )
        relies_on_watcher = (
            self._watcher is not None and self._watcher.is_working and self._schedule.trusts(now)
        )
        interval = FULL_CYCLE_SECONDS if relies_on_watcher else self._poll_interval / 2
        released = self._admission.release()
        for path in released:
            self._discovery.relist(path)
        is_due = lists_all or bool(released) or now - self._polled_at >= interval
        if is_due:
            self._polled_at = now
            self._sort_in(self._discovery.walk(full=lists_all))
        if lists_all:
            self._listed_at = now
        if lists_all or (is_due and not relies_on_watcher):
            self._look_at_all(announced, has_missed=has_missed)
        else:
            self._sort_in(self._discovery.visit(announced))
            for file in self._schedule.files_to_recheck():
                self._changes.compare(file)
        self._follow_moves()
        self._follow_arrivals()
        if relies_on_watcher:
            for file in self._schedule.quiet_share(now):
                self._look(file, is_announced=False)
        for path in self._discovery.unreadable:
            self._scan.warn(
                "unreadable",
                path,
                "the directory cannot be listed: its files are read once it can be",
            )
        self._is_first = False
        return lists_all

    def search(self) -> None:
        """List the directories that have changed by now, and look at all files that are new."""
        self._sort_in(self._discovery.walk())
        for file in self._schedule.list_new_files():
            self._scan.progress.step()
            self._changes.compare(file)

    def _follow_moves(self) -> None:
        """Follow the files that left a followed name before anybody looked at them."""
        for old, new in self._watcher.drain_moves().items() if self._watcher else ():
            moved = self._discovery.locate_move(old, new)
            if moved is not None:
                self._new_files.register_moved(*moved)

    def _follow_arrivals(self) -> None:
        """Make known what was kept when it arrived, and was not met since."""
        for arrival, status in self._arrivals:
            file = self._files.find(status.st_dev, status.st_ino)
            if file is None:
                location = self._discovery.locate(arrival.path, arrival.source)
                if not self._admission.has_room(arrival.source):
                    self._admission.withhold(arrival.source, location)
                    continue
                self._identification.identify(location)  # the file itself, or its successor
                if self._files.find(status.st_dev, status.st_ino) is None:
                    self._new_files.register_arrival(location, status)
            elif file.state is not SegmentState.NEW:
                self._lifecycle.keep(file)
        names: dict[str, dict[str, list[File]]] = {}

        def is_known(missed: MissedFile) -> bool:
            if missed.inode[1] and self._files.find(*missed.inode) is not None:
                return True
            folder, name = os.path.split(missed.path)
            if folder not in names:
                names[folder] = self._list_met(missed.path, missed.source)
            met = names[folder].get(name, [])
            for file in met:
                is_recent = not file.modified_ns or file.modified_ns / 1e9 >= missed.since
                is_recent = is_recent and self._lifecycle.is_met_since(file, missed.noticed)
                if is_recent and (file.device, file.inode) not in missed.seen:
                    met.remove(file)  # each can only be one of them
                    return True
            if self._lifecycle.take_replaced(missed.path, missed.seen, missed.noticed):
                return True
            return missed.is_version and not self._new_files.has_unrelated(missed.path)

        for path, source, reason in self._arrivals.take_lost(is_known):
            self._lifecycle.miss(self._discovery.locate(path, source), reason)

    def _list_met(self, path: str, source: int) -> dict[str, list[File]]:
        """Return the files that scans have met in the folder of a path, by name."""
        met: dict[str, list[File]] = {}
        for file in self._discovery.locate(path, source).directory.files:
            if file.state in _MET:
                met.setdefault(file.name, []).append(file)
        return met

    def _drain_announcements(self) -> set[str]:
        if self._watcher is None:
            return set()
        announced = self._watcher.drain()
        if trouble := self._watcher.trouble:
            self._scan.warn(
                "notices",
                "",
                f"change events are not available here ({trouble}): "
                "files are checked every poll_interval instead",
            )
        return announced

    def _look_at_all(self, announced: set[str], *, has_missed: bool) -> None:
        judges_watcher = self._watcher is not None and not self._is_first and not has_missed
        for file in self._schedule.list_changed_files():
            self._scan.progress.step()
            self._look(file, is_announced=not judges_watcher or file.path in announced)

    def _look(self, file: File, *, is_announced: bool) -> None:
        written_ns = self._changes.compare(file)
        if written_ns is not None and not is_announced:
            self._schedule.distrust(self._scan.now, written_ns)

    def _sort_in(self, findings: WalkFindings) -> None:
        """Pass on the findings of a walk.

        New names first, so that a file that only moved is not taken for deleted.
        """
        for file, location in findings.renamed:
            if not self._changes.rename(file, location) and location.source is not None:
                findings.unknown.append(location)
        for file in findings.nameless:
            self._scan.progress.step()
            self._changes.compare(file)
        unknown = sorted(findings.unknown, key=lambda location: location.source or 0)
        for location in self._admission.admit(unknown):
            self._scan.progress.step()
            self._identification.identify(location)
        for path in findings.own:
            self._scan.warn(
                "own_output",
                path,
                "what is here is written by this program itself: it is not read",
            )
        for path, problem in findings.skipped:
            self._scan.warn(
                "skipped_link",
                path,
                f"this symbolic link is not followed: {problem}",
            )
        for path in findings.not_regular:
            self._scan.warn("refused", path, "this is not a regular file: it is not read")
