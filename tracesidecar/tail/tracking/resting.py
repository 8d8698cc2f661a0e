"""Segments at rest: finished long ago, and gone. They stay in the journal until they are met again.

An agent that ran for years leaves very many of them. Each could still come back in the first scans,
moved or compressed; after that they are over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence

from tracesidecar.model import BEGINNING
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import BEFORE_ALL_SEGMENTS, Rest, SegmentRecord, SegmentStore
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.file_records import revive_file
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.rest_choice import choose_rest
from tracesidecar.tail.tracking.segment_log import SegmentLog

_LOOKED_AT_ONCE = 10_000
_JUDGED_AT_ONCE = 2000
"""How many segments are looked at, and are found to be over, in one scan."""


class RestingSegments:
    """Leaves segments in the journal at the start, and makes them known once they are met.

    One is met if a file has its inode, or begins as it does. Nothing of it is kept in memory.
    """

    def __init__(
        self,
        *,
        tree: Tree,
        store: SegmentStore,
        log: SegmentLog,
        sources: Sequence[SourceOptions],
        globs: SourceGlobs,
        directory_mounts: DirectoryMounts,
        files: FileTable,
        schedule: PollSchedule,
        continuations: Continuations,
        lifecycle: Lifecycle,
        fingerprinter: Fingerprinter,
        linked: frozenset[int],
        directory: Callable[[str], Directory],
    ) -> None:
        """`linked` are the segments that have a hard link."""
        self._tree = tree
        self._store = store
        self._log = log
        self._sources = {source.name: number for number, source in enumerate(sources)}
        self._grace = max((source.copy_grace for source in sources), default=0.0)
        self._globs = globs
        self._directory_mounts = directory_mounts
        self._files = files
        self._schedule = schedule
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._fingerprinter = fingerprinter
        self._linked = linked
        self._directory = directory
        self._announce: Callable[[Collection[int]], object] | None = None
        self._prefix_lengths: Sequence[int] = ()
        self._found: set[int] = set()
        self._is_any_left = False
        self._looked_at = BEFORE_ALL_SEGMENTS
        self._seen = 0

    # At the start:

    def choose(self) -> Rest:
        """Return which segments can be left in the journal, as far as their folders show."""
        folders = self._store.resting.list_folders()
        return choose_rest(folders, self._linked, self._tree, self._globs, self._directory_mounts)

    def begin(self) -> None:
        """Be ready to be met: every segment was loaded, or rests."""
        if self._store.resting.is_empty():
            return
        self._is_any_left = True
        self._found.update(file.id for file in self._files)
        self._prefix_lengths = self._store.resting.list_prefix_lengths()
        self._files.recall_by(self._recall_inode)
        self._continuations.recall_by(self._recall_similar)

    def announce_by(self, announce: Callable[[Collection[int]], object]) -> None:
        """Call this with the segments that are about to be known again."""
        self._announce = announce

    # In scans:

    def expire(self) -> None:
        """Find segments to be over, some at a time, once no other file can go on with them.

        Since when a segment is missed is recorded: a run may be shorter than `copy_grace`.
        """
        if not self._is_any_left:
            return
        resting, now = self._store.resting, time.time()
        if self._found:
            resting.note_missed(self._found, None)
            self._found.clear()
        page = resting.list_missed(list(self._sources), self._looked_at, _LOOKED_AT_ONCE)
        missed = [(segment, since) for segment, since in page if self._rests(segment)]
        resting.note_missed([id_ for id_, at in missed if at is None or at > now], now)
        due = [id_ for id_, at in missed if at is not None and now - at >= self._grace]
        self._judge(due[:_JUDGED_AT_ONCE])
        self._seen += len(missed)
        if len(due) > _JUDGED_AT_ONCE:
            self._looked_at = due[_JUDGED_AT_ONCE - 1]
        elif len(page) == _LOOKED_AT_ONCE:
            self._looked_at = page[-1][0]
        elif self._seen:
            self._looked_at, self._seen = BEFORE_ALL_SEGMENTS, 0
        else:
            self._end()

    def _judge(self, segments: Collection[int]) -> None:
        """Forget those of these segments that were deleted, and make the others known."""
        left = []
        for record in self._store.recall(segments):
            folder = Directory(os.path.dirname(record.path), 0, 0, {}, linked=False)
            is_over = self._directory_mounts.proves_deletion(self._revive(record, folder))
            if is_over and not os.path.lexists(record.path):
                self._lifecycle.forget_resting(record.id)
            else:
                left.append(record.id)
        for file in self._recall(left):
            self._schedule.recheck_soon(file)

    def _end(self) -> None:
        self._is_any_left = False
        self._files.recall_by(None)
        self._continuations.recall_by(None)
        self._store.resting.remove_unused_folders()

    def _recall_inode(self, inode: int) -> None:
        for file in self._recall(self._store.resting.find_with_inode(inode)):
            self._schedule.recheck_soon(file)

    def _recall_similar(self, head: bytes) -> None:
        """Search a new file, of which these are the first bytes, for what was in others."""
        prefixes = [
            (length, self._fingerprinter.digest(head[:length]))
            for length in self._prefix_lengths
            if length <= len(head)
        ]
        for file in self._recall(self._store.resting.find_with_prefix(prefixes)):
            self._lifecycle.lose_name(file, is_readable=False)

    def _rests(self, segment: int) -> bool:
        """Return whether a segment that may rest does: it is neither known nor over."""
        return segment not in self._files and not self._log.is_over(segment)

    def _recall(self, segments: Collection[int]) -> list[File]:
        """Make those of these segments that rest known, as they would have been since the start."""
        records = [
            record
            for record in self._store.recall([each for each in segments if self._rests(each)])
            if record.source in self._sources
        ]
        if not records:
            return []
        met = {record.id for record in records}
        reached = self._store.load_frontier(met)
        if self._announce is not None:
            self._announce(met)
        self._found |= met
        files = []
        for record in records:
            file = self._revive(record, self._directory(os.path.dirname(record.path)))
            file.advance(reached.get(record.id, BEGINNING))
            self._files.add(file)
            files.append(file)
        return files

    def _revive(self, record: SegmentRecord, folder: Directory) -> File:
        file = revive_file(record, self._sources[record.source], folder, None)
        file.acknowledge(file.length)
        return file
