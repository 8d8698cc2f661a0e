"""What has become of a known file: unchanged, grown, moved, deleted, truncated or rewritten."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from tracesidecar.model import Checkpoint
from tracesidecar.rotation import is_rotated_name
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import LossReason, SegmentState
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.sibling_search import SiblingSearch
from tracesidecar.tail.tracking.verification import Verification

_ABSENT = (FileNotFoundError, NotADirectoryError)

_NAMED = (SegmentState.NEW, SegmentState.LIVE, SegmentState.SPENT)
"""The states of files that lose something if their name is gone."""

_COMPARED = (*_NAMED, SegmentState.MISSING, SegmentState.AWAY)
"""The states of files that are looked at more closely if they differ."""


_MOVED_SECONDS = 5.0
"""How long the name of a new file may be gone before it counts as deleted, and not as moved."""


class Changes:
    """Looks at known files, and follows up every difference."""

    def __init__(
        self,
        *,
        tree: Tree,
        files: FileTable,
        directories: WalkedDirectories,
        directory_mounts: DirectoryMounts,
        open_files: OpenFiles,
        verification: Verification,
        lifecycle: Lifecycle,
        new_files: NewFiles,
        siblings: SiblingSearch,
        scan: ScanContext,
    ) -> None:
        self._tree = tree
        self._files = files
        self._directories = directories
        self._directory_mounts = directory_mounts
        self._open_files = open_files
        self._verification = verification
        self._lifecycle = lifecycle
        self._new_files = new_files
        self._siblings = siblings
        self._scan = scan
        self._renamed: dict[int, tuple[File, FileLocation]] = {}
        self._postponed: defaultdict[int, dict[int, File]] = defaultdict(dict)
        self._strangers: list[FileLocation] = []
        self._nameless_since: dict[int, float] = {}

    def compare(self, file: File, *, is_needed: bool = False) -> int | None:
        """Compare a file's stat with the last one, and follow up a difference.

        That may wait for the next scan, unless it is needed in this one. Return the ctime of the
        write that was found, None if there was none.
        """
        if file.id in self._renamed and (is_needed or self._has_turn(file)):
            self._follow_name(file)
        try:
            status = self._tree.stat(file.path)
        except _ABSENT:
            if file.state not in _NAMED or is_needed or self._has_turn(file):
                self._lose_name(file)
            return None
        except OSError:
            self._look_past_name(file)
            return None
        if (status.st_dev, status.st_ino) == (file.device, file.inode):
            self._nameless_since.pop(file.id, None)
        is_quiet = (status.st_ctime_ns, status.st_size, status.st_dev, status.st_ino) == (
            file.changed_ns,
            file.size,
            file.device,
            file.inode,
        )
        if not is_quiet and file.state in _COMPARED and not is_needed and not self._has_turn(file):
            return None
        if status.st_ino != file.inode or self._is_other(file, status):
            self._lose_name(file)
            return None
        if is_quiet:
            if self._directory_mounts.has_changed(file):
                self._lifecycle.relocate(file, status.st_dev)
            return None
        written_ns = status.st_ctime_ns if _is_written(file, status) else None
        self._look_closer(file, status)
        return written_ns

    def _has_turn(self, file: File) -> bool:
        """Return whether a file that differs is looked at in this scan; if not, in the next."""
        if self._scan.turns.take(file.source, "known"):
            return True
        file.require_verification()
        self._postponed[file.source][file.id] = file
        return False

    def compare_postponed(self) -> None:
        """Compare the files for which there was no time before, as many as there is time for."""
        self._nameless_since = {
            segment: since
            for segment, since in self._nameless_since.items()
            if segment in self._files
        }
        for source in self._scan.turns.order(self._postponed):
            waiting = self._postponed[source]
            while waiting and self._scan.turns.take(source, "known"):
                file = waiting.pop(next(iter(waiting)))
                if file.id in self._files:
                    self.compare(file, is_needed=True)

    def settle(self, file: File) -> None:
        """Find out what has become of a file before this scan decides about others."""
        self.compare(file, is_needed=True)
        if file.state is SegmentState.DELETED:
            self.verify(file)  # its link may hold something else by now

    def compare_namesakes(self, new: Iterable[File]) -> bool:
        """Compare the known files whose names new ones have; return whether one has lost its name.

        A file that is rewritten under another name and renamed over the old one goes on where
        that ended. The event names the new file only, and the old one may have been quiet.
        """
        names: defaultdict[Directory, set[str]] = defaultdict(set)
        for file in new:
            names[file.directory].add(file.name)
        known = [
            file
            for directory, taken in names.items()
            for name in taken
            for file in directory.files.with_name(name)
            if file.state is SegmentState.LIVE
        ]
        for file in known:
            self.settle(file)
        return any(file.state is not SegmentState.LIVE for file in known)

    def verify(self, file: File, *, is_scan: bool = True) -> None:
        """Check size and digests of a file that may have changed, and follow up what they show.

        Outside of a scan, a file that holds something else is left to the next scan: only a scan
        meets the file in which its segment may go on.
        """
        if self._follow_up(file, is_scan=is_scan):
            return
        if file.state is SegmentState.DELETED:
            self._wait_for_content(file)
            return
        try:
            status = self._tree.stat(file.path)
        except _ABSENT:
            self._lose_name(file)
        except OSError:
            self._warn_unreadable(file, "reached")
        else:
            if (status.st_dev, status.st_ino) == (file.device, file.inode):
                self._lifecycle.note_unread(file, status.st_size)
                self._warn_unreadable(file, "opened")
            else:
                self._lose_name(file)

    def _follow_up(self, file: File, *, is_scan: bool = True) -> bool:
        """Compare a file's content, and follow up the result; return False if it cannot be opened.

        Whoever calls this decides what that means: the file may be gone, or its name may be, or
        neither.
        """
        verdict = self._verification.verify(file, self._scan.broken.get(file.id))
        if verdict is None:
            return False
        self._scan.broken.pop(file.id, None)
        self._scan.note_readable(file.id)
        if verdict.reason is None:
            self._lifecycle.accept(file, verdict.status)
            prefix = self._verification.longer_prefix(file, verdict.opened)
            if prefix is not None:
                self._lifecycle.extend_prefix(file, prefix)
        elif verdict.reason in ("corrupt", "bomb"):
            self._lifecycle.give_up(file, verdict.reason)
        elif file.state is SegmentState.DELETED:
            self._lifecycle.end(file, verdict.reason)  # a copy may have what was here
        elif not is_scan:
            self._lifecycle.postpone_verification(file)
        else:
            unchanged = self._verification.find_unchanged(file, verdict)
            self._begin_generation(file, verdict.reason, verdict.status, unchanged)
        return True

    def follow_names(self, renamed: Iterable[tuple[File, FileLocation]]) -> list[FileLocation]:
        """Follow files to other names, these and those for which there was no time before.

        Return the followed names where something else was met.
        """
        self._renamed |= {file.id: (file, location) for file, location in renamed}
        for file, _ in list(self._renamed.values()):
            if self._scan.turns.take(file.source, "known"):
                self._follow_name(file)
        strangers, self._strangers = self._strangers, []
        return strangers

    def _follow_name(self, file: File) -> None:
        _, location = self._renamed.pop(file.id)
        if (
            file.id in self._files
            and not self.rename(file, location)
            and location.source is not None
        ):
            self._strangers.append(location)

    def rename(self, file: File, location: FileLocation) -> bool:
        """Follow a file to the name under which its inode was met.

        A file that still has its old name has only got a hard link, and stays where it is. Return
        False if another file is met there: inode numbers are those of one file system.
        """
        if not self.is_at(file, location.path) or not self._is_on_its_file_system(file, location):
            return False
        if self.is_at(file, file.path):
            return True
        if self._is_another(file, location.path):
            self._lifecycle.lose_inode(file)
            return False
        old = FileLocation(file.directory, file.name, None)
        if (
            file.state is SegmentState.NEW
            and not file.is_undecided
            and location.source is None
            and not is_rotated_name(location.name, old.name)
            and not self._open_files.is_awaited(file)
        ):
            # Nothing but an inode, which may have been reused, says that this is the empty file.
            self._lifecycle.forget(file)
            return False
        self._lifecycle.move(file, location.directory, location.name)
        self._lifecycle.look_up_path(file)
        self.compare(file)
        self._siblings.note_rotated(old, file.modified_ns)
        return True

    def is_at(self, file: File, path: str) -> bool:
        """Return whether a path leads to this very file."""
        status = self._stat(path)
        return status is not None and (status.st_dev, status.st_ino) == (file.device, file.inode)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return self._tree.stat(path)
        except OSError:
            return None

    def _look_closer(self, file: File, status: os.stat_result) -> None:
        is_elsewhere = status.st_dev != file.device or self._directory_mounts.has_changed(file)
        if file.state is SegmentState.NEW:
            if is_elsewhere:
                self._replace(file, status)
            else:
                self._new_files.reconsider_known(file, status.st_size)
        elif file.state is SegmentState.AWAY or (
            is_elsewhere and file.state in (SegmentState.LIVE, SegmentState.MISSING)
        ):
            self._identify_elsewhere(file, status)
        elif file.state in (SegmentState.LIVE, SegmentState.MISSING):
            self.verify(file)
        elif (
            file.state is SegmentState.SPENT
            and file.loss == "corrupt"
            and status.st_size > file.size
            and not self._is_another(file, file.path)
        ):
            self._lifecycle.resume_archive(file)
            self.verify(file)
        elif file.state is SegmentState.SPENT and (
            status.st_size != file.size or self._is_another(file, file.path)
        ):
            self._replace(file, status)

    def _replace(self, file: File, status: os.stat_result) -> None:
        """Forget a file of which nothing is read, and register the one that has its name."""
        self._lifecycle.forget(file)
        self._new_files.register(FileLocation(file.directory, file.name, file.source), status)

    def _identify_elsewhere(self, file: File, status: os.stat_result) -> None:
        """Find out what has a file's name and inode number on another device.

        It is the same file system, mounted under another number, if the content is the same, read
        through the name: what was kept open would only agree with itself. Otherwise it is another
        file, and this one is wherever its file system is.
        """
        if self._verification.is_same_at(file, file.path):
            self._lifecycle.relocate(file, status.st_dev)
            self.verify(file)
            return
        if file.state is SegmentState.LIVE and self._open_files.outlasts_its_name(file):
            self._lose_name(file)
        elif file.state is not SegmentState.AWAY:
            self._lifecycle.suspend(file)
        if self._files.find(status.st_dev, status.st_ino) is None:
            location = FileLocation(file.directory, file.name, file.source)
            self._new_files.register(location, status)

    def _is_other(self, file: File, status: os.stat_result) -> bool:
        """Return whether a stat is that of another known file, on another device."""
        return status.st_dev != file.device and (
            self._files.find(status.st_dev, status.st_ino) is not None
        )

    def _is_another(self, file: File, path: str) -> bool:
        """Return whether a path with a file's inode number leads to another file.

        File systems give a number again as soon as nothing has it: so nothing may have kept it.
        """
        return (
            file.state in (SegmentState.LIVE, SegmentState.MISSING, SegmentState.SPENT)
            and not self._open_files.outlasts_its_name(file)
            and self._verification.is_another_at(file, path)
        )

    def _is_on_its_file_system(self, file: File, location: FileLocation) -> bool:
        """Return whether a file can be at a location at all, or has the content to prove it."""
        place = location.directory.place
        return (
            place is None
            or file.place in (None, place)
            or self._verification.is_same_at(file, location.path)
        )

    def _begin_generation(
        self, file: File, reason: LossReason, status: os.stat_result, unchanged: Checkpoint
    ) -> None:
        """End a segment whose file holds something else now: that is a new generation."""
        location = FileLocation(file.directory, file.name, file.source)
        self._lifecycle.end(file, reason)
        self._new_files.register_generation(file, location, status, unchanged, reason)
        self._siblings.note_rotated(location, file.modified_ns)

    def _lose_name(self, file: File) -> None:
        """Find out where a file is whose name is gone, or is another file's.

        Its descriptor or link shows whether it has another name.
        """
        if file.state is SegmentState.NEW:
            self._lose_name_of_new(file)
        if file.state is not SegmentState.LIVE:
            return
        old = FileLocation(file.directory, file.name, None)
        try:
            names = self._open_files.link_count(file)
        except OSError:
            self._wait_for_content(file)
            return
        if names is None:
            self._lifecycle.lose_name(file, is_readable=False)
        elif (path := self._open_files.current_path(file)) is not None:
            directory = self._directories.find(os.path.dirname(path))
            self._lifecycle.move(file, directory, os.path.basename(path))
            self._verify_nameless(file)
        elif names <= 0:
            self._lifecycle.lose_name(file, is_readable=True)
        else:
            # It has a name that cannot be found, and is read through its descriptor or link.
            self._lifecycle.stay_nameless(file)
            self._verify_nameless(file)
        self._siblings.note_rotated(old, file.modified_ns)

    def _lose_name_of_new(self, file: File) -> None:
        """Take, forget or go on waiting with a new file whose name is gone."""
        if self._new_files.is_left_to_decide(file) and self._open_files.is_open(file):
            self._lifecycle.stay_nameless(file)
            return
        if file.is_undecided and self._may_have_moved(file):
            self._lifecycle.postpone_verification(file)
            return
        if file.is_undecided and self._new_files.is_sure_to_be_new(file):
            # It can no longer be a copy that takes over from another: what is in it is its own.
            self._lifecycle.take(file)
        elif self._open_files.is_linked(file):
            self._new_files.take_linked(file)
        if file.state is not SegmentState.NEW:
            return
        if self._open_files.is_awaited(file):
            self._lifecycle.stay_nameless(file)
            self._new_files.reconsider(file)
        elif not (file.has_barely_begun or file.length) or file.prefix_length:
            self._lifecycle.forget(file)
        elif self._is_deleted(file):
            self._lifecycle.give_up(file, "corrupt" if file.has_barely_begun else "unreadable")

    def _is_deleted(self, file: File) -> bool:
        """Return whether a file whose name is gone was deleted, and is not just out of sight."""
        with suppress(OSError):  # there is a link, and it cannot be seen now
            if self._open_files.link_count(file) == 0:
                return True
        return self._directory_mounts.proves_deletion(file)

    def _may_have_moved(self, file: File) -> bool:
        """Return whether another name of a file may be among what no scan has looked at yet."""
        if not self._scan.turns.is_bounded:
            return False
        since = self._nameless_since.setdefault(file.id, self._scan.now)
        patience = min(self._files.options(file).copy_grace, _MOVED_SECONDS)
        return self._scan.now - since < patience

    def _verify_nameless(self, file: File) -> None:
        """Verify a file that was found without the help of its name.

        To ask for the name again would find the same, as often as it is asked.
        """
        if not self._follow_up(file):
            self._wait_for_content(file)

    def _wait_for_content(self, file: File) -> None:
        """Leave a file without a name, which cannot be opened now, to the scans that follow.

        As long as its link is there, nothing in it is lost.
        """
        with suppress(OSError):  # there is a link, and it cannot be seen now
            if self._open_files.link_count(file) is None:
                self._lifecycle.lose_name(file, is_readable=False)
                return
        self._lifecycle.stay_nameless(file)
        size = self._open_files.find_linked_size(file)
        if size == file.size and file.is_acknowledged:
            self._scan.note_readable(file.id)  # there is nothing to read
            return
        self._warn_unreadable(file, "opened")

    def _look_past_name(self, file: File) -> None:
        """Look at a file whose name cannot be looked up now: our link may still lead to it."""
        if file.state is SegmentState.NEW and self._open_files.is_awaited(file):
            self._new_files.reconsider(file)
            return
        size = self._open_files.find_linked_size(file)
        if file.state is SegmentState.LIVE and size not in (None, file.size):
            self._follow_up(file)
        self._warn_unreadable(file, "reached")

    def _warn_unreadable(self, file: File, verb: str) -> None:
        if (size := self._open_files.find_linked_size(file)) is not None:
            self._lifecycle.note_unread(file, size)
        self._scan.note_unreadable(file.id, f"it cannot be {verb}")
        self._scan.warn(
            "unreadable", file.path, f"the file cannot be {verb}: it is read once it can be"
        )


def _is_written(file: File, status: os.stat_result) -> bool:
    """Return whether a known file was written to.

    Our own links move only the ctime, and a file that was never looked at has no time yet.
    """
    return bool(file.modified_ns) and (status.st_mtime_ns, status.st_size) != (
        file.modified_ns,
        file.size,
    )
