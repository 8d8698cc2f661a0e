"""What is done for the hard links from time to time: tried again, shared out, released."""

from __future__ import annotations

import os
import time
from collections import Counter

from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.hard_links import HardLinks
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.holding.link_budget import LinkBudget
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState

_RESTS = 20
"""So many times as long as a measurement of all arrivals took, the next one waits."""

_SWEEP_SECONDS = 60.0


class LinkMaintenance:
    """Keeps the links of all files within their limits, and reports where none can be made."""

    def __init__(
        self,
        files: FileTable,
        held_files: HeldFiles,
        hard_links: HardLinks,
        arrivals: Arrivals,
        scan: ScanContext,
        *,
        tree: Tree,
        budget: LinkBudget,
        limit_bytes: int,
    ) -> None:
        """`limit_bytes`: so much of delivered files is kept linked, less what is held anyway."""
        self._files = files
        self._held_files = held_files
        self._hard_links = hard_links
        self._arrivals = arrivals
        self._scan = scan
        self._tree = tree
        self._budget = budget
        self._limit_bytes = limit_bytes
        self._measures_at = 0.0
        self._troubles: dict[str, str] = {}
        self._swept_at = float("-inf")

    def maintain(self, now: float) -> None:
        """Try again what failed, and once a minute release what is no longer needed."""
        self._held_files.retry_failed()
        self._share_room()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._replace_removed()
            self.sweep()
            self._held_files.measure_set_aside()
        self._report_troubles()

    def sweep(self) -> None:
        """Have a link of each live file that changed in the last day, within the limit."""
        room = self._limit_bytes
        delivered = []
        for file in self._files:
            if self._held_files.is_precaution(file) and file.is_acknowledged:
                delivered.append(file)
            elif self._held_files.has_link(file):
                room -= file.size
                self._budget.count(file)
                self._settle_if_delivered(file)
        delivered.sort(key=lambda file: -file.modified_ns)
        for file in delivered:
            if file.size > room and not self._held_files.is_retained(file):
                self._held_files.unlink_live(file)
                continue
            room -= file.size
            if self._held_files.has_link(file):
                self._budget.count(file)
            elif file.can_link is not False and self._budget.has_room(file):
                self._held_files.pin(file)
            else:
                self._budget.settle(file)  # a precaution is no reason to wait

    def release_delivered(self) -> None:
        """Remove the links of all files that every sink has."""
        for segment in self._hard_links.segments():
            file = self._files.get(segment)
            if file is None or self._held_files.is_retained(file) or not _is_finished(file):
                continue
            if file.state is SegmentState.LIVE and self._has_lost_its_name(file):
                file.lose_name(is_readable=True)  # no scan has looked since, or it was moved away
            if file.state is SegmentState.LIVE:
                self._held_files.unlink_live(file)
            else:
                self._held_files.unlink_deleted(file)

    def _replace_removed(self) -> None:
        """Make the links again that somebody has removed, of files that are still there."""
        removed = Counter[str]()
        for segment in self._hard_links.list_removed():
            file = self._files.get(segment)
            if file is None or file.state is not SegmentState.LIVE:
                continue  # it is seen to be gone when it is read
            removed[os.path.dirname(self._hard_links.path(segment) or "")] += 1
            self._held_files.forget_link(file)
            if not file.is_acknowledged or self._held_files.is_retained(file):
                self._held_files.pin(file)
        for folder, count in removed.items():
            self._scan.announce(
                "link",
                folder,
                f"{count} hard links in this folder were removed by somebody: they are made again "
                "where their files are still there and need them; leave this folder alone while "
                "the daemon runs",
            )

    def _settle_if_delivered(self, file: File) -> None:
        if file.state is SegmentState.LIVE and _is_finished(file):
            self._held_files.settle(file)

    def _has_lost_its_name(self, file: File) -> bool:
        """Return whether a file that we have a link of is no longer where it was."""
        linked = self._hard_links.status(file.id)
        if linked is None or linked.st_nlink == 1:
            return linked is not None
        try:
            named = self._tree.stat(file.path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # it cannot be seen now
        return (named.st_dev, named.st_ino) != (linked.st_dev, linked.st_ino)

    def _share_room(self) -> None:
        """Link files for which there was no room, as far as there is some now."""
        self._measure_arrivals()
        self._held_files.begin_sharing()
        for source in self._budget.full:
            for file in self._budget.list_waiting(source):
                is_new, is_live = file.state is SegmentState.NEW, file.state is SegmentState.LIVE
                if file.id not in self._files or not (is_new or is_live) or _is_finished(file):
                    self._budget.settle(file)
                    continue
                if is_new and self._held_files.has_room(file):
                    self._budget.settle(file)
                    self._held_files.keep_unread(file)
                    continue
                self._held_files.pin(file)
                if not self._held_files.has_link(file):
                    break
        self._arrivals.keep_nothing_of(self._budget.full)

    def _measure_arrivals(self) -> None:
        """Note what the links of files take that are not known yet; rest if these are very many."""
        began = time.monotonic()
        if began < self._measures_at:
            return
        self._budget.begin_measuring()
        for arrival, status in self._arrivals:
            inode = status.st_dev, status.st_ino
            self._budget.count_arrival(arrival.source, inode, status.st_size)
        ended = time.monotonic()
        self._measures_at = ended + _RESTS * (ended - began)

    def _report_troubles(self) -> None:
        troubles = dict(self._hard_links.troubles)
        for folder in troubles.keys() | self._troubles.keys():
            reason, before = troubles.get(folder), self._troubles.get(folder)
            if reason == before:
                continue
            self._scan.announce(
                "link",
                folder,
                "hard links can be made in this folder again"
                if reason is None
                else f"a hard link could not be made in this folder ({reason}): files that are "
                "deleted now are kept only while the daemon runs; it is tried again in each scan",
            )
        self._troubles = troubles


def _is_finished(file: File) -> bool:
    return file.is_acknowledged and file.is_read_to_end
