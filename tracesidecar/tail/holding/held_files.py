"""What keeps each file readable when its name is removed, and when that may be released."""

from __future__ import annotations

import time
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
    ) -> None:
        self._tree = tree
        self._files = files
        self._open_files = open_files
        self._hard_links = hard_links
        self._arrivals = arrivals
        self._scan = scan
        self._budget = budget
        self._made_room: set[int] = set()
        self._retained: frozenset[int] = frozenset()
        self._changed: set[int] = set()
        self._failed: dict[int, File] = {}
        self._set_aside = LinkedFiles()
        self._closing: list[int] = []

    # Protecting:

    def pin(self, file: File) -> None:
        """Link a file that is not finished, if possible; otherwise it is only kept open."""
        self._failed.pop(file.id, None)
        if file.state is not SegmentState.LIVE:
            return
        if not self.has_room(file):
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
        if self.has_room(file) and self._arrivals.keep(file):
            inode = file.device, file.inode
            self._budget.count_arrival(file.source, inode, file.disk_bytes)

    def settle(self, file: File) -> None:
        """Remove the link of a file that every sink has so far, unless something else needs it."""
        if not self.is_retained(file) and not self.is_precaution(file):
            self.unlink_live(file)

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
        self.measure_set_aside()
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

    def retry_failed(self) -> None:
        """Try again to link the files for which that failed: one attempt, as long as it fails."""
        for file in list(self._failed.values()):
            self.pin(file)
            if file.id in self._failed:
                break

    def forget_link(self, file: File) -> None:
        """Forget a link that somebody has removed."""
        self._hard_links.forget(file.id)
        self._budget.forget(file.id)
        self._changed.add(file.id)

    def unlink_deleted(self, file: File) -> None:
        """Remove the link of a deleted file that every sink has, unless it has more by now."""
        if not self.has_grown(file):
            self._remove_link(file.id)
            self._changed.add(file.id)

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

    # What is recorded:

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
        """The links that belong to no source, as they were when last measured."""
        return self._set_aside

    def measure_set_aside(self) -> None:
        """Find out what the folders of links set aside have."""
        self._set_aside = measure_links(set_aside_folders(self._hard_links.folders))

    def is_precaution(self, file: File) -> bool:
        """Return whether a file keeps its link although every sink has it."""
        return (
            file.state is SegmentState.LIVE
            and self._files.options(file).protect == "always"
            and time.time() - file.modified_ns / 1e9 < RECENT_SECONDS
        )

    def unlink_live(self, file: File) -> None:
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

    def begin_sharing(self) -> None:
        """Let files of sources that are full have the room of delivered ones again."""
        self._made_room.clear()

    def has_room(self, file: File) -> bool:
        """Return whether a file has a link or may have one, at the cost of delivered files."""
        if self.has_link(file) or self._files.options(file).protect == "never":
            return True
        if self._budget.has_room(file):
            return True
        if file.source not in self._made_room and not file.is_acknowledged:
            self._made_room.add(file.source)  # once a scan: it looks at all links
            for segment in self._budget.list_linked(file.source):
                other = self._files.get(segment)
                if other is not None and self.is_precaution(other):
                    self._release_if_delivered(other)
        return self._budget.has_room(file)

    def _release_if_delivered(self, file: File) -> None:
        if file.is_acknowledged and self.has_link(file) and not self.is_retained(file):
            self.unlink_live(file)

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
