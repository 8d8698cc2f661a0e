"""Which files there are: a walk that lists a directory again only when it has changed."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.file_locator import FileLocator
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.symbolic_links import SymbolicLinks
from tracesidecar.tail.discovery.tree import Entry, Tree
from tracesidecar.tail.discovery.walk_findings import WalkFindings
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import Directory, FileTable
from tracesidecar.tail.segments import SegmentState
from tracesidecar.tail.turns import Turns

_RELIST_NS = 3_000_000_000
"""A directory that changed this recently is listed once more: file systems keep time by the tick,
or by the second.
"""

PIECE = 32
"""So many entries are sorted in before the listing looks whether its turn is over."""


@dataclass(slots=True)
class _Listing:
    """A directory that is being listed, perhaps over several scans.

    `seen` are the known files that were met in it, `names` all names if some were unreadable
    before. If something changes meanwhile, it must be listed again (`must_repeat`).
    """

    changed_ns: int
    entries: Iterator[Entry]
    names: set[str] | None
    seen: set[int] = field(default_factory=set)
    skipped: Counter[int] = field(default_factory=Counter)
    took_seconds: float = 0.0
    must_repeat: bool = False


class DirectoryWalk:
    """Walks the directories in turns, and lists those that have changed.

    A link that may be followed comes after all that has a direct path.
    """

    def __init__(
        self,
        tree: Tree,
        globs: SourceGlobs,
        files: FileTable,
        directory_mounts: DirectoryMounts,
        directories: WalkedDirectories,
        *,
        links: SymbolicLinks,
        locator: FileLocator,
        progress: Progress,
        admission: Admission,
        turns: Turns,
    ) -> None:
        self._tree = tree
        self._globs = globs
        self._files = files
        self._directory_mounts = directory_mounts
        self._directories = directories
        self._links = links
        self._locator = locator
        self._progress = progress
        self._admission = admission
        self._turns = turns
        self._unlisted: defaultdict[int, dict[str, Directory]] = defaultdict(dict)
        self._unlisted_links: defaultdict[int, dict[str, Directory]] = defaultdict(dict)
        self._unentered: defaultdict[int, dict[tuple[str, str], Directory]] = defaultdict(dict)
        self._listings: dict[str, _Listing] = {}

    def list_changed(self, *, full: bool = False) -> WalkFindings:
        """List the directories that have changed, with what is new below them.

        `full` lists every directory, whether it seems changed or not.
        """
        findings = WalkFindings()
        self._walk(self._directories, findings, full=full)
        return findings

    def visit(self, paths: Iterable[str]) -> WalkFindings:
        """Look at announced paths only, and list the directories among them, and those that wait.

        What is below an announced directory is looked at, too: whoever may no longer enter it may
        still list it.
        """
        findings = WalkFindings()
        directories: dict[str, Directory] = {}
        below: list[Directory] = []
        for path in paths:
            directory = self._visit(path, findings)
            if directory is not None:
                directories[directory.path] = directory
                if directory.path == path:
                    below += directory.children.values()
        for parent, names in findings.gone.items():
            findings.nameless += [file for name in names for file in parent.files.with_name(name)]
        for directory in below:
            self._wait_if_changed(directory, findings, full=False)
        self._walk(directories.values(), findings, full=True)
        return findings

    def relist(self, path: str) -> None:
        """Have the next walk list a directory, whether it seems changed or not."""
        directory = self._directories.get(path)
        if directory is not None:
            directory.require_listing()

    def is_resting(self, directory: Directory) -> bool:
        """Return whether a directory has taken so long to list that it rests in this scan."""
        if self._turns.is_bounded and time.monotonic() < directory.rests_until:
            self._turns.postpone(directory.source)
            return True
        return False

    def _visit(self, path: str, findings: WalkFindings) -> Directory | None:
        """Look at one announced path; return the directory that must be listed because of it."""
        parent = self._directories.find_parent(path)
        location = (
            self._locator.locate_in(parent, os.path.basename(path)) if parent is not None else None
        )
        try:
            status = self._tree.stat(path)
        except OSError:
            if location is not None:
                findings.gone[location.directory].add(location.name)
            return self._directories.get(path)
        if not stat.S_ISREG(status.st_mode):
            return self._directories.get(path) or parent
        file = self._files.find(status.st_dev, status.st_ino)
        if file is not None:
            findings.nameless.append(file)
            if location is not None and (
                file.directory is not location.directory or file.name != location.name
            ):
                findings.renamed.append((file, location))
            return None
        if location is not None and location.source is None:
            location = self._locator.locate_unseen(location.directory, location.name)
        if location is not None:
            findings.unknown.append(location)
        return None

    def _walk(
        self, directories: Iterable[Directory], findings: WalkFindings, *, full: bool
    ) -> None:
        for directory in self._directories.enter_missing_roots():
            self._wait(directory)
        for directory in directories:
            self._wait_if_changed(directory, findings, full=full)
        waiting = self._unlisted.keys() | self._unlisted_links.keys() | self._unentered.keys()
        for source in self._turns.order(waiting):
            resting = self._list_in_turn(source, self._unlisted[source], findings)
            if self._enter_waiting(source):
                resting |= self._list_in_turn(source, self._unlisted[source], findings)
            # Those reached through a symlink come last, so that a directory that also has a direct
            # path is walked under that one.
            if not self._unlisted[source] and not self._unentered[source]:
                resting |= self._list_in_turn(source, self._unlisted_links[source], findings)
            for directory in resting.values():
                self._wait(directory)
        findings.own += self._directories.take_own_elsewhere()

    def _wait(self, directory: Directory) -> None:
        """Have a directory listed when it is the turn of its source."""
        waiting = self._unlisted_links if directory.linked else self._unlisted
        waiting[directory.source][directory.path] = directory

    def _list_in_turn(
        self, source: int, waiting: dict[str, Directory], findings: WalkFindings
    ) -> dict[str, Directory]:
        """List what waits, as far as there is time; return what rests.

        What is below a directory comes after it: what waits longest may wait for all the others.
        """
        resting: dict[str, Directory] = {}
        while waiting:
            path, directory = waiting.popitem()
            if not self._directories.has(directory):
                continue  # it is gone meanwhile
            if self.is_resting(directory) or self._is_behind(directory):
                resting[path] = directory
                continue
            if not self._turns.take(source, "directory"):
                waiting[path] = directory
                break
            for fresh in self._list(directory, findings):
                self._wait(fresh)
            if path in self._listings:
                waiting[path] = directory
                break
        return resting

    def _is_behind(self, directory: Directory) -> bool:
        """Return whether names that the last listing found come before another one."""
        is_behind = (
            self._turns.is_bounded
            and directory.path not in self._listings
            and self._admission.is_queued(directory)
        )
        if is_behind:
            self._turns.postpone(directory.source)
        return is_behind

    def _enter_waiting(self, source: int) -> bool:
        """Enter the sub-directories that waited for their turn, as far as there is time.

        Return whether there is something to list.
        """
        waiting, has_entered = self._unentered[source], False
        while waiting:
            (path, name), parent = waiting.popitem()
            if not self._directories.has(parent):
                continue
            for directory in self._enter_in_turn(parent, name):
                self._wait(directory)
                has_entered = True
            if (path, name) in waiting:
                break
        return has_entered

    def _enter_in_turn(self, parent: Directory, name: str) -> list[Directory]:
        """Enter a sub-directory if this is its turn; return it if it is new."""
        if name in parent.children:
            return []
        source = parent.source
        if not self._admission.has_room_for_directory(source):
            self._admission.withhold(source, FileLocation(parent, name, source))
            return []
        if not self._turns.take(source, "entry"):
            self._unentered[source][parent.path, name] = parent
            return []
        return self._directories.enter_below(parent, name, linked=parent.linked)

    def _wait_if_changed(self, directory: Directory, findings: WalkFindings, *, full: bool) -> None:
        """Have a directory listed if it has changed; `full`: in any case."""
        try:
            status = self._tree.stat_directory(directory.path)
        except OSError as error:
            self._leave(directory, findings)
            self._directories.note_unreachable(directory.path, directory.claims, error)
            return
        if (status.st_dev, status.st_ino) != (directory.device, directory.inode) or (
            self._directories.is_top(directory)
            and self._directory_mounts.read(directory.path) != directory.place
        ):
            self._leave(directory, findings)
            parent = self._directories.find_parent(directory.path)
            if parent is not None:  # in this walk: no event may come of a mount that is new there
                self._wait_if_changed(parent, findings, full=True)
        elif (listing := self._listings.get(directory.path)) is not None:
            listing.must_repeat |= full or status.st_ctime_ns != listing.changed_ns
        elif full or status.st_ctime_ns != directory.changed_ns:  # also a change of its rights
            self._wait(directory)

    def _leave(self, directory: Directory, findings: WalkFindings) -> None:
        """Drop a directory that is gone, or replaced by another, with all below it."""
        gone = [directory]
        for each in gone:
            gone += each.children.values()
        for each in reversed(gone):
            self._drop(each, findings)

    def _drop(self, directory: Directory, findings: WalkFindings) -> None:
        self._admission.end_listing(directory)
        self._listings.pop(directory.path, None)
        self._links.note_skipped(directory, Counter())
        findings.nameless += directory.files
        self._directories.drop(directory)

    def _list(self, directory: Directory, findings: WalkFindings) -> list[Directory]:
        """List a directory, or a piece of it; return the sub-directories that are new."""
        self._progress.step()
        began = time.monotonic()
        fresh: list[Directory] = []
        try:
            listing = self._listings.pop(directory.path, None) or self._begin_listing(directory)
            is_over = self._sort_entries(directory, listing, findings, fresh)
        except OSError as error:
            directory.require_listing()
            self._admission.end_listing(directory)
            self._directories.note_unreachable(directory.path, directory.claims, error)
            return fresh
        listing.took_seconds += time.monotonic() - began
        if is_over:
            self._end_listing(directory, listing, findings)
        else:
            self._listings[directory.path] = listing
        return fresh

    def _begin_listing(self, directory: Directory) -> _Listing:
        status, entries = self._tree.read_entries(directory.path)
        self._admission.begin_listing(directory)
        return _Listing(
            status.st_ctime_ns, entries, set() if self._directories.unreadable else None
        )

    def _sort_entries(
        self,
        directory: Directory,
        listing: _Listing,
        findings: WalkFindings,
        fresh: list[Directory],
    ) -> bool:
        """Sort in entries as long as there is time; return whether these were the last ones.

        Sub-directories that are new are added to `fresh`.
        """
        for count, entry in enumerate(listing.entries, 1):
            if listing.names is not None:
                listing.names.add(entry.name)
            if entry.is_directory:
                fresh += self._enter_in_turn(directory, entry.name)
            elif entry.is_link:
                fresh += self._links.follow(directory, entry.name, findings, listing.skipped)
            elif entry.is_file:
                listing.seen.add(self._sort_file(directory, entry, findings))
            elif self._globs.source_in(directory, entry.name) is not None:
                findings.not_regular.append(directory.locate(entry.name))
            if not count % PIECE and not self._turns.has_time(directory.source):
                return False
        return True

    def _end_listing(self, directory: Directory, listing: _Listing, findings: WalkFindings) -> None:
        self._admission.end_listing(directory)
        if listing.names is not None:
            self._directories.forget_unreadable(directory, listing.names)
        self._links.note_skipped(directory, listing.skipped)
        findings.nameless += [file for file in directory.files if file.id not in listing.seen]
        if time.time_ns() - listing.changed_ns < _RELIST_NS:
            directory.require_listing()
        else:
            directory.note_listed(listing.changed_ns)
        directory.rest_after(listing.took_seconds)
        if listing.must_repeat:
            directory.require_listing()
            self._wait(directory)

    def _sort_file(self, directory: Directory, entry: Entry, findings: WalkFindings) -> int:
        """Sort a regular file in; return the known file that still has this name, 0 if none has."""
        for file in self._files.with_inode(entry.inode):
            if file.device == directory.device or file.directory is directory:
                if file.directory is not directory or file.name != entry.name:
                    findings.renamed.append((file, self._locator.locate_in(directory, entry.name)))
                    return 0
                if file.state is SegmentState.MISSING:
                    findings.nameless.append(file)  # its name is back
                return file.id
        location = self._locator.locate_in(directory, entry.name)
        if location.source is not None:
            findings.unknown.append(location)
        elif (unseen := self._locator.locate_unseen(directory, entry.name)) is not None:
            findings.unknown.append(unseen)
        return 0
