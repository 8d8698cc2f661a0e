"""Which directories and files one poll visits.

Without change events it visits all of them, else those that were announced.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.announced import Announced
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.poll_schedule import FULL_CYCLE_SECONDS, PollSchedule
from tracesidecar.tail.discovery.walk import DirectoryWalk
from tracesidecar.tail.discovery.walk_findings import WalkFindings
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.new_file_notices import MissedFile, NewFileNotices
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.identification import Identification
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.met_files import MetFiles
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
        walk: DirectoryWalk,
        schedule: PollSchedule,
        changes: Changes,
        identification: Identification,
        scan: ScanContext,
        *,
        directories: WalkedDirectories,
        locator: FileLocator,
        admission: Admission,
        new_files: NewFiles,
        arrivals: Arrivals,
        notices: NewFileNotices,
        lifecycle: Lifecycle,
        met_files: MetFiles,
        files: FileTable,
        watcher: Watcher | None,
        poll_interval: float,
    ) -> None:
        self._walk = walk
        self._directories = directories
        self._locator = locator
        self._schedule = schedule
        self._changes = changes
        self._identification = identification
        self._admission = admission
        self._announced = Announced(directories)
        self._rounds: dict[int, Iterator[list[File]]] = {}
        self._judges_watcher = False
        self._new_files = new_files
        self._scan = scan
        self._arrivals = arrivals
        self._notices = notices
        self._lifecycle = lifecycle
        self._met_files = met_files
        self._files = files
        self._watcher = watcher
        self._poll_interval = poll_interval
        self._listed_at = float("-inf")
        self._polled_at = float("-inf")
        self._rechecked_at = float("-inf")
        self._is_behind = False
        self._is_searching = False
        self._asked_at: float | None = None
        self._is_first = True

    def visit(self, now: float, *, full: bool) -> bool:
        """Visit the files and directories that are due; `full` visits all.

        Return whether every directory was listed, in this scan and those before that had more to
        do, and everything in them was looked at.
        """
        announced = self._drain_announcements()
        self._announced.add(announced)
        self._arrivals.collect()
        self._notices.forget_folders()
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
            self._walk.relist(path)
        is_due = lists_all or bool(released) or now - self._polled_at >= interval
        if is_due:
            self._polled_at = now
            self._sort_in(self._walk.list_changed(full=lists_all))
        if lists_all:
            self._listed_at = now
        looks_at_all = lists_all or (is_due and not relies_on_watcher)
        if looks_at_all:
            if full:
                self._rounds.clear()
            looks_at_all = not self._rounds  # else a source goes on with its last round
            self._judges_watcher = self._watcher is not None and not (self._is_first or has_missed)
            self._rounds |= self._schedule.begin_round(self._rounds.keys())
        self._changes.compare_postponed()
        self._look_around(announced)
        if looks_at_all and not self._rounds:
            self._announced.clear()
        else:
            self._sort_in(self._walk.visit(self._announced.take(self._scan.turns)))
            # not in each of the scans that follow at once while new files are looked at
            if not self._is_behind or now - self._rechecked_at >= self._poll_interval / 2:
                self._rechecked_at = now
                self._recheck()
        self._follow_moves()
        self._follow_arrivals()
        if relies_on_watcher:
            for file in self._schedule.quiet_share(now):
                self._look(file, is_announced=False)
        for path in self._directories.unreadable:
            self._scan.warn(
                "unreadable",
                path,
                "the directory cannot be listed: its files are read once it can be",
            )
        self._is_first = False
        self._is_behind = self._scan.turns.is_urgent
        self._is_searching |= lists_all
        if self._scan.turns.has_more:
            return False
        searched, self._is_searching = self._is_searching, False
        return searched

    def search(self) -> None:
        """List the directories that have changed by now, and look at all files that are new."""
        self._sort_in(self._walk.list_changed())
        for file in self._schedule.list_new_files():
            self._scan.progress.step()
            self._changes.compare(file)

    def _recheck(self) -> None:
        """Compare the files that changed lately, as many of each source as there is time for."""
        recheck = self._schedule.files_to_recheck()
        for source in self._scan.turns.order(recheck):
            for file in recheck[source]:
                if not self._scan.turns.take(source, "recheck"):
                    break
                self._changes.compare(file, is_needed=True)
                self._schedule.note_looked(file)

    def _follow_moves(self) -> None:
        """Follow the files that left a followed name before anybody looked at them."""
        for old, new in self._watcher.drain_moves().items() if self._watcher else ():
            moved = self._locator.locate_move(old, new)
            if moved is not None:
                self._new_files.register_moved(*moved)

    def _follow_arrivals(self) -> None:
        """Make known what was kept as it arrived, and not met since; report what was missed."""
        for arrival, status in self._arrivals.visit(self._has_turn):
            file = self._files.find(status.st_dev, status.st_ino)
            if file is None:
                source = arrival.source
                if not self._admission.has_room(source):
                    self._admission.withhold(source, self._locator.locate(arrival.path, source))
                    continue
                location = self._locator.locate(arrival.path, source)
                self._identification.identify(location)  # the file itself, or its successor
                if self._files.find(status.st_dev, status.st_ino) is None:
                    self._new_files.register_arrival(location, status)
            elif file.state is not SegmentState.NEW:
                self._lifecycle.keep(file)
        if not self._scan.turns.has_more:  # else what was missed may be among what nobody looked at
            self._report_missed()

    def _report_missed(self) -> None:
        """Record the losses of what was gone before it could be kept, unless a scan has met it.

        The next file of a name must not be taken for the one that was missed. Each has a notice of
        its own: so before this is judged, the notices of all that scans have met by now are read.
        """
        if not self._notices.has_missed:
            self._asked_at, self._scan.awaits_notices = None, False
            return
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        until = self._asked_at
        self._scan.awaits_notices = self._watcher is not None and (
            self._watcher.find_announced_time() < until
        )
        if self._scan.awaits_notices:
            return
        self._asked_at = None
        met: dict[str, list[File]] = {}

        def is_known(missed: MissedFile) -> bool:
            if missed.inode[1] and self._files.find(*missed.inode) is not None:
                return True
            if missed.path not in met:
                met[missed.path] = self._list_met(missed.path, missed.source)
            for file in met[missed.path]:
                is_recent = not file.modified_ns or file.modified_ns / 1e9 >= missed.since
                is_recent = is_recent and self._met_files.is_met_between(
                    file, missed.noticed, missed.met_until
                )
                if is_recent and (file.device, file.inode) not in missed.seen:
                    met[missed.path].remove(file)  # each can only be one of them
                    return True
            if self._met_files.take_replaced(
                missed.path, missed.seen, missed.noticed, missed.met_until
            ):
                return True
            return missed.is_version and not self._new_files.has_unrelated(missed.path)

        for path, source, reason in self._notices.take_lost(is_known, until):
            self._lifecycle.miss(self._locator.locate(path, source), reason)

    def _list_met(self, path: str, source: int) -> list[File]:
        """Return the files that scans have met at a path."""
        place = self._locator.locate(path, source)
        return [file for file in place.directory.files.with_name(place.name) if file.state in _MET]

    def _has_turn(self, source: int) -> bool:
        has_room = self._admission.has_room(source)
        return self._scan.turns.take(source, "arrival" if has_room else "withheld")

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

    def _look_around(self, announced: set[str]) -> None:
        """Compare the files of each source, as many as there is time for."""
        for source in self._scan.turns.order(self._rounds):
            for changed in self._rounds[source]:
                self._scan.progress.step()
                for file in changed:
                    self._look(
                        file,
                        is_announced=not self._judges_watcher
                        or file.path in announced
                        or file.path in self._announced,
                    )
                if not self._scan.turns.has_time(source):
                    break
            else:
                del self._rounds[source]

    def _look(self, file: File, *, is_announced: bool) -> None:
        written_ns = self._changes.compare(file)
        if written_ns is not None and not is_announced:
            self._schedule.distrust(self._scan.now, written_ns)

    def _sort_in(self, findings: WalkFindings) -> None:
        """Pass on the findings of a walk.

        New names first, so that a file that only moved is not taken for deleted.
        """
        findings.unknown += self._changes.follow_names(findings.renamed)
        for file in findings.nameless:
            self._scan.progress.step()
            self._changes.compare(file)
        self._admission.add(findings.unknown)
        for location in self._admission.take():
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
