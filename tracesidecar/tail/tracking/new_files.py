"""What to do with a file that is not known yet.

It may be undecided for now, the continuation of another segment, a possible copy in progress, or a
segment of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.walk import Discovery
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter, Prefix
from tracesidecar.tail.reading.compressed import ArchiveError, ArchiveFile
from tracesidecar.tail.reading.open_files import OpenedFile, OpenFiles
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.segment_log import SegmentLog

_CLOCK_SLACK_NS = 2_000_000_000
"""How much coarser than ours the times of a restored or compressed copy may be."""


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
        fingerprinter: Fingerprinter,
        log: SegmentLog,
        scan: ScanContext,
    ) -> None:
        self._open_files = open_files
        self._fingerprinter = fingerprinter
        self._log = log
        self._scan = scan

    def open(self, file: File) -> Candidate | None:
        """Open a new file; None while it is empty, unreadable, or an archive that barely begins.

        Raise ArchiveError if it is an archive without anything readable.
        """
        try:
            found = self._open_files.open_new(file)
        except OSError:
            self._scan.warn(
                "unreadable", file.path, "the file cannot be opened: it is read once it can be"
            )
            file.accept_change(_changed_ns(file.path))
            return None
        if found is None:
            return None
        opened, status = found
        head = opened.pread(TAIL_BYTES, 0)
        if not head and isinstance(opened, ArchiveFile) and opened.damage is not None:
            raise ArchiveError(opened.damage.reason)
        if not head:
            self._open_files.release(file)
            self._log.save_lazily(file)
            return None
        file.note_prefix(Prefix(len(head), self._fingerprinter.digest(head)))
        return Candidate(file, opened, head, status)


class NewFiles:
    """Registers new files during a scan, and decides about them at its end."""

    def __init__(
        self,
        files: FileTable,
        discovery: Discovery,
        opener: CandidateOpener,
        continuations: Continuations,
        lifecycle: Lifecycle,
    ) -> None:
        self._files = files
        self._discovery = discovery
        self._opener = opener
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._candidates: dict[int, File] = {}

    def register(
        self, location: FileLocation, status: os.stat_result, *, generation: int = 0
    ) -> None:
        """Make a file known whose inode was not."""
        source = location.source or 0
        self.reconsider(self._lifecycle.create(location, status, source, generation=generation))

    def reconsider(self, file: File) -> None:
        """Decide, at the end of this scan, about a new file that has changed."""
        self._candidates[file.id] = file

    def search_rotated(self, old: FileLocation, modified_ns: int) -> None:
        """After a file was rotated away from its name, register what came and went there unseen."""
        for location in self._discovery.search_rotated(old, modified_ns):
            try:
                status = os.stat(location.path)
            except OSError:
                continue
            if self._files.find(status.st_dev, status.st_ino) is None:
                self.register(location, status)

    def decide(self) -> None:
        """Decide about every new file of this scan, and about those that wait."""
        self._search_continuations()
        candidates = {file.id: file for file in self._continuations.waiting} | self._candidates
        order = sorted(
            candidates.values(), key=lambda file: (file.source, file.modified_ns, file.path)
        )
        for file in order:
            if file.state is SegmentState.NEW and file.id in self._files:
                self._decide(file)
        self._candidates = {}

    def _decide(self, file: File) -> None:
        try:
            candidate = self._opener.open(file)
        except ArchiveError:
            self._lifecycle.take(file)  # reading it will report what is wrong
            return
        if candidate is None:
            return
        orphan = self._continuations.find_predecessor(
            candidate.opened, candidate.head
        ) or self._continuations.find_suspended(file, candidate.opened)
        if orphan is not None:
            self._lifecycle.continue_in(orphan, file, candidate.status)
            return
        size = candidate.status.st_size
        if self._continuations.is_spent(file, size):
            self._lifecycle.spend(file)
            return
        original = self._continuations.original_of(file, candidate.opened, candidate.head)
        if original is not None and self._continuations.wait(file, original, size):
            return
        if original is None or self._discovery.is_matched(file):
            self._lifecycle.take(file)
        else:
            self._lifecycle.forget(file)  # a copy, under a name that no glob matches

    def _search_continuations(self) -> None:
        """Search the siblings of orphans, also those that no glob matches, for a continuation."""
        searched: set[Directory] = set()
        for orphan in self._continuations.orphans:
            if orphan.directory in searched or orphan.state is SegmentState.DELETED:
                continue
            searched.add(orphan.directory)
            for sibling in self._discovery.siblings(orphan.directory):
                if sibling.source is None:
                    self._consider(sibling)

    def _consider(self, sibling: FileLocation) -> None:
        """See whether an orphan continues in a file that no glob matches; forget it if not."""
        orphans = self._continuations.orphans
        try:
            status = os.stat(sibling.path, follow_symlinks=False)
        except OSError:
            return
        is_young = any(
            status.st_mtime_ns + _CLOCK_SLACK_NS >= orphan.modified_ns for orphan in orphans
        )
        if not is_young or self._files.find(status.st_dev, status.st_ino) is not None:
            return
        file = self._lifecycle.create(sibling, status, orphans[0].source)
        try:
            candidate = self._opener.open(file)
            orphan = (
                None
                if candidate is None
                else self._continuations.find_predecessor(candidate.opened, candidate.head)
            )
        except ArchiveError:
            candidate = orphan = None
        if candidate is None or orphan is None:
            self._lifecycle.forget(file)
        else:
            self._lifecycle.continue_in(orphan, file, candidate.status)


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return -1
