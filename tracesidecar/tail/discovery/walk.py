"""Which files there are: a walk that lists a directory again only when it has changed."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tracesidecar.directories import Handle, LinkNotFollowed, UntrustedLink
from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.directory_mounts import DirectoryMounts
from tracesidecar.tail.discovery.location import FileLocation
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.rotated_names import RotatedNames
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Entry, Tree
from tracesidecar.tail.file_table import Claims, Directory, File, FileTable
from tracesidecar.tail.segments import MountIdentity, SegmentState
from tracesidecar.tail.turns import Turns

_RELIST_NS = 3_000_000_000
"""A directory that changed this recently is listed once more: file systems keep time by the tick,
or by the second.
"""

LISTING_SECONDS = 0.1
"""A directory that takes longer to list rests afterwards, as long as scans are bounded: an agent
may change one of 100,000 names all the time, and change notices name what is new in it.
"""

_RESTS = 10
"""How many times as long as its listing took."""

_MOST_REPORTED = 100
"""How many skipped links of a source are reported one by one: an agent may make very many."""


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


@dataclass(slots=True)
class WalkFindings:
    """The findings of a walk.

    `unknown` are names whose inode is not known, `renamed` known inodes under another name,
    `nameless` files whose name is gone or should be checked, `not_regular` matching names of
    sockets, devices and the like. `skipped` are symbolic links that are not followed, and why.
    `own` are directories of ours under other paths than ours, and `gone` announced names that are
    no longer there.
    """

    unknown: list[FileLocation] = field(default_factory=list)
    renamed: list[tuple[File, FileLocation]] = field(default_factory=list)
    nameless: list[File] = field(default_factory=list)
    not_regular: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    gone: defaultdict[Directory, set[str]] = field(default_factory=lambda: defaultdict(set))


class Discovery:
    """Keeps the tree of walked directories.

    `unreadable` are directories that exist and cannot be listed: path → first source, and why.
    Links that may be followed are followed once: for each pattern, a directory is walked under one
    path only.
    """

    def __init__(
        self,
        tree: Tree,
        globs: SourceGlobs,
        rotated_names: RotatedNames,
        files: FileTable,
        directory_mounts: DirectoryMounts,
        *,
        own: OwnPaths,
        progress: Progress,
        admission: Admission,
        turns: Turns,
    ) -> None:
        """Enter nothing that is `own`."""
        self._admission = admission
        self._turns = turns
        self._unlisted: defaultdict[int, dict[str, Directory]] = defaultdict(dict)
        self._unlisted_links: defaultdict[int, dict[str, Directory]] = defaultdict(dict)
        self._unentered: defaultdict[int, dict[tuple[str, str], Directory]] = defaultdict(dict)
        self._listings: dict[str, _Listing] = {}
        self._tree = tree
        self._globs = globs
        self._rotated_names = rotated_names
        self._files = files
        self._directory_mounts = directory_mounts
        self._progress = progress
        self.unreadable: dict[str, tuple[int, str]] = {}
        self._own = own
        self._own_elsewhere: list[str] = []
        self._directories: dict[str, Directory] = {}
        self._elsewhere: dict[str, Directory] = {}
        self._claimed: dict[tuple[int, int], dict[str, Claims]] = {}
        self._skipped: dict[str, Counter[int]] = {}
        self._reported: Counter[int] = Counter()
        self._reported_links: set[str] = set()

    def directory(self, path: str) -> Directory:
        """Return the directory of that path; one that is not walked has nothing but the path."""
        found = self._directories.get(path) or self._elsewhere.get(path)
        if found is None:
            found = self._elsewhere[path] = Directory(path, 0, 0, {}, linked=False)
        return found

    def find_source(self, path: str) -> int:
        """Return the source in whose directory a path is, else the first one."""
        directory = self._directories.get(os.path.dirname(path)) or self._directories.get(path)
        return 0 if directory is None else directory.source

    def is_watched(self, directory: Directory) -> bool:
        """Return whether change events cover a directory: walked, and not through a symlink."""
        return not directory.linked and self._directories.get(directory.path) is directory

    def count_skipped_links(self) -> Mapping[int, int]:
        """Return how many symbolic links each source does not follow."""
        total = Counter[int]()
        for counts in self._skipped.values():
            total.update(counts)
        return total

    def walk(self, *, full: bool = False) -> WalkFindings:
        """List the directories that have changed, with what is new below them.

        `full` lists every directory, whether it seems changed or not.
        """
        findings = WalkFindings()
        self._walk(list(self._directories.values()), findings, full=full)
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
        if path in self._directories:
            self._directories[path].require_listing()

    def siblings(self, directory: Directory) -> list[FileLocation]:
        """Return every regular file of a directory, also those that no glob matches."""
        began = time.monotonic()
        try:
            _, entries = self._tree.list_entries(directory.path)
        except OSError:
            return []
        self._rest_after(directory, time.monotonic() - began)
        return [self._location(directory, entry.name) for entry in entries if entry.is_file]

    def has_matched(self, file: File) -> bool:
        """Return whether a glob matches the name that the file has, or had."""
        return any(self._globs.source_of(path) is not None for path in (file.path, file.origin))

    def locate(self, path: str, source: int) -> FileLocation:
        """Return the location of a path that a source follows, walked or not."""
        folder, name = os.path.split(path)
        return FileLocation(self.directory(folder), name, source)

    def locate_move(self, old: str, new: str) -> tuple[FileLocation, FileLocation] | None:
        """Return both ends of a move out of what the globs match, None for any other move."""
        source = self._globs.source_of(old)
        if source is None or self._globs.source_of(new) is not None:
            return None
        (old_folder, old_name), (new_folder, new_name) = os.path.split(old), os.path.split(new)
        return (
            FileLocation(self.directory(old_folder), old_name, source),
            FileLocation(self.directory(new_folder), new_name, source),
        )

    def is_matched(self, file: File) -> bool:
        """Return whether a glob matches the file's name as it is."""
        return self._globs.source_of(file.path) is not None

    def note_rotated(self, old: FileLocation, modified_ns: int) -> bool:
        """Note that a file was rotated away from a name; return False if nobody follows that."""
        return self._rotated_names.note(old, modified_ns)

    def search_rotated(self, directory: Directory) -> list[FileLocation]:
        """Return what came and went under the names from which files were rotated away.

        Between two polls, further files may have been written under such a name and rotated away.
        """
        located = (
            self._rotated_names.locate(directory, place.name) if place.source is None else place
            for place in self.siblings(directory)
            if self._globs.source_in(directory, place.name) is None
        )
        return [location for location in located if location is not None]

    def recall_rotations(self) -> None:
        """After a start, remember from what names the known files were rotated away."""
        for file in self._files:
            self._rotated_names.recall(file)

    def _location(self, directory: Directory, name: str) -> FileLocation:
        source = self._globs.source_in(directory, name)
        if source is None:
            source = self._rotated_names.find_family(directory, name)
        return FileLocation(directory, name, source)

    def _visit(self, path: str, findings: WalkFindings) -> Directory | None:
        """Look at one announced path; return the directory that must be listed because of it."""
        parent = self._directories.get(os.path.dirname(path))
        location = self._location(parent, os.path.basename(path)) if parent is not None else None
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
            location = self._rotated_names.locate(location.directory, location.name)
        if location is not None:
            findings.unknown.append(location)
        return None

    def _walk(
        self, directories: Iterable[Directory], findings: WalkFindings, *, full: bool
    ) -> None:
        for directory in self._missing_roots():
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
        findings.own += self._own_elsewhere
        self._own_elsewhere.clear()

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
            if self._directories.get(path) is not directory:
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

    def is_resting(self, directory: Directory) -> bool:
        """Return whether a directory has taken so long to list that it rests in this scan."""
        if self._turns.is_bounded and time.monotonic() < directory.rests_until:
            self._turns.postpone(directory.source)
            return True
        return False

    def _enter_waiting(self, source: int) -> bool:
        """Enter the sub-directories that waited for their turn, as far as there is time.

        Return whether there is something to list.
        """
        waiting, has_entered = self._unentered[source], False
        while waiting:
            (path, name), parent = waiting.popitem()
            if self._directories.get(path) is not parent:
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
        return self._enter_child(parent, name, linked=parent.linked)

    def _missing_roots(self) -> Iterable[Directory]:
        for root in self._globs.roots:
            if root in self._directories:
                continue
            directory = self._enter(root, {}, linked=os.path.islink(root))
            if directory is not None:
                yield directory

    def _note_unreachable(self, path: str, claims: Claims, error: OSError) -> None:
        """Tell a directory that nobody has made yet from one that exists and cannot be listed."""
        if isinstance(error, FileNotFoundError | NotADirectoryError) or not claims:
            self.unreadable.pop(path, None)
            return
        source = min(key[0] for key in claims)
        self.unreadable[path] = source, error.strerror or "it cannot be listed"

    def _wait_if_changed(self, directory: Directory, findings: WalkFindings, *, full: bool) -> None:
        """Have a directory listed if it has changed; `full`: in any case."""
        try:
            status = self._tree.stat_directory(directory.path)
        except OSError as error:
            self._leave(directory, findings)
            self._note_unreachable(directory.path, directory.claims, error)
            return
        if (status.st_dev, status.st_ino) != (directory.device, directory.inode) or (
            self._is_top(directory)
            and self._directory_mounts.read(directory.path) != directory.place
        ):
            self._leave(directory, findings)
            parent = self._directories.get(os.path.dirname(directory.path))
            if parent is not None:  # in this walk: no event may come of a mount that is new there
                self._wait_if_changed(parent, findings, full=True)
        elif (listing := self._listings.get(directory.path)) is not None:
            listing.must_repeat |= full or status.st_ctime_ns != listing.changed_ns
        elif full or status.st_ctime_ns != directory.changed_ns:  # also a change of its rights
            self._wait(directory)

    def _is_top(self, directory: Directory) -> bool:
        """Return whether a mount may begin here: a fresh file system can have the old numbers."""
        parent = self._directories.get(os.path.dirname(directory.path))
        return parent is None or parent.device != directory.device

    def _enter(self, path: str, inherited: Claims, *, linked: bool) -> Directory | None:
        """Take a directory into the tree, unless no pattern needs it under this path."""
        claims = inherited | self._globs.claims_at(path)
        try:
            with self._tree.directory(path) as descriptor:
                status, place = os.fstat(descriptor), self._directory_mounts.read_open(descriptor)
                is_own = self._is_own(path, descriptor, status, place, linked=linked)
        except OSError as error:  # its parent may be listed, but not entered (mode 0444), say
            self._note_unreachable(path, claims, error)
            return None
        self.unreadable.pop(path, None)
        if is_own:
            return None
        claimed = self._claimed.setdefault((status.st_dev, status.st_ino), {})
        others = [other for where, other in claimed.items() if where != path]
        claims = {
            key: positions
            for key, positions in claims.items()
            if all(other.get(key) != positions for other in others)
        }
        if not claims:
            return None
        claimed[path] = claims
        directory = Directory(
            path,
            status.st_dev,
            status.st_ino,
            claims,
            linked=linked,
            place=place,
            source=min(source for source, _ in claims),
        )
        if former := self._elsewhere.pop(path, None):
            for file in list(former.files):
                self._files.move(file, directory, file.name)
            directory.rotated = former.rotated
        self._directories[path] = directory
        self._admission.count_directory(directory.source, 1)
        return directory

    def _is_own(
        self,
        path: str,
        descriptor: int,
        status: os.stat_result,
        place: MountIdentity | None,
        *,
        linked: bool,
    ) -> bool:
        """Return whether a directory is ours; it can only be below one of ours by link or mount."""
        parent = self._directories.get(os.path.dirname(path))
        is_apart = linked or parent is None or parent.place != place
        if not (self._own.contains(descriptor) if is_apart else self._own.has(status)):
            return False
        if not self._own.is_configured(path):
            self._own_elsewhere.append(path)
        return True

    def _leave(self, directory: Directory, findings: WalkFindings) -> None:
        """Drop a directory that is gone, or replaced by another, with all below it."""
        gone = [directory]
        for each in gone:
            gone += each.children.values()
        for each in reversed(gone):
            self._drop(each, findings)

    def _drop(self, directory: Directory, findings: WalkFindings) -> None:
        if self._directories.pop(directory.path, None) is not None:
            self._admission.count_directory(directory.source, -1)
        self._admission.end_listing(directory)
        self._listings.pop(directory.path, None)
        self.unreadable.pop(directory.path, None)
        self._skipped.pop(directory.path, None)
        self._claimed.get((directory.device, directory.inode), {}).pop(directory.path, None)
        parent = self._directories.get(os.path.dirname(directory.path))
        if parent is not None:
            parent.children.pop(os.path.basename(directory.path), None)
            parent.require_listing()
        findings.nameless += directory.files
        for file in list(directory.files):
            self._files.move(file, self.directory(directory.path), file.name)

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
            self._note_unreachable(directory.path, directory.claims, error)
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
        return _Listing(status.st_ctime_ns, entries, set() if self.unreadable else None)

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
                fresh += self._meet_link(directory, entry.name, findings, listing.skipped)
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
            self._forget_unreadable(directory, listing.names)
        if listing.skipped:
            self._skipped[directory.path] = listing.skipped
        else:
            self._skipped.pop(directory.path, None)
        findings.nameless += [file for file in directory.files if file.id not in listing.seen]
        if time.time_ns() - listing.changed_ns < _RELIST_NS:
            directory.require_listing()
        else:
            directory.note_listed(listing.changed_ns)
        self._rest_after(directory, listing.took_seconds)
        if listing.must_repeat:
            directory.require_listing()
            self._wait(directory)

    def _rest_after(self, directory: Directory, seconds: float) -> None:
        """Let a directory rest that has taken long to list."""
        if seconds > LISTING_SECONDS:
            directory.rests_until = time.monotonic() + _RESTS * seconds

    def _forget_unreadable(self, directory: Directory, names: set[str]) -> None:
        """Forget that a directory could not be listed, and what is no longer in it."""
        self.unreadable.pop(directory.path, None)
        for path in list(self.unreadable):
            folder, name = os.path.split(path)
            if folder == directory.path and name not in names:
                del self.unreadable[path]

    def _enter_child(
        self, directory: Directory, name: str, *, linked: bool, claims: Claims | None = None
    ) -> list[Directory]:
        """Enter a sub-directory; return it if it is new, or if a further pattern needs it.

        `claims` are those of the directory that count, by default all.
        """
        if name in directory.children:
            return []
        claims = self._globs.claims_below(directory, name, claims)
        path = directory.locate(name)
        known = self._directories.get(path)
        child = known or self._enter(path, claims, linked=linked)
        if child is None:
            return []
        directory.children[name] = child
        if known is not None and claims.items() <= known.claims.items():
            return []
        child.claims |= claims
        return [child]

    def _meet_link(
        self, directory: Directory, name: str, findings: WalkFindings, skipped: Counter[int]
    ) -> list[Directory]:
        """Follow a symbolic link for the sources that allow it; return the directory if it is new.

        For the others it is skipped, without a look at what it leads to.
        """
        path = directory.locate(name)
        fresh: list[Directory] = []
        for symlinks, claims in self._globs.claims_on_link(directory, name).items():
            source = min(key[0] for key in claims)
            problem = "" if symlinks != "never" else 'the source has symlinks = "never"'
            if not problem:
                try:
                    with self._tree.follow(path, None if symlinks == "root" else symlinks) as found:
                        real, target = found
                except (LinkNotFollowed, UntrustedLink) as error:
                    problem = error.strerror or "it is not followed"
                except OSError:
                    continue  # dangling, or a loop of links
            if problem:
                skipped[source] += 1
                if self._reported[source] < _MOST_REPORTED:
                    self._reported[source] += path not in self._reported_links
                    self._reported_links.add(path)
                    findings.skipped.append((path, problem))
            elif stat.S_ISDIR(target.status.st_mode):
                fresh += self._enter_child(directory, name, linked=True, claims=claims)
            else:
                source_of_file = self._globs.source_in(directory, name, claims)
                link = FileLocation(directory, name, source_of_file)
                self._meet_linked_file(link, real, target, findings)
        return fresh

    def _meet_linked_file(
        self,
        link: FileLocation,
        real: str,
        target: Handle,
        findings: WalkFindings,
    ) -> None:
        source, path = link.source, link.path
        if source is not None and self._is_own_file(real, target):
            findings.own.append(path)
            return
        if source is None or self._files.find(*target.inode) is not None:
            return
        if not target.is_regular:
            findings.not_regular.append(path)
            return
        findings.unknown.append(
            FileLocation(self.directory(os.path.dirname(real)), os.path.basename(real), source)
        )

    def _is_own_file(self, path: str, target: Handle) -> bool:
        if self._own.has(target.status):
            return True
        try:
            with self._tree.directory(os.path.dirname(path)) as descriptor:
                return self._own.contains(descriptor)
        except OSError:
            return False

    def _sort_file(self, directory: Directory, entry: Entry, findings: WalkFindings) -> int:
        """Sort a regular file in; return the known file that still has this name, 0 if none has."""
        for file in self._files.with_inode(entry.inode):
            if file.device == directory.device or file.directory is directory:
                if file.directory is not directory or file.name != entry.name:
                    findings.renamed.append((file, self._location(directory, entry.name)))
                    return 0
                if file.state is SegmentState.MISSING:
                    findings.nameless.append(file)  # its name is back
                return file.id
        location = self._location(directory, entry.name)
        if location.source is not None:
            findings.unknown.append(location)
        elif (unseen := self._rotated_names.locate(directory, entry.name)) is not None:
            findings.unknown.append(unseen)
        return 0
