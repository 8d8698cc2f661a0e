"""What has become of a known file: unchanged, grown, moved, deleted, truncated or rewritten."""

from __future__ import annotations

import os
import time

from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.discovery.walk import Place
from tracesidecar.tail.file_table import File
from tracesidecar.tail.reading.compressed import ArchiveError
from tracesidecar.tail.reading.open_files import Opened
from tracesidecar.tail.segments import LossReason
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.scan_context import Parts

_FRESH_NS = 3_000_000_000
"""A file changed this recently is verified again next turn: within one tick of its clock a file
system shows no second change.
"""


class Changes:
    """Looks at known files."""

    def __init__(self, parts: Parts, admission: NewFiles) -> None:
        self._parts = parts
        self._admission = admission

    def look(self, file: File, *, announced: bool = True) -> None:
        """Compare a file with what is known of it. `announced`: a change is no surprise."""
        try:
            status = os.stat(f"{file.directory.path}/{file.name}")
        except (FileNotFoundError, NotADirectoryError):
            self._lose_name(file)
            return
        except OSError:
            self._parts.turn.warn(
                "unreadable", file.path, "the file cannot be reached: it is taken when it can be"
            )
            return
        if status.st_ino != file.inode:
            self._lose_name(file)
        elif (
            status.st_ctime_ns != file.changed_ns
            or status.st_size != file.size
            or status.st_dev != file.device
        ):
            if (
                not announced
                and file.modified_ns
                and (status.st_mtime_ns, status.st_size) != (file.modified_ns, file.size)
            ):
                # not its first look, and more than our own links, which move only the ctime
                self._parts.pace.distrust(self._parts.turn.now, status.st_ctime_ns)
            if file.state == "new":
                self._parts.turn.candidates[file.id] = file
            elif file.state in ("live", "missing"):
                file.device = status.st_dev  # a reboot may have renumbered it; the digests tell
                self.verify(file)
            elif file.state == "spent" and status.st_size != file.size:
                self._parts.forget(file)
                self._admission.meet(Place(file.directory, file.name, file.source), status)

    def look_at_deleted(self) -> None:
        """See whether deleted files have grown, and what it was that readers found broken."""
        parts = self._parts
        suspects = [parts.files.get(segment) for segment in parts.turn.broken]
        deleted = [
            orphan.file
            for orphan in parts.takeovers.orphans.values()
            if orphan.file.state == "deleted"
        ]
        for file in {file.id: file for file in [*suspects, *deleted] if file is not None}.values():
            if file.state in ("live", "deleted"):
                self.verify(file)
        parts.turn.broken.clear()

    def rename(self, file: File, place: Place) -> None:
        """Follow a file to the name under which its inode was met, unless it still has the old one
        (a hard link).
        """
        if self._is_at(file, file.path) or not self._is_at(file, place.path):
            return
        old = Place(file.directory, file.name, None)
        self._parts.files.move(file, place.directory, place.name)
        if (
            file.state == "new"
            and place.source is None
            and not self._parts.discovery.is_rotated_name(place.name, old.name)
        ):
            self._parts.forget(
                file
            )  # nothing but an inode says that this is the empty file that was there
            return
        if file.state == "missing":
            file.state = "live"
            self._parts.takeovers.forget(file)
        self._parts.ledger.save(file)
        self.look(file)
        self.follow_rotation(old, file)

    def follow_rotation(self, old: Place, file: File) -> None:
        """After `file` was rotated away from its name: find the generations that came and went
        under that name unseen.
        """
        discovery = self._parts.discovery
        if not discovery.note_rotation(old, file.modified_ns):
            return
        for sibling in discovery.siblings(old.directory):
            if (
                sibling.source is None
                and (place := discovery.rotated(old.directory, sibling.name)) is not None
            ):
                self._meet(place)

    def is_moved_device(self, file: File, place: Place, status: os.stat_result) -> bool:
        """Tell whether a file is one that was known on another device (a reboot renumbers them); it
        is then followed.
        """
        parts = self._parts
        if file.state not in ("live", "missing") or self._is_at(file, file.path):
            return False
        known = file.device
        file.device = status.st_dev
        parts.files.move(file, place.directory, place.name)
        opened = parts.access.open(file)
        if opened is None or self._verdict(file, opened, status) is not None:
            file.device = known
            return False
        file.state = "missing"
        self.verify(file)
        return True

    def verify(self, file: File) -> None:
        """Check size and digests of a file that has changed, and take over how it is now."""
        parts = self._parts
        opened = parts.access.anew(file)
        descriptor = parts.access.descriptors.get(file.id)
        if opened is None or descriptor is None:
            if self._is_at(file, file.path):
                parts.turn.warn(
                    "unreadable", file.path, "the file cannot be opened: it is taken when it can be"
                )
            else:
                self._lose_name(file)
            return
        status = os.fstat(descriptor)
        reason = parts.turn.broken.pop(file.id, None) or self._verdict(file, opened, status)
        if reason is None:
            self._accept(file, opened, status)
        elif reason in ("corrupt", "bomb") or file.state == "deleted":
            parts.give_up(file, reason)
        else:
            self.end(file, reason, status)

    def end(self, file: File, reason: LossReason, status: os.stat_result) -> None:
        """End a segment whose file holds something else now; that is a new generation."""
        parts = self._parts
        parts.at("rotating")
        parts.files.detach(file)
        parts.access.let_go(file)
        file.state, file.loss = "ended", reason
        parts.takeovers.orphan(file, parts.turn.now)
        parts.ledger.save(file)
        place = Place(file.directory, file.name, file.source)
        self._admission.meet(place, status, generation=file.generation + 1)
        self.follow_rotation(place, file)

    def _verdict(self, file: File, opened: Opened, status: os.stat_result) -> LossReason | None:
        identity = self._parts.identity
        if status.st_size < (file.reach_offset if file.compression == "none" else file.size):
            return "truncated"
        try:
            if not identity.begins_with(opened, file.prefix):
                return "truncated" if status.st_size < file.size else "changed"
            if file.compression == "none" and not identity.stands_at(opened, file.reach):
                return "truncated" if status.st_size < file.size else "changed"
        except ArchiveError as error:
            return error.trouble
        return None

    def _accept(self, file: File, opened: Opened, status: os.stat_result) -> None:
        parts = self._parts
        if (status.st_size, status.st_mtime_ns) != (
            file.size,
            file.modified_ns,
        ) or file.state == "missing":
            parts.turn.changed[file.id] = None
        if file.state == "missing":
            file.state = "live"
            parts.takeovers.forget(file)
        file.is_whole = file.is_whole and status.st_size == file.size
        file.note(status)
        parts.ledger.save_lazily(file)
        if time.time_ns() - status.st_ctime_ns < _FRESH_NS:
            file.changed_ns = -1
            parts.pace.restless[file.id] = file
        elif parts.discovery.is_watched(file.directory):
            parts.pace.rest(file)
        if file.prefix_length < TAIL_BYTES and (
            file.length > file.prefix_length or file.compression != "none"
        ):
            self._extend_prefix(file, opened)
        if file.settled < file.length or file.id in parts.access.retained:
            parts.access.protect(file, status)

    def _extend_prefix(self, file: File, opened: Opened) -> None:
        prefix = self._parts.identity.prefix(opened)
        if prefix.length == TAIL_BYTES or prefix.length >= 2 * file.prefix_length:
            self._parts.ledger.save(file)
        file.prefix_length, file.prefix_digest = prefix.length, prefix.digest

    def _lose_name(self, file: File) -> None:
        """The name is gone or is another file's.

        What is open or held shows whether the file has another name.
        """
        parts = self._parts
        if file.state == "new":
            parts.forget(file)
            return
        if file.state != "live":
            return
        descriptor = parts.access.descriptor(file)
        old = Place(file.directory, file.name, None)
        if descriptor is None:
            file.state = "missing"
            parts.takeovers.orphan(file, parts.turn.now)
            parts.ledger.save(file)
        elif (path := parts.access.current_path(file)) is not None:
            parts.files.move(
                file, parts.discovery.directory(os.path.dirname(path)), os.path.basename(path)
            )
            parts.pace.restless[file.id] = file
            parts.ledger.save(file)
            self.look(file)
        elif parts.access.names(file, os.fstat(descriptor)) <= 0:
            file.state = "deleted"
            parts.turn.changed[file.id] = None
            parts.takeovers.orphan(file, parts.turn.now)
            parts.ledger.save(file)
        else:
            parts.pace.restless[file.id] = (
                file  # it has a name that cannot be found: it is read by what is held
            )
            self.verify(file)
        self.follow_rotation(old, file)

    def _is_at(self, file: File, path: str) -> bool:
        try:
            status = os.stat(path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (file.device, file.inode)

    def _meet(self, place: Place) -> None:
        try:
            status = os.stat(place.path)
        except OSError:
            return
        if self._parts.files.find(status.st_dev, status.st_ino) is None:
            self._admission.meet(place, status)
