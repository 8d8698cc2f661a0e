"""What to do with a file that is not known yet.

It may be undecided for now, the continuation of another segment, a possible copy in progress, or a
segment of its own.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from tracesidecar.model import Checkpoint
from tracesidecar.rotation import rank_in_family
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.reading.compressed import ArchiveError
from tracesidecar.tail.reading.open_files import OpenedFile
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import LossReason, SegmentState
from tracesidecar.tail.tracking.candidates import Candidate, CandidateOpener
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.originals import Originals
from tracesidecar.tail.tracking.replacement import Replacements

_VERSION_STATES = (SegmentState.NEW, SegmentState.LIVE, SegmentState.DELETED)
"""Those of a file that is read, or about to be."""

_UNRELATED_SECONDS = 10.0
_MOST_UNRELATED = 1000
"""How long it is remembered at how many paths a file was replaced by one of other content."""


@dataclass(frozen=True, slots=True)
class FormerContent:
    """What stood in a new file before: the former segment, and up to where it still does.

    `since`: when that was found, by the clock of the scans.
    """

    former: File
    unchanged: Checkpoint
    reason: LossReason
    since: float


class NewFiles:
    """Registers new files during a scan, and decides about them at its end."""

    def __init__(
        self,
        files: FileTable,
        locator: FileLocator,
        opener: CandidateOpener,
        continuations: Continuations,
        lifecycle: Lifecycle,
        *,
        originals: Originals,
        replacements: Replacements,
        tree: Tree,
        scan: ScanContext,
    ) -> None:
        self._scan, self._progress, self._turns = scan, scan.progress, scan.turns
        self._originals = originals
        self._tree = tree
        self._files = files
        self._locator = locator
        self._opener = opener
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._replacements = replacements
        self._candidates: dict[int, File] = {}
        self._postponed: dict[int, File] = {}
        self._generations: dict[int, FormerContent] = {}
        self._expects_copies = False
        self._is_first = True
        self._has_grown: dict[int, bool] = {}
        self._unrelated: dict[str, float] = {}
        self._reported: set[int] = set()

    def register(self, location: FileLocation, status: os.stat_result) -> None:
        """Make a file known whose inode was not."""
        self.reconsider(self._lifecycle.create(location, status, location.source or 0))

    def register_moved(self, old: FileLocation, new: FileLocation) -> None:
        """Make a file known that a change event saw leave a followed name before it was read."""
        try:
            status = self._tree.stat(new.path)
        except OSError:
            return  # if it was not kept when it arrived, that says that it is lost
        if not stat.S_ISREG(status.st_mode) or self._files.find(status.st_dev, status.st_ino):
            return
        file = self._lifecycle.create(new, status, old.source or 0)
        file.note_origin(old.path)
        self.reconsider(file)

    def register_arrival(self, location: FileLocation, status: os.stat_result) -> None:
        """Make a file known that was kept when it arrived, and has no followed name any more."""
        file = self._lifecycle.create(location, status, location.source or 0)
        if self._files.options(file).documents and self._has_name(location):
            # A document that is replaced again and again is read as it is when we look.
            self._lifecycle.forget(file)
            return
        self._lifecycle.stay_nameless(file)
        self.reconsider(file)

    def _has_name(self, location: FileLocation) -> bool:
        try:
            self._tree.stat(location.path)
        except OSError:
            return False
        return True

    def register_generation(
        self,
        former: File,
        location: FileLocation,
        status: os.stat_result,
        unchanged: Checkpoint,
        reason: LossReason,
    ) -> None:
        """Make the next generation known of a file that has changed after a place.

        If the former segment goes on in no other file, the file was shortened or rewritten, and the
        generation begins at that place. Else it was copied and started over: the two only begin
        alike, and all of the generation is new.
        """
        file = self._lifecycle.create(
            location, status, former.source, generation=former.generation + 1
        )
        if status.st_size:
            self._generations[file.id] = FormerContent(former, unchanged, reason, self._scan.now)
            self._expects_copies = True
        self.reconsider(file)

    def reconsider(self, file: File) -> None:
        """Decide, at the end of this scan, about a new file that has changed."""
        self._candidates[file.id] = file

    def reconsider_known(self, file: File, size: int) -> None:
        """Decide about a new file that was known before this scan, and has `size` bytes now."""
        self._has_grown[file.id] = size > file.size
        self.reconsider(file)

    def is_left_to_decide(self, file: File) -> bool:
        """Return whether the end of this scan decides about a file."""
        return file.id in self._candidates

    def take_linked(self, file: File) -> None:
        """Take a new file that has a hard link, although its name is gone.

        Only a file that was taken gets a link: a crash came before that was recorded.
        """
        with suppress(ArchiveError):  # reading it will report what is wrong
            if self._opener.open(file) is None:
                return
        self._lifecycle.take(file)

    def take_expects_copies(self) -> bool:
        """Return whether a file was rewritten since the last call, which may have been copied.

        The copy was made before, and perhaps after its directory was last listed.
        """
        expects_copies, self._expects_copies = self._expects_copies, False
        return expects_copies

    @property
    def undecided(self) -> Collection[File]:
        """Return the new files of this scan."""
        return self._candidates.values()

    def decide(self) -> None:
        """Decide about every new file of this scan, and about those that wait.

        Not about those that may be made of what `take_outdated` returns.
        """
        waiting = self._turns.choose(self._continuations.waiting, "copy")
        self._decide_all({file.id: file for file in waiting} | self._candidates)

    def take_outdated(self) -> Collection[File]:
        """Return known files that have to be looked at now, before `decide_rest` is called.

        If there are none, all is decided for which there is time in this scan.
        """
        outdated = self._originals.take_outdated()
        if not outdated:
            self._is_first = self._is_first and self._turns.has_more
        return outdated

    def decide_rest(self) -> None:
        """Decide about the new files that `decide` has left, and those met since."""
        self._decide_all(self._candidates)

    def _decide_all(self, candidates: Mapping[int, File]) -> None:
        began = time.monotonic()
        # generations last: only then it is known whether their former segments go on elsewhere;
        # and after them what may be made of them
        ranks = {file.id: _rank(file) for file in candidates.values()}
        in_order = sorted(candidates.values(), key=lambda file: (ranks[file.id], file.name))
        self._put_originals_first(in_order)
        last = {ranks[file.id].rotation for file in in_order if file.id in self._generations}
        families: dict[tuple[int, str, str], list[File]] = {}
        for file in in_order:
            families.setdefault(ranks[file.id].family, []).append(file)
        copies: list[File] = []  # after what they may be made of
        for file in sorted(in_order, key=lambda file: ranks[file.id].rotation in last):
            if file.state is SegmentState.NEW and file.id in self._files:
                self._progress.step()
                generation = self._generations.get(file.id)
                if generation is not None and self._may_go_on_elsewhere(file, generation):
                    self._postponed[file.id] = file
                    continue
                if generation is not None and self._replace_former(file, generation):
                    continue
                if generation is None and self._may_be_copy_of_new(
                    file, families[ranks[file.id].family]
                ):
                    copies.append(file)
                else:
                    self._try_to_decide(file)
        for file in copies:
            self._try_to_decide(file)
        self._turns.note_decided(len(in_order), time.monotonic() - began)
        self._candidates, self._postponed = self._postponed, {}
        self._generations = {
            segment: generation
            for segment, generation in self._generations.items()
            if segment in self._candidates
        }
        self._lifecycle.withhold_ends(
            generation.former for generation in self._generations.values()
        )
        self._reported = {
            segment
            for segment in self._reported
            if (known := self._files.get(segment)) is not None and known.state is SegmentState.NEW
        }
        self._has_grown = {
            segment: has_grown
            for segment, has_grown in self._has_grown.items()
            if segment in self._candidates
        }

    def _put_originals_first(self, new: list[File]) -> None:
        """Move files that have lost their names before whatever may be made of them.

        That is an archive, or a copy in another directory. What has their names now comes before
        them: it may be a newer version with all that they have.
        """
        nameless = {file.id for file in new if self._opener.has_lost_its_name(file)}
        if nameless:
            names = {(file.directory, file.name) for file in new if file.id in nameless}
            new.sort(
                key=lambda file: (
                    (file.directory, file.name) not in names,
                    file.id in nameless,
                )
            )

    def _may_go_on_elsewhere(self, file: File, generation: FormerContent) -> bool:
        """Return whether the former segment may go on in a file that no scan has met yet."""
        former = generation.former
        return (
            former.state is SegmentState.ENDED
            and (
                self._turns.has_more_of(file.source)
                or self._turns.has_more_of(file.directory.source)
            )
            and self._scan.now - generation.since < self._files.options(file).copy_grace
        )

    def _replace_former(self, file: File, generation: FormerContent) -> bool:
        """Let a file go on where the former segment in it is unchanged, unless that goes on too.

        Return False if it does, if nothing is unchanged, or if the file cannot be opened now.
        """
        former = generation.former
        if former.state is not SegmentState.ENDED:
            return False
        if generation.unchanged.offset:
            try:
                candidate = self._opener.open(file)
            except ArchiveError:
                candidate = None
            if candidate is not None:
                self._lifecycle.replace_segment(
                    former, file, generation.unchanged, generation.reason
                )
                return True
        self._lifecycle.report_rewrite(former, generation.reason)
        self._reported.add(file.id)
        return False

    def _try_to_decide(self, file: File) -> None:
        """Decide about a file; if it is on a broken disk, it waits, and no other file does."""
        try:
            self._decide(file)
        except OSError as error:
            self._opener.wait_for_content(file, error)

    def _decide(self, file: File) -> None:
        try:
            candidate = self._opener.open(file)
        except ArchiveError:
            self._lifecycle.take(file)  # reading it will report what is wrong
            return
        if candidate is None:
            return
        if self._opener.is_replaced(file) and self._is_in_another_version(file):
            self._lifecycle.forget(file)
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
        if self._originals.await_comparison(file, candidate.head):
            self._postponed[file.id] = file
            return
        original = self._continuations.original_of(file, candidate.opened, candidate.head)
        if original is not None and self._continuations.wait(
            file, original, size, at_start=self._was_there_before_us(file, original)
        ):
            self._lifecycle.wait(file, at_start=self._is_first)
        elif original is not None and self._is_mere_copy(file, original):
            self._lifecycle.spend(file)
        else:
            self._take(candidate)

    def _take(self, candidate: Candidate) -> None:
        """Take a file that continues no other; it may be another version of one at its path."""
        file, size = candidate.file, candidate.status.st_size
        former = self._replacements.find_former(file, candidate.opened, size)
        if former and file.id in self._reported:
            self._lifecycle.take(file)  # a rewrite in place is another version, too
        elif former:
            self._lifecycle.take_version(file, former.id, former.generation, former.reach_offset)
        elif forgotten := self._replacements.find_forgotten(file, candidate.opened, size):
            record = forgotten.record
            self._lifecycle.take_version(file, record.id, record.generation, forgotten.reach)
        else:
            if self._replacements.has_former(file):
                if len(self._unrelated) >= _MOST_UNRELATED:
                    self._unrelated.clear()
                self._unrelated[file.path] = time.monotonic()
            self._lifecycle.take(file)

    def has_unrelated(self, path: str) -> bool:
        """Return whether a file was just replaced at a path by one that has nothing of it."""
        return time.monotonic() - self._unrelated.get(path, float("-inf")) < _UNRELATED_SECONDS

    def _was_there_before_us(self, file: File, original: File) -> bool:
        """Return whether a possible copy was there when we first looked at its original.

        If an earlier run knew the original, it knew all that was there then: what has grown since,
        or is new in the family of a file that still has its name, was copied while we were stopped.
        A rotation would have moved the original's inode.
        """
        if not self._is_first or original.id in self._candidates:
            return self._is_first
        if file.id in self._has_grown:
            return not self._has_grown[file.id]
        family, _, _ = rank_in_family(file.name)
        return not (
            original.directory is file.directory
            and original.name == family
            and self._locator.is_matched(original)
        )

    def _may_be_copy_of_new(self, file: File, family: Collection[File]) -> bool:
        """Return whether a file is what a longer one of its family, also new, begins with.

        We may have started while logrotate copied the file: then the copy grows.
        """
        others = [other for other in family if other is not file]
        copy = self._open_plain(file) if others else None
        return copy is not None and any(
            (original := self._open_plain(other)) is not None
            and self._continuations.is_beginning(copy, original)
            for other in others
            if other.state is SegmentState.NEW
        )

    def _open_plain(self, file: File) -> OpenedFile | None:
        try:
            candidate = self._opener.open(file)
        except ArchiveError:
            return None
        return candidate.opened if candidate and file.compression == "none" else None

    def _is_in_another_version(self, file: File) -> bool:
        """Return whether another file that had a replaced file's name begins with all of it.

        An agent may write its whole session again each time, and rename it over the last one. The
        newest version goes on where the segment ended; what it contains is not read by itself.
        """
        versions = [
            other
            for other in file.directory.files.with_name(file.name)
            if other is not file and other.state in _VERSION_STATES
        ]
        return any(self._continuations.is_contained(file, other) for other in reversed(versions))

    def is_sure_to_be_new(self, file: File) -> bool:
        """Return whether a file that may be a copy in progress is a file of its own in any case."""
        return not self._opener.is_replaced(file) and (
            self._locator.has_matched(file) or self._continuations.was_there_at_start(file)
        )

    def _is_mere_copy(self, file: File, original: File) -> bool:
        """Return whether a file adds nothing to a live one, whose bytes it has.

        Looking alike is not enough, because an agent may write the same lines twice: a file that
        ever had a followed name was written under it. A copy of the file that is still written
        (logrotate's `copy`), or an archive beside what it was made of (`gzip -k`), never had one.
        """
        if self._locator.has_matched(file):
            return False
        is_archive_of_it = file.directory is original.directory and file.name in (
            f"{original.name}.gz",
            f"{original.name}.zst",
        )
        appeared_beside_it = self._locator.is_matched(
            original
        ) and not self._continuations.was_there_at_start(file)
        return (is_archive_of_it or appeared_beside_it) and self._continuations.is_contained(
            file, original
        )


class _Rank(NamedTuple):
    """What sorts new files by source and directory, and each family of rotated ones oldest first.

    `family` has what the files have in common that rotation makes of one.
    """

    family: tuple[int, str, str]
    age: tuple[int, int]
    is_archive: bool

    @property
    def rotation(self) -> tuple[tuple[int, str, str], tuple[int, int]]:
        """Return what a file and the archive that is made of it have in common."""
        return self.family, self.age


def _rank(file: File) -> _Rank:
    original, age, is_archive = rank_in_family(file.name)
    return _Rank((file.source, file.directory.path, original), age, is_archive)
