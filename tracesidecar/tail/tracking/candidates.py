"""New files as they are when they are opened for the first time."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File
from tracesidecar.tail.fingerprint import Fingerprinter, Prefix
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.reading.compressed import ArchiveError, ArchiveFile
from tracesidecar.tail.reading.open_files import OpenedFile, OpenFiles, WithheldFile
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.tracking.segment_log import SegmentLog


@dataclass(frozen=True, slots=True)
class Candidate:
    """A new file that has been opened, with its first bytes."""

    file: File
    opened: OpenedFile
    head: bytes
    status: os.stat_result


class CandidateOpener:
    """Opens new files, and takes their fingerprints."""

    def __init__(
        self,
        open_files: OpenFiles,
        arrivals: Arrivals,
        held_files: HeldFiles,
        fingerprinter: Fingerprinter,
        *,
        tree: Tree,
        log: SegmentLog,
        scan: ScanContext,
    ) -> None:
        self._tree = tree
        self._open_files = open_files
        self._arrivals = arrivals
        self._held_files = held_files
        self._fingerprinter = fingerprinter
        self._log = log
        self._scan = scan

    def open(self, file: File) -> Candidate | None:
        """Open a new file; None while it is empty, unreadable, or an archive that barely begins.

        Raise ArchiveError if it is an archive without anything readable.
        """
        try:
            found = self._open_files.open_new(file)
            head = b"" if found is None else found[0].pread(TAIL_BYTES, 0)
        except WithheldFile as error:
            self._scan.withheld[file.id] = error.kind
            self._scan.warn(error.kind, file.path, f"the file is not read: {error.problem}")
            # not recorded: after a restart `owners` may be another
            file.accept_change(error.changed_ns)
            return None
        except OSError as error:
            self.wait_for_content(file, error)
            return None
        self._scan.note_readable(file.id)
        self._scan.withheld.pop(file.id, None)
        if found is None:
            if file.has_barely_begun:
                self._await_content(file)
            return None
        opened, status = found
        if not head and isinstance(opened, ArchiveFile) and opened.damage is not None:
            raise ArchiveError(opened.damage.reason)
        if not head:
            if isinstance(opened, ArchiveFile):
                file.observe_archive(opened)  # that of an empty file is whole
            self._open_files.close_file(file)
            self._await_content(file)
            return None
        file.note_prefix(Prefix(len(head), self._fingerprinter.digest(head)))
        return Candidate(file, opened, head, status)

    def _await_content(self, file: File) -> None:
        """Record a file without content; an archive that barely begins may be deleted like that."""
        self._log.save_lazily(file)
        if file.has_barely_begun:
            self._held_files.keep_unread(file)

    def wait_for_content(self, file: File, error: OSError) -> None:
        """Leave a new file that cannot be read now to the scans that follow."""
        self._scan.note_unreadable(file.id, error.strerror or "it cannot be opened")
        self._scan.warn(
            "unreadable", file.path, "the file cannot be opened: it is read once it can be"
        )
        self._note_unread(file)
        self._held_files.keep_unread(file)

    def has_lost_its_name(self, file: File) -> bool:
        """Return whether a file that is kept is no longer under its name."""
        is_deleted = self._is_kept(file) and not os.path.lexists(file.path)
        return is_deleted or self.is_replaced(file)

    def is_replaced(self, file: File) -> bool:
        """Return whether another file has the name of one that is kept."""
        if not self._is_kept(file):
            return False
        try:
            status = self._tree.stat(file.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != (file.device, file.inode)

    def _is_kept(self, file: File) -> bool:
        """Return whether a file can be read by itself: since it arrived, or while it waits."""
        return self._open_files.is_open(file) or self._arrivals.find(file) is not None

    def _note_unread(self, file: File) -> None:
        """Record how long a new file is: if it is deleted, the journal has to know that it was."""
        arrival = self._arrivals.find(file)
        try:
            status = arrival.stat() if arrival is not None else self._tree.stat(file.path)
        except OSError:
            file.accept_change(-1)
            size = self._open_files.find_linked_size(file) or 0
        else:
            file.accept_change(status.st_ctime_ns)
            size = status.st_size
        if file.note_unread(size):
            self._log.save_new(file)
        else:
            self._log.save_lazily(file)
