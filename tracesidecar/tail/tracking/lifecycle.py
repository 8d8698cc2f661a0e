"""From one state of a segment to the next, with all that must follow from it.

The table of files, the journal, the hard links, the poll schedule and the continuations each know
something of a segment. What changes its state is decided elsewhere; here they are kept in step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from tracesidecar.model import BEGINNING, TAIL_BYTES, Checkpoint
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.fingerprint import Prefix
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import Loss, LossReason, Rewrite, SegmentState
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.met_files import MetFiles
from tracesidecar.tail.tracking.segment_log import SegmentLog
from tracesidecar.tail.tracking.unseen_ends import UnseenEnds

_FRESH_NS = 3_000_000_000
"""A file that changed this recently is verified again in the next poll: within one tick of its
clock a file system shows no second change.
"""

_UNSEEN_REASONS: frozenset[LossReason | None] = frozenset({"deleted", "gone", "moved"})
"""Why a file is lost that is found nowhere: a link of it shows that it is not."""


class Lifecycle:
    """Takes segments from their first sight to their end."""

    def __init__(
        self,
        *,
        files: FileTable,
        directory_mounts: DirectoryMounts,
        held_files: HeldFiles,
        schedule: PollSchedule,
        continuations: Continuations,
        log: SegmentLog,
        unseen_ends: UnseenEnds,
        met_files: MetFiles,
        scan: ScanContext,
        at: Callable[[str], None],
    ) -> None:
        """`at` is called at named points before something irreversible is saved."""
        self._files = files
        self._directory_mounts = directory_mounts
        self._held_files = held_files
        self._schedule = schedule
        self._continuations = continuations
        self._log = log
        self._unseen_ends = unseen_ends
        self._met_files = met_files
        self._scan = scan
        self._at = at
        self._recalled: set[int] = set()  # away until now, and perhaps recorded as gone
        self._gone: set[int] = set()  # and lost, but not forgotten yet

    def create(
        self, location: FileLocation, status: os.stat_result, source: int, *, generation: int = 0
    ) -> File:
        """Make a file known that was not; it is new until it is taken."""
        directory = location.directory
        self._met_files.note(status)
        # the same number object as the directory's, where it is the same number
        device = directory.device if directory.device == status.st_dev else status.st_dev
        file = File(
            self._log.new_id(),
            source,
            directory,
            location.name,
            device,
            status.st_ino,
            generation,
        )
        self._directory_mounts.note(file)
        self._files.add(file)
        return file

    def miss(self, location: FileLocation, reason: LossReason) -> None:
        """Record the loss of a file that was announced, and gone before it could be looked at."""
        file = File(
            self._log.new_id(), location.source or 0, location.directory, location.name, 0, 0, 0
        )
        self._files.add(file)
        self._files.detach(file)
        self.give_up(file, reason)

    def keep(self, file: File) -> None:
        """Release what kept a known file since it arrived, once something else does."""
        if not file.is_acknowledged:
            self._held_files.pin(file)
        self._held_files.drop(file)

    def take(self, file: File) -> None:
        """Begin to read a new file as a segment of its own."""
        self._continuations.forget(file)
        file.take()
        self._continuations.note_taken(file)
        self._log.save(file)
        self._scan.added.append(file.id)
        self._begin_reading(file)

    def wait(self, file: File, *, at_start: bool) -> None:
        """Leave a possible copy undecided, and let the journal know that it has something.

        At the start it is recorded with its original: the next run must know that it was there.
        """
        if at_start:
            self._log.save_new(file)
        else:
            self._log.save_lazily(file)

    def spend(self, file: File) -> None:
        """Read nothing of a file, now and later."""
        self._continuations.forget(file)
        file.spend()
        self._log.save(file)
        self._held_files.release(file)

    def continue_in(self, orphan: File, file: File, status: os.stat_result) -> None:
        """Let an orphaned segment go on in a new file, which is no segment of its own then."""
        self._at("rotating")
        self._files.remove(file)
        self._log.forget(file)  # it may have been saved while it was empty
        self._schedule.forget(file)
        self._continuations.forget(file)
        self._met_files.note_replaced(orphan)
        self._held_files.release(orphan, is_copied=True)
        self._files.detach(orphan)
        self._note_found(orphan)
        self._continuations.forget(orphan)
        self._files.move(orphan, file.directory, file.name)
        if orphan.state is SegmentState.AWAY:
            self._files.readmit(orphan)
            self._files.detach(orphan)
        orphan.continue_as(file, status)
        self._held_files.hand_over(file, orphan)  # its name may be another file's by now
        self._directory_mounts.note(orphan)
        self._files.attach(orphan)
        self._log.save(orphan)
        self._begin_reading(orphan)

    def accept(self, file: File, status: os.stat_result) -> None:
        """Record how a file is now, after its content was verified."""
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            self._scan.changed[file.id] = None
        self.look_up_path(file)
        file.observe(status)
        self._directory_mounts.note(file)
        self._log.save_lazily(file)
        if time.time_ns() - status.st_ctime_ns < _FRESH_NS:
            file.require_verification()
            self._schedule.recheck_soon(file)
        else:
            self._schedule.rest(file)
            is_over = file.state is SegmentState.DELETED and file.id in self._scan.unended
            if file.compression != "none" and not file.is_read_to_end and not is_over:
                self._scan.changed[file.id] = None  # it may have lost its trailer, and have ended
        if not file.is_acknowledged or self._held_files.is_retained(file):
            self._held_files.pin(file)

    def note_unread(self, file: File, size: int) -> None:
        """Record how long a file is that cannot be read now."""
        if file.note_unread(size):
            self._log.save(file)

    def extend_prefix(self, file: File, prefix: Prefix) -> None:
        """Record a longer prefix of a file that has grown."""
        if prefix.length == TAIL_BYTES or prefix.length >= 2 * file.prefix_length:
            self._log.save(file)
        file.note_prefix(prefix)
        self._schedule.note_changed(file)

    def move(self, file: File, directory: Directory, name: str) -> None:
        """Follow a file to another name."""
        self._files.move(file, directory, name)
        self._schedule.recheck_soon(file)
        self._log.save(file)

    def relocate(self, file: File, device: int) -> None:
        """Go on with a file that was found with its content, on whatever device it is now."""
        self._directory_mounts.learn(file)
        self._held_files.close_file(file)
        if file.state is SegmentState.AWAY:
            self._files.readmit(file)
        file.renumber(device)
        self._directory_mounts.note(file)
        self.look_up_path(file)
        self._log.save(file)

    def suspend(self, file: File) -> None:
        """Keep a missing file until its file system is back, or proves that it was deleted."""
        self._held_files.close_file(file)
        self._continuations.forget(file)
        self._schedule.forget(file)
        self._files.suspend(file)
        self._unseen_ends.discard(file)
        file.suspend()
        self._log.save(file)

    def recall_suspended(self) -> None:
        """Search for the files that are away where their file system is back.

        They are found in this scan, or else were deleted.
        """
        for file in self._files.suspended:
            if self._directory_mounts.proves_deletion(file):
                self._files.readmit(file)
                self._recalled.add(file.id)
                file.lose_name(is_readable=False)
                self._continuations.orphan(file)
                self._schedule.recheck_soon(file)
                self._log.save(file)

    def stay_nameless(self, file: File) -> None:
        """Go on with a file that has a name somewhere, but not where it could be found."""
        self._schedule.recheck_soon(file)

    def postpone_verification(self, file: File) -> None:
        """Have the content of a file verified in the next scan."""
        file.require_verification()
        self._schedule.recheck_soon(file)

    def look_up_path(self, file: File) -> None:
        """Go on with a missing file that was found."""
        if file.state in (SegmentState.MISSING, SegmentState.AWAY):
            self._note_found(file)
            file.take()
            self._continuations.forget(file)
            self._scan.changed[file.id] = None

    def _note_found(self, file: File) -> None:
        self._unseen_ends.discard(file)
        if file.id in self._recalled or file.state is SegmentState.AWAY:
            self._recalled.discard(file.id)
            self._scan.recovered.append(file.id)

    def lose_name(self, file: File, *, is_readable: bool) -> None:
        """Note that a file's name is gone; `is_readable` if a link or descriptor still has it."""
        if not is_readable:
            self._unseen_ends.note(file)
        file.lose_name(is_readable=is_readable)
        if is_readable:
            self._scan.changed[file.id] = None
        self._continuations.orphan(file)
        self._log.save(file)

    def lose_inode(self, file: File) -> None:
        """Note that a file is gone, because another one has its inode number."""
        self._files.detach(file)
        if file.state is SegmentState.LIVE:
            self.lose_name(file, is_readable=False)
        elif file.state is SegmentState.SPENT:
            self.forget(file)

    def replace_segment(
        self, former: File, file: File, unchanged: Checkpoint, reason: LossReason
    ) -> None:
        """Take a file from where the former segment in it, which goes on nowhere, is unchanged."""
        self._files.succeed(former, file, unchanged)
        self._log.replace_segment(former.id, file.id, file.reach)
        self._scan.rewrites.append(
            Rewrite(self._files.segment(file), former.id, file.reach, former.reach_offset, reason)
        )
        former.give_up(reason)
        self._unseen_ends.discard(former)
        self._continuations.forget(former)
        self._log.save(former)
        self.report_loss(former, kept=file.reach_offset)
        self.take(file)

    def withhold_ends(self, files: Iterable[File]) -> None:
        """Do not record yet that these segments have ended: they may go on somewhere."""
        self._log.withhold(frozenset(file.id for file in files))

    def report_rewrite(self, file: File, reason: LossReason) -> None:
        """Report a file that has changed, as far as is known, from its beginning."""
        self._scan.rewrites.append(
            Rewrite(self._files.segment(file), file.id, BEGINNING, file.reach_offset, reason)
        )

    def take_version(self, file: File, former: int, generation: int, read: int) -> None:
        """Take a file from its beginning that is another version of a former one at its path.

        `former` is the segment of that, of which `read` bytes were read.
        """
        file.succeed(generation)
        self._scan.rewrites.append(
            Rewrite(self._files.segment(file), former, BEGINNING, read, "replaced")
        )
        self.take(file)

    def end(self, file: File, reason: LossReason) -> None:
        """End a segment because something else stands in its file now."""
        self._at("rotating")
        if reason == "truncated":
            self._unseen_ends.note(file)
        self._files.detach(file)
        self._held_files.release(file)
        file.end(reason)
        self._continuations.orphan(file)
        self._log.save(file)

    def give_up(self, file: File, reason: LossReason) -> None:
        """Note that the rest of a segment is lost, and report it."""
        if file.state in (SegmentState.NEW, SegmentState.DELETED, SegmentState.MISSING):
            self._files.detach(file)  # its inode may come back as another file
            self._gone.add(file.id)
        file.give_up(reason)
        self._scan.unended.discard(file.id)
        self._unseen_ends.discard(file)
        self._recalled.discard(file.id)
        self._held_files.release(file)
        self._continuations.forget(file)
        self._log.save(file)
        self.report_loss(file)

    def list_ending(self) -> frozenset[int]:
        """Return the files whose undelivered bytes nothing but this process keeps."""
        return frozenset(
            file.id
            for file in self._files
            if file.state is SegmentState.DELETED
            and not file.is_acknowledged
            and self._held_files.ends_with_us(file)
        )

    def acknowledge_loss(self, file: File) -> None:
        """Finish with a lost segment whose loss was recorded."""
        if file.loss in ("corrupt", "bomb") and file.id not in self._gone:
            file.spend()  # the file still exists, and is still no trace
            self._log.save(file)
        else:
            self.forget(file)

    def resume_archive(self, file: File) -> None:
        """Go on with an archive that seemed to be cut off, or damaged, and has grown."""
        file.recover()
        self._scan.recovered.append(file.id)
        self._scan.changed[file.id] = None
        self._log.save(file)

    def recover(self, file: File) -> bool:
        """Go on with a file that has a hard link, whatever it counted as while that was not seen.

        Return whether it did count as something else.
        """
        if file.state is SegmentState.DELETED:
            self._scan.recovered.append(file.id)  # the loss of what was lost and found by a crash
        is_lost = file.state is SegmentState.LOST and file.loss in _UNSEEN_REASONS
        if not is_lost and file.state not in (SegmentState.AWAY, SegmentState.MISSING):
            return False
        if file.state is SegmentState.AWAY:
            self._files.readmit(file)
        file.recover()
        file.require_verification()
        self._scan.recovered.append(file.id)
        self._scan.changed[file.id] = None
        self._log.save(file)
        return True

    def is_finished(self, file: File) -> bool:
        """Return whether nothing is left to read of a file, and nobody has written to it lately."""
        return (
            file.state is SegmentState.LIVE
            and file.is_acknowledged
            and file.is_read_to_end
            and 0 < file.changed_ns <= time.time_ns() - _FRESH_NS
        )

    def forget(self, file: File) -> None:
        """Drop a segment that is over."""
        self._met_files.note_replaced(file)
        self._held_files.release(file)
        self._files.remove(file)
        self._scan.note_readable(file.id)
        self._scan.withheld.pop(file.id, None)
        self._unseen_ends.discard(file)
        self._recalled.discard(file.id)
        self._scan.expanded.pop(file.id, None)
        self._scan.unended.discard(file.id)
        self._gone.discard(file.id)
        self._continuations.forget(file)
        self._schedule.forget(file)
        self._log.forget(file)

    def forget_resting(self, segment: int) -> None:
        """Drop a segment that is over and was not met since the start."""
        self._log.forget_resting(segment)

    def resume(self) -> None:
        """After a start, report the losses that were not acknowledged, and look for lost files."""
        for file in self._files:
            if file.state is SegmentState.LOST:
                self.report_loss(file)
            elif file.state in (SegmentState.ENDED, SegmentState.MISSING, SegmentState.DELETED):
                self._continuations.orphan(file)
            if file.state is SegmentState.DELETED and not self._held_files.is_kept(file):
                # Nothing held it over the restart, so its inode may be another file's by now.
                file.lose_name(is_readable=False)
            if file.state is SegmentState.MISSING:
                self._recalled.add(file.id)
            if file.is_undecided:
                file.require_verification()  # so that the first look decides about it again
            if (
                file.state in (SegmentState.LIVE, SegmentState.DELETED)
                and file.compression != "none"
                and (not file.is_whole or file.reach_offset < file.length)
            ):
                # How much is in it was not known yet, or was recorded by a version that took the
                # compressed size for it.
                self._scan.changed[file.id] = None
                if file.state is SegmentState.DELETED:
                    self._scan.expanded[file.id] = None
            if file.state in (SegmentState.ENDED, SegmentState.LOST):
                self._files.detach(file)

    def _begin_reading(self, file: File) -> None:
        self._scan.changed[file.id] = None
        self._schedule.recheck_soon(file)
        self._held_files.pin(file)
        file.require_verification()  # it may have changed since it was opened

    def report_loss(self, file: File, reason: LossReason | None = None, *, kept: int = 0) -> None:
        """Report that the rest of a segment is lost, but for what another one has: `kept` bytes."""
        reason = reason or file.loss or "deleted"
        length = file.length if file.damage is None else file.damage.declared_size
        self._scan.losses.append(
            Loss(self._files.segment(file), reason, file.reach_offset, length, kept)
        )
