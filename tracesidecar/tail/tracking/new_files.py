"""What becomes of a file that is not known yet: nothing for now, an heir, a possible copy, or a
segment of its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.discovery.walk import Place
from tracesidecar.tail.file_table import Directory, File
from tracesidecar.tail.reading.compressed import ArchiveError, compression_of
from tracesidecar.tail.reading.open_files import Opened
from tracesidecar.tail.tracking.scan_context import Parts

_CLOCK_SLACK_NS = 2_000_000_000
"""How much coarser than ours the times of a restored or compressed copy may be."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    file: File
    opened: Opened
    head: bytes
    status: os.stat_result


class NewFiles:
    """Takes new files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def meet(self, place: Place, status: os.stat_result, *, generation: int = 0) -> None:
        """Register a file whose inode is not known; it is decided about at the end of the turn."""
        parts = self._parts
        file = self._new(place, status, place.source or 0, generation)
        parts.turn.candidates[file.id] = file

    def decide(self) -> None:
        """Decide about every new file of this turn, and those that wait."""
        parts = self._parts
        for wait in parts.takeovers.waiting.values():
            parts.turn.candidates.setdefault(wait.file.id, wait.file)
        self._search_heirs()
        order = sorted(
            parts.turn.candidates.values(),
            key=lambda file: (file.source, file.modified_ns, file.path),
        )
        for file in order:
            if file.state == "new" and file.id in parts.files:
                self._decide(file)

    def expire(self, *, searched: bool) -> None:
        """Drop orphans that are settled, give up others.

        `searched`: every directory was listed in this turn.
        """
        parts = self._parts
        for file in parts.takeovers.expired(parts.turn.now):
            if file.state == "deleted" and parts.access.outlasts_its_name(file):
                continue
            if file.settled >= file.length and file.id not in parts.turn.changed:
                parts.forget(file)
            elif file.state != "deleted" and searched:
                parts.give_up(file, file.loss or "deleted")

    def needs_search(self) -> bool:
        """Tell whether a segment is about to be given up: everything is listed before that."""
        expired = self._parts.takeovers.expired(self._parts.turn.now)
        return any(file.state != "deleted" and file.settled < file.length for file in expired)

    def _new(self, place: Place, status: os.stat_result, source: int, generation: int) -> File:
        parts, directory = self._parts, place.directory
        device = directory.device if directory.device == status.st_dev else status.st_dev
        file = File(
            parts.ledger.new_id(parts.files),
            source,
            directory,
            place.name,
            device,
            status.st_ino,
            generation,
        )
        parts.files.add(file)
        return file

    def _decide(self, file: File) -> None:
        parts = self._parts
        try:
            candidate = self._open(file)
        except ArchiveError:
            self._take(file)  # reading it will say what is wrong
            return
        if candidate is None:
            return
        orphan = parts.takeovers.match(candidate.opened, candidate.head)
        if orphan is not None:
            self._inherit(orphan, candidate)
            return
        size = candidate.status.st_size
        if parts.takeovers.is_spent(file, size):
            self._take(file, is_spent=True)
            return
        original = parts.takeovers.original(file, candidate.opened, candidate.head)
        if original is not None and parts.takeovers.wait(file, original, size, parts.turn.now):
            return
        if original is None or parts.discovery.is_matched(file):
            self._take(file)
        else:
            parts.forget(file)  # somebody's copy, under a name that nobody asked for

    def _open(self, file: File) -> _Candidate | None:
        """Open a new file; None while it is empty, unreadable, or an archive that has hardly begun."""
        parts = self._parts
        try:
            descriptor = parts.access.descriptors.open(file.path)
        except FileNotFoundError:
            return None
        except OSError:
            parts.turn.warn(
                "unreadable", file.path, "the file cannot be opened: it is taken when it can be"
            )
            file.changed_ns = _changed_ns(file.path)
            return None
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (file.device, file.inode):
            os.close(descriptor)
            return None
        parts.access.adopt(file, descriptor)
        file.note(status)
        file.compression = compression_of(file.name, os.pread(descriptor, TAIL_BYTES, 0))
        opened = parts.access.anew(file)
        if opened is None or not (head := opened.pread(TAIL_BYTES, 0)):
            parts.access.let_go(file)
            parts.ledger.save_lazily(file)
            return None
        file.prefix_length = file.size if file.size == len(head) else len(head)
        file.prefix_digest = parts.identity.digest(head)
        return _Candidate(file, opened, head, status)

    def _take(self, file: File, *, is_spent: bool = False) -> None:
        parts = self._parts
        parts.takeovers.forget(file)
        file.state = "spent" if is_spent else "live"
        parts.ledger.save(file)
        if is_spent:
            parts.access.let_go(file)
            return
        parts.turn.added.append(file.id)
        self._noted(file)

    def _inherit(self, orphan: File, candidate: _Candidate) -> None:
        """Let a segment go on in this file."""
        parts, heir = self._parts, candidate.file
        parts.at("rotating")
        parts.access.let_go(heir)
        parts.files.remove(heir)
        parts.takeovers.forget(heir)
        parts.access.let_go(orphan)
        parts.files.detach(orphan)
        parts.takeovers.forget(orphan)
        parts.files.move(orphan, heir.directory, heir.name)
        orphan.compression, orphan.state, orphan.loss = heir.compression, "live", None
        orphan.note(candidate.status)
        parts.files.attach(orphan)
        parts.ledger.save(orphan)
        self._noted(orphan)

    def _noted(self, file: File) -> None:
        parts = self._parts
        descriptor = parts.access.descriptor(file)
        parts.turn.changed[file.id] = None
        parts.pace.restless[file.id] = file
        if descriptor is not None:
            parts.access.protect(file, os.fstat(descriptor))
        file.changed_ns = -1  # it is looked at once more: what was decided may have been overtaken

    def _search_heirs(self) -> None:
        """Register the siblings of orphans that no glob matches but that may go on where the orphan
        ended.
        """
        parts = self._parts
        searched: set[Directory] = set()
        for orphan in list(parts.takeovers.orphans.values()):
            directory = orphan.file.directory
            if directory in searched or orphan.file.state == "deleted":
                continue
            searched.add(directory)
            for sibling in parts.discovery.siblings(directory):
                if sibling.source is None:
                    self._consider(
                        sibling, [other.file for other in parts.takeovers.orphans.values()]
                    )

    def _consider(self, sibling: Place, orphans: list[File]) -> None:
        """Look whether an orphan goes on in a file that no glob matches; if not, it is none of
        ours.
        """
        parts = self._parts
        try:
            status = os.stat(sibling.path, follow_symlinks=False)
        except OSError:
            return
        is_young = any(
            status.st_mtime_ns + _CLOCK_SLACK_NS >= orphan.modified_ns for orphan in orphans
        )
        if not is_young or parts.files.find(status.st_dev, status.st_ino) is not None:
            return
        file = self._new(sibling, status, orphans[0].source, 0)
        try:
            candidate = self._open(file)
            orphan = (
                None
                if candidate is None
                else parts.takeovers.match(candidate.opened, candidate.head)
            )
        except ArchiveError:
            candidate = orphan = None
        if candidate is None or orphan is None:
            parts.forget(file)
        else:
            self._inherit(orphan, candidate)


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return -1
