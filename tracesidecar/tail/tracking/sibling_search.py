"""The search for what files were rotated or copied into, among those beside them.

A file may have come and gone under a followed name between two scans, and the name of a copy need
not match any glob.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracesidecar.rotation import rank_in_family
from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walk import DirectoryWalk
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.reading.compressed import ArchiveError
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.tracking.candidates import CandidateOpener
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.lifecycle import Lifecycle

_CLOCK_SLACK_NS = 2_000_000_000
"""How much coarser than ours the times of a restored or compressed copy may be."""


@dataclass(frozen=True, slots=True)
class _Search:
    """How far a search for the continuations of some orphans has got in their directory."""

    orphans: set[int]
    considered: set[str]


class SiblingSearch:
    """Looks at the siblings of rotated files and of orphans, as many as a scan has time for."""

    def __init__(
        self,
        files: FileTable,
        walk: DirectoryWalk,
        opener: CandidateOpener,
        continuations: Continuations,
        lifecycle: Lifecycle,
        *,
        locator: FileLocator,
        admission: Admission,
        tree: Tree,
        scan: ScanContext,
        register: Callable[[FileLocation, os.stat_result], None],
    ) -> None:
        """Call `register` with each file that is to be decided about as a new one."""
        self._turns = scan.turns
        self._admission = admission
        self._tree = tree
        self._files = files
        self._walk = walk
        self._locator = locator
        self._opener = opener
        self._continuations = continuations
        self._lifecycle = lifecycle
        self._register = register
        self._rotated_in: dict[Directory, None] = {}
        self._searches: dict[Directory, _Search] = {}

    def note_rotated(self, old: FileLocation, modified_ns: int) -> None:
        """After a file was rotated away from its name, search what came and went there unseen.

        That is done once for all files of a directory.
        """
        if self._locator.note_rotated(old, modified_ns):
            self._rotated_in[old.directory] = None

    def search_rotated(self) -> None:
        """Register what came and went under names from which files were rotated away."""
        directories, self._rotated_in = self._rotated_in, {}
        for directory in directories:
            for location in self._locator.search_rotated(directory):
                try:
                    status = self._tree.stat(location.path)
                except OSError:
                    continue
                source = location.source or 0
                if (
                    stat.S_ISREG(status.st_mode)
                    and self._files.find(status.st_dev, status.st_ino) is None
                    and self._admission.has_room(source)
                ):
                    if not self._turns.take(source, "sibling"):
                        self._rotated_in[directory] = None
                        break
                    self._register(location, status)

    def search_continuations(self) -> None:
        """Search the siblings of orphans, also those that no glob matches, for a continuation."""
        self.search_rotated()
        orphans: defaultdict[Directory, list[File]] = defaultdict(list)
        for orphan in self._continuations.orphans:
            if orphan.state is not SegmentState.DELETED:
                orphans[orphan.directory].append(orphan)
        former, self._searches = self._searches, {}
        for directory, gone in orphans.items():
            if self._walk.is_resting(directory):
                continue
            search = former.get(directory)
            if search is None or not search.orphans.issuperset(file.id for file in gone):
                search = _Search({file.id for file in gone}, set())
            if not self._search(directory, gone, search):
                self._searches[directory] = search

    def _search(self, directory: Directory, orphans: Sequence[File], search: _Search) -> bool:
        """Go on with the search of a directory; return whether it is over."""
        if not (searched_for := self._continuations.orphans):
            return True  # what was found in another directory was the last
        source = orphans[0].source
        oldest_ns = min(orphan.modified_ns for orphan in searched_for)
        # what an orphan was rotated or copied into is among its family
        families = {rank_in_family(orphan.name)[0] for orphan in orphans}
        siblings = [
            sibling
            for sibling in self._locator.list_siblings(directory)
            if sibling.name not in search.considered
        ]
        siblings.sort(key=lambda sibling: rank_in_family(sibling.name)[0] not in families)
        for sibling in siblings:
            if not self._consider(sibling, source, oldest_ns):
                return False
            search.considered.add(sibling.name)
        return True

    def _consider(self, sibling: FileLocation, source: int, oldest_ns: int) -> bool:
        """See whether an orphan continues in a sibling that is no segment of its own.

        That is a file that no glob matches, which is forgotten if not, or a mere copy. One that a
        glob matches is registered: perhaps this scan did not list its directory. Return False if
        there is no time for it in this scan.

        `source` is that of the orphans, `oldest_ns` when the first of them was written.
        """
        try:
            status = self._tree.stat(sibling.path)
        except OSError:
            return True
        if not stat.S_ISREG(status.st_mode):
            return True
        is_young = status.st_mtime_ns + _CLOCK_SLACK_NS >= oldest_ns
        known = self._files.find(status.st_dev, status.st_ino)
        if known is None and sibling.source is not None:
            if self._files.with_inode(status.st_ino) or not self._admission.has_room(
                sibling.source
            ):
                return True
            if not self._turns.take(sibling.source, "sibling"):
                return False
            self._register(sibling, status)
            return True
        if not is_young or (known is not None and not known.is_mere_copy):
            return True
        if not self._turns.take(source, "sibling"):
            return False
        file = known or self._lifecycle.create(sibling, status, source)
        try:
            candidate = self._opener.open(file)
            orphan = (
                None
                if candidate is None
                else self._continuations.find_predecessor(candidate.opened, candidate.head)
            )
        except (ArchiveError, OSError):
            candidate = orphan = None
        if candidate is not None and orphan is not None:
            self._lifecycle.continue_in(orphan, file, candidate.status)
        elif known is None:
            self._lifecycle.forget(file)
        else:
            self._lifecycle.spend(file)
        return True
