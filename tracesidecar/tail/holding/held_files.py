"""What keeps each file readable when its name is removed, and when that may be released."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable

from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.hard_links import (
    HardLinks,
    LinkOutcome,
    measure_links,
    set_aside_folders,
)
from tracesidecar.tail.holding.link_budget import LinkBudget
from tracesidecar.tail.holding.link_names import LinkName
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import LinkedFiles, Protection, SegmentState

RECENT_SECONDS = 24 * 3600.0
"""How long after its last change a delivered file keeps its link, with `protect = "always"`: what
is appended, moved away or deleted while the daemon is stopped is read at the next start.
"""

_RESTS = 20
"""So many times as long as a measurement of all arrivals took, the next one waits."""

_SWEEP_SECONDS = 60.0

_CLOSED_AT_ONCE = 256
"""How many open files a scan looks at, to close those that have nothing left to read."""


class HeldFiles:
    """Links or opens the files of segments, so that their bytes outlast their names.

    A link is removed only when every sink that must have the bytes has them; the last copy of
    others is set aside.
    """

    def __init__(
        self,
        files: FileTable,
        open_files: OpenFiles,
        hard_links: HardLinks,
        arrivals: Arrivals,
        scan: ScanContext,
        *,
        tree: Tree,
        budget: LinkBudget,
        limit_bytes: int,
    ) -> None:
        """`limit_bytes`: so much of delivered files is kept linked, less what is held anyway."""
        self._tree = tree
        self._files = files
        self._open_files = open_files
        self._hard_links = hard_links
        self._arrivals = arrivals
        self._scan = scan
        self._limit_bytes = limit_bytes
        self._budget = budget
        self._made_room: set[int] = set()
        self._measures_at = 0.0
        self._retained: frozenset[int] = frozenset()
        self._changed: set[int] = set()
        self._failed: dict[int, File] = {}
        self._troubles: dict[str, str] = {}
        self._swept_at = float("-inf")
        self._set_aside = LinkedFiles()
        self._closing: list[int] = []

    # ---- protecting

    def pin(self, file: File) -> None:
        """Link a file that is not finished, if possible; otherwise it is only kept open."""
        self._failed.pop(file.id, None)
        if file.state is not SegmentState.LIVE:
            return
        if not self._has_room(file):
            # nor is it kept open: that would keep it on the disk as a link does
            self._open_files.close_file(file)
            self._arrivals.release(file)
            return
        outcome = self._link(file)
        if outcome is LinkOutcome.MADE:
            file.note_link(is_made=True)
        elif outcome is not LinkOutcome.MISSED:
            file.note_link(is_made=False)
        if outcome is LinkOutcome.FAILED:
            self._failed[file.id] = file
        if outcome is not LinkOutcome.MADE:
            self._open_files.descriptor(file)
            self._arrivals.release(file)
        self._changed.add(file.id)

    def keep_unread(self, file: File) -> None:
        """Link a new file that cannot be opened now, if its source has room for it.

        It may be deleted, or leave the folders that are followed, before it can be.
        """
        is_kept = self.has_link(file) or self._arrivals.find(file) is not None
        if is_kept or self._files.options(file).protect == "never":
            return
        if self._has_room(file) and self._arrivals.keep(file):
            inode = file.device, file.inode
            self._budget.count_arrival(file.source, inode, file.disk_bytes)

    def settle(self, file: File) -> None:
        """Remove the link of a file that every sink has so far, unless something else needs it."""
        if not self.is_retained(file) and not self._is_precaution(file):
            self._release(file)

    def release(self, file: File, *, is_copied: bool = False) -> None:
        """Close a file and remove its link: nothing more will be read of this inode.

        If the link is the last copy of bytes that some sink does not have, it is set aside.
        `is_copied`: another file has been proven to hold what this one had when last looked at.
        """
        self._open_files.close_file(file)
        self._arrivals.release(file)
        self._failed.pop(file.id, None)
        self._budget.settle(file)
        self._changed.add(file.id)
        is_unneeded = (is_copied or file.is_acknowledged) and not self.has_grown(file)
        if is_unneeded or not self._is_last_copy(file):
            self._remove_link(file.id)
            return
        linked = self._hard_links.status(file.id)
        folder = self._hard_links.set_aside(file.id)
        self._budget.forget(file.id)
        self._measure_set_aside()
        self._scan.warn(
            "set_aside",
            file.path,
            f"the file was deleted, and its link can no longer be delivered as that file: its "
            f"{file.size if linked is None else linked.st_size} bytes are kept in {folder}",
        )

    def _is_last_copy(self, file: File) -> bool:
        """Return whether our link may be the only name of a file."""
        try:
            linked = self._hard_links.look_up(file.id)
        except OSError:
            return True  # it cannot be seen now
        return linked is not None and linked.st_nlink == 1

    def drop(self, file: File) -> None:
        """Release what keeps a file since it arrived."""
        self._arrivals.release(file)

    def close_file(self, file: File) -> None:
        """Close a file; it is opened again by its name, or through its link."""
        self._open_files.close_file(file)

    def hand_over(self, file: File, successor: File) -> None:
        """Let a segment that goes on in this very inode have what keeps it."""
        self._open_files.hand_over(file, successor)

    def close_finished(self, is_finished: Callable[[File], bool]) -> None:
        """Close the files that have nothing left to read.

        An open file keeps its file system from being unmounted. Of very many, some are looked at in
        each scan.
        """
        if not self._closing:
            self._closing = self._open_files.list_open()
        some, self._closing = self._closing[:_CLOSED_AT_ONCE], self._closing[_CLOSED_AT_ONCE:]
        for segment in some:
            file = self._files.get(segment)
            if file is None:
                self._open_files.close_segment(segment)
            elif not self.is_retained(file) and is_finished(file):
                self._open_files.close_file(file)

    def retain(self, segments: frozenset[int]) -> frozenset[int]:
        """Keep the links of these segments, finished or not; return which were retained before."""
        before, self._retained = self._retained, segments
        return before

    @property
    def retained(self) -> frozenset[int]:
        """Return the segments whose links are kept even if they are finished."""
        return self._retained

    def is_retained(self, file: File) -> bool:
        """Return whether a file's link is kept even if the file is finished."""
        return file.id in self._retained

    def outlasts_its_name(self, file: File) -> bool:
        """Return whether a file stays readable without a name: it is retained, and has a link."""
        return file.id in self._retained and self._hard_links.path(file.id) is not None

    def has_grown(self, file: File) -> bool:
        """Return whether a deleted file has, or may have, more than when it was last looked at."""
        try:
            linked = self._hard_links.look_up(file.id)
        except OSError:
            return True  # it cannot be seen now
        return linked is not None and linked.st_size != file.size

    def measure_rest(self, file: File) -> float:
        """Return for how many seconds a file that we have a link of was not changed or renamed."""
        linked = self._hard_links.status(file.id)
        return 0.0 if linked is None else time.time() - linked.st_ctime

    def ends_with_us(self, file: File) -> bool:
        """Return whether a file has no name, not even a link of ours: it is only open."""
        if self._arrivals.find(file) is not None:
            return False
        try:
            is_linked = self._hard_links.look_up(file.id) is not None
            return not is_linked and self._open_files.link_count(file) == 0
        except OSError:
            return False

    def is_kept(self, file: File) -> bool:
        """Return whether a file is open, or has a hard link, which may be unreadable for now."""
        return self.has_link(file) or self._open_files.is_open(file)

    def has_link(self, file: File) -> bool:
        """Return whether a file has a hard link, which may be unreadable for now."""
        return self._hard_links.path(file.id) is not None

    def measure_nameless(self) -> int:
        """Return the bytes of the new files that cannot be read, and have no name but our link."""
        found = map(self._files.get, self._scan.unreadable)
        new = [file for file in found if file is not None and file.state is SegmentState.NEW]
        return sum(self._open_files.measure_nameless(file) for file in new)

    def may_forget(self, segment: int) -> bool:
        """Return whether no link is left that the next start would take for an unknown one."""
        return not self._hard_links.is_being_removed(segment)

    # ---- what is recorded

    def protection(self, file: File) -> Protection:
        """Return what keeps the file readable when its name is removed."""
        if self._hard_links.path(file.id) is not None:
            return "link"
        return "descriptor" if self._open_files.is_open(file) else "none"

    def find_changed_protection(self) -> list[File]:
        """Return the files whose protection differs from what the journal says.

        They are among those that were opened, closed, linked or released since the last call.
        """
        changed, self._changed = self._changed | self._open_files.take_changed(), set()
        files = [file for file in map(self._files.get, changed) if file is not None]
        return [file for file in files if self.protection(file) != file.recorded_protection]

    def sync(self) -> None:
        """Make links and removals durable: before the journal says anything of them."""
        self._hard_links.sync()

    @property
    def set_aside(self) -> LinkedFiles:
        """The links that belong to no source, as they were within the last minute."""
        return self._set_aside

    # ---- from time to time

    def maintain(self, now: float) -> None:
        """Try again what failed, and once a minute release what is no longer needed."""
        for file in list(self._failed.values()):
            self.pin(file)
            if file.id in self._failed:
                break  # one attempt a scan, as long as it fails
        self._share_room()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._replace_removed()
            self.sweep()
            self._measure_set_aside()
        self._report_troubles()

    def _replace_removed(self) -> None:
        """Make the links again that somebody has removed, of files that are still there."""
        removed = Counter[str]()
        for segment in self._hard_links.list_removed():
            file = self._files.get(segment)
            if file is None or file.state is not SegmentState.LIVE:
                continue  # it is seen to be gone when it is read
            removed[os.path.dirname(self._hard_links.path(segment) or "")] += 1
            self._hard_links.forget(segment)
            self._budget.forget(segment)
            self._changed.add(segment)
            if not file.is_acknowledged or self.is_retained(file):
                self.pin(file)
        for folder, count in removed.items():
            self._scan.announce(
                "link",
                folder,
                f"{count} hard links in this folder were removed by somebody: they are made again "
                "where their files are still there and need them; leave this folder alone while "
                "the daemon runs",
            )

    def _measure_set_aside(self) -> None:
        self._set_aside = measure_links(set_aside_folders(self._hard_links.folders))

    def sweep(self) -> None:
        """Have a link of each live file that changed in the last day, within the limit."""
        room = self._limit_bytes
        delivered = []
        for file in self._files:
            if self._is_precaution(file) and file.is_acknowledged:
                delivered.append(file)
            elif self.has_link(file):
                room -= file.size
                self._budget.count(file)
                self._settle_if_delivered(file)
        delivered.sort(key=lambda file: -file.modified_ns)
        for file in delivered:
            if file.size > room and not self.is_retained(file):
                self._release(file)
                continue
            room -= file.size
            if self.has_link(file):
                self._budget.count(file)
            elif file.can_link is not False and self._budget.has_room(file):
                self.pin(file)
            else:
                self._budget.settle(file)  # a precaution is no reason to wait

    def release_delivered(self) -> None:
        """Remove the links of all files that every sink has."""
        for segment in self._hard_links.segments():
            file = self._files.get(segment)
            if file is None or self.is_retained(file) or not _is_finished(file):
                continue
            if file.state is SegmentState.LIVE and self._has_lost_its_name(file):
                file.lose_name(is_readable=True)  # no scan has looked since, or it was moved away
            if file.state is SegmentState.LIVE:
                self._release(file)
            elif not self.has_grown(file):
                self._remove_link(file.id)
                self._changed.add(file.id)

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

    def _settle_if_delivered(self, file: File) -> None:
        if file.state is SegmentState.LIVE and _is_finished(file):
            self.settle(file)

    def _is_precaution(self, file: File) -> bool:
        """Return whether a file keeps its link although every sink has it."""
        return (
            file.state is SegmentState.LIVE
            and self._files.options(file).protect == "always"
            and time.time() - file.modified_ns / 1e9 < RECENT_SECONDS
        )

    def _release(self, file: File) -> None:
        """Remove the link of a live file, unless the file has lost its name in this moment."""
        self._arrivals.release(file)
        linked = self._hard_links.status(file.id)
        if linked is not None and linked.st_nlink > 1 and self._remove_link(file.id):
            self._changed.add(file.id)
            self._accept_ctime(file)

    def _link(self, file: File) -> LinkOutcome:
        if self.has_link(file):
            self._arrivals.release(file)
            self._note_linked(file)
            return LinkOutcome.MADE
        options = self._files.options(file)
        if options.protect == "never":
            return LinkOutcome.IMPOSSIBLE
        name = LinkName(file.id, options.name, file.path)
        arrival = self._arrivals.find(file)
        try:
            with arrival.find() if arrival else self._tree.find(file.path) as found:
                if found.inode != (file.device, file.inode):
                    return LinkOutcome.MISSED  # another file has the name
                outcome = self._hard_links.link(name, found, options)
        except (FileNotFoundError, NotADirectoryError):
            return LinkOutcome.MISSED
        except OSError:
            return LinkOutcome.FAILED
        if outcome is LinkOutcome.MADE:
            self._arrivals.release(file)
            self._note_linked(file)
            self._accept_ctime(file)
        return outcome

    def _note_linked(self, file: File) -> None:
        self._budget.count(file)
        self._budget.settle(file)

    def _remove_link(self, segment: int) -> bool:
        self._budget.forget(segment)
        return self._hard_links.remove(segment)

    def _has_room(self, file: File) -> bool:
        """Return whether a file has a link or may have one, at the cost of delivered files."""
        if self.has_link(file) or self._files.options(file).protect == "never":
            return True
        if self._budget.has_room(file):
            return True
        if file.source not in self._made_room and not file.is_acknowledged:
            self._made_room.add(file.source)  # once a scan: it looks at all links
            for segment in self._budget.list_linked(file.source):
                other = self._files.get(segment)
                if other is not None and self._is_precaution(other):
                    self._release_if_delivered(other)
        return self._budget.has_room(file)

    def _release_if_delivered(self, file: File) -> None:
        if file.is_acknowledged and self.has_link(file) and not self.is_retained(file):
            self._release(file)

    def _share_room(self) -> None:
        """Link files for which there was no room, as far as there is some now."""
        self._measure_arrivals()
        self._made_room.clear()
        for source in self._budget.full:
            for file in self._budget.list_waiting(source):
                is_new, is_live = file.state is SegmentState.NEW, file.state is SegmentState.LIVE
                if file.id not in self._files or not (is_new or is_live) or _is_finished(file):
                    self._budget.settle(file)
                    continue
                if is_new and self._has_room(file):
                    self._budget.settle(file)
                    self.keep_unread(file)
                    continue
                self.pin(file)
                if not self.has_link(file):
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

    def _accept_ctime(self, file: File) -> None:
        """Accept the ctime that our own link or unlink gave a file, if nothing else changed."""
        try:
            status = self._tree.stat(file.path)
        except OSError:
            return
        is_unchanged = (status.st_ino, status.st_size, status.st_mtime_ns) == (
            file.inode,
            file.size,
            file.modified_ns,
        )
        if is_unchanged and file.changed_ns >= 0:
            file.accept_change(status.st_ctime_ns)

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
