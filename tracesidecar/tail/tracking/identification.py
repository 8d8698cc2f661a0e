"""Whether a file whose inode was not known is a known one after all."""

from __future__ import annotations

import os
import stat

from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.verification import Verification


class Identification:
    """Distinguishes new files from known ones that moved, or whose device number has changed."""

    def __init__(
        self,
        files: FileTable,
        verification: Verification,
        changes: Changes,
        lifecycle: Lifecycle,
        new_files: NewFiles,
        *,
        tree: Tree,
    ) -> None:
        self._tree = tree
        self._files = files
        self._lifecycle = lifecycle
        self._verification = verification
        self._changes = changes
        self._new_files = new_files

    def identify(self, location: FileLocation) -> None:
        """Follow a known file to this location, or register a new one."""
        try:
            status = self._tree.stat(location.path)
        except OSError:
            return
        if not stat.S_ISREG(status.st_mode):
            return  # put there since it was listed
        known = self._files.find(status.st_dev, status.st_ino)
        if known is not None and (
            known.state is not SegmentState.MISSING or self._changes.rename(known, location)
        ):
            return
        others = (
            *self._files.with_inode(status.st_ino),
            *self._files.find_suspended(status.st_ino),
        )
        if not any(self._follow_device(file, location, status) for file in others):
            self._new_files.register(location, status)

    def _follow_device(self, file: File, location: FileLocation, status: os.stat_result) -> bool:
        """Follow a file whose device has another number since a reboot, or was away.

        Return False if it is another file with the same inode number.
        """
        if file.state not in (SegmentState.LIVE, SegmentState.MISSING, SegmentState.AWAY):
            return False
        if self._changes.is_at(file, file.path) or not self._verification.is_same_at(
            file, location.path
        ):
            return False
        self._lifecycle.move(file, location.directory, location.name)
        self._lifecycle.relocate(file, status.st_dev)
        self._changes.verify(file)
        return True
