"""Files are kept from the first event about them: they may be gone before a scan looks.

An agent writes a file, and moves or deletes it a few milliseconds later. The thread that reads the
change events gives it a hard link at once, or opens it where no link is possible. The next scan
finds out what the file is; until then it is an arrival.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from tracesidecar.directories import Handle
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.owners import Owners
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File
from tracesidecar.tail.holding.link_folder import LinkFolder, list_own_folders, private_folder
from tracesidecar.tail.holding.link_names import LinkName
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import LossReason

_PREFIX = "arrival-"
"""A link with this name belongs to no segment yet: after a crash it is not delivered unseen."""

_MOST_OPEN = 64
"""How many arrivals are kept open, where no link is possible."""

_MOST_WALKED = 1000
"""How many files of a directory that appears are linked at once."""

_MOST_UNKEPT = 10_000
"""How many files that could not be kept are remembered one by one."""

_UNRESOLVED_SECONDS = 5.0
"""How long a file that could not be kept may be on its way before its absence counts."""

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a file cannot be opened for that is not its own fault, and passes."""

_VERSION_SECONDS = 1.0
"""How long scans have to find out how a file goes on whose next version replaced it unseen."""

_RESERVE = 6
"""How many descriptors a link needs, with the directories on the way to the file and to the link.
"""

Inode = tuple[int, int]
"""Device and inode number."""

_NO_FILE = 0, 0


@dataclass(frozen=True, slots=True)
class MissedFile:
    """A file that was gone before it could be kept, or that no link was possible of.

    `path` and `source` are those by which it was followed, `inode` is `_NO_FILE` if nobody saw it.
    `seen` are other files that were found under its name, after `since` (seconds since the epoch).
    `is_version`: it was moved to the name, and so was the next one. An agent that writes its whole
    session anew each time does this, and then the next one has all that was in it. `noticed` is
    when the notice that it got the name was read, by the monotonic clock; a scan that has met it
    did so before `met_until`.
    """

    path: str
    source: int
    inode: Inode
    seen: Collection[Inode]
    since: float
    noticed: float
    met_until: float
    is_version: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file, under the path and of the source by which it is followed.

    Our link leads to it, or else our descriptor.
    """

    path: str
    source: int
    folder: LinkFolder
    link: str = ""
    descriptor: int | None = None

    def stat(self) -> os.stat_result:
        """Return the file's stat; raise OSError if somebody has removed the link."""
        if self.descriptor is not None:
            return os.fstat(self.descriptor)
        return self.folder.stat(self.link)

    def open(self) -> int:
        """Open the file for reading; raise OSError if somebody has removed the link."""
        with self.find() as found:
            return found.open()

    @contextmanager
    def find(self) -> Iterator[Handle]:
        """Open the file without touching it; raise OSError if somebody has removed the link."""
        if self.descriptor is not None:
            status = os.fstat(self.descriptor)
            yield Handle(self.descriptor, status, -1)
        else:
            with self.folder.find(self.link) as found:
                yield found

    def identify(self) -> Inode:
        """Return device and inode number; `_NO_FILE` if it is no regular file, or gone."""
        try:
            status = self.stat()
        except OSError:
            return _NO_FILE
        return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else _NO_FILE

    def release(self) -> None:
        """Remove the link, or close the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        else:
            with suppress(OSError):
                self.folder.remove(self.link)


@dataclass(slots=True)
class _Unkept:
    """A file that was gone, or could not be kept, when its event was read.

    `noticed` and `lost_at` are of the looks at its name by which it counts as lost; `ended_at` is
    when that it is gone was read.
    """

    source: int
    followed: str
    is_written: bool
    has_moved: bool
    since: float
    inode: Inode = _NO_FILE
    is_made_here: bool = True
    seen: Collection[Inode] = frozenset()
    is_version: bool = False
    noticed: float | None = None
    lost_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class _Look:
    """What was found under a name when the notice of a file that got it was read.

    By then it may be the next file of that name: then the notice of that one finds it again, and
    the first was never seen. `is_made_here`: it was made under this name, and not moved to it.
    `seen` are all files that were found under the name lately. `now_at` is where the first is by
    the notices, if that is another place that is watched.
    """

    path: str
    source: int
    inode: Inode
    is_written: bool
    is_made_here: bool
    since: float
    seen: set[Inode]
    end: LossReason | None = None
    now_at: str = ""


class Arrivals:
    """Keeps new files until a scan has found out what they are.

    The methods of the first part are called in the observer's thread, all others in the tailer's.
    """

    def __init__(
        self,
        globs: SourceGlobs,
        sources: Sequence[SourceOptions],
        link_directory: str,
        *,
        owners: Owners | None = None,
        own: OwnPaths | None = None,
    ) -> None:
        """Take over the arrivals of an earlier run.

        Links of it that cannot be arrivals now get the name that `HardLinks` looks for.
        """
        self._globs = globs
        self._sources = sources
        self._tree = Tree(sources)
        self._owners = owners or Owners(sources)
        paths = [
            private_folder(source.hold_directory) if source.hold_directory else link_directory
            for source in sources
        ]
        folders = {path: LinkFolder(path) for path in paths}
        self._folders = [folders[path] for path in paths]
        held = (link_directory, *(each.hold_directory for each in sources if each.hold_directory))
        own_folders = list_own_folders(held)
        self._own_folders = {os.path.realpath(folder) for folder in own_folders}
        self._own = own or OwnPaths((), folders=own_folders)
        self._known_folders: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._fresh: dict[Inode, Arrival] = {}
        self._unkept: dict[str, _Unkept] = {}  # by where each is now
        self._lost: list[_Unkept] = []
        self._looks: dict[str, _Look] = {}
        self._moved: dict[str, _Look] = {}  # by where each is now
        self._leaving: tuple[int, str, int | None] = 0, "", None
        self._kept: dict[Inode, Arrival] = {}
        self._is_closed = False
        self._full: frozenset[int] = frozenset()
        self._reserve: list[int] = []
        weakref.finalize(self, _close_all, self._reserve)
        self._take_reserve()
        self._take_over_folders()
        for folder in folders.values():
            self._recall(folder)

    def _take_over_folders(self) -> None:
        """Move the links that an earlier version made in a source's own directory."""
        for source, folder in zip(self._sources, self._folders, strict=True):
            if source.hold_directory not in {None, folder.path}:
                with suppress(OSError):  # no links are possible there
                    folder.take_over(source.hold_directory)

    # ---- in the observer's thread

    def note_created(self, path: str) -> None:
        """Keep a file that was made under a followed name."""
        source = self._source_of(path)
        if source is not None:
            self._keep(path, path, source, is_written=False, is_made_here=True)

    def note_written(self, path: str) -> None:
        """Note that there is something to lose in a file that could not be kept."""
        unkept = self._unkept.get(path) if self._unkept else None
        if unkept is not None:
            unkept.is_written = True
        look = self._looks.get(path) if self._looks else None
        if look is not None:
            look.is_written = True

    def note_deleted(self, path: str) -> None:
        """Note that a file is gone: if it was not kept, what was in it is lost."""
        with self._lock:
            unkept = self._unkept.pop(path, None)
            if unkept is not None and unkept.is_written:
                self._lose(unkept)
        look = self._moved.pop(path, None) or self._looks.get(path)
        if look is not None:
            look.end, look.now_at = "gone", ""
            look.is_written &= unkept is None  # else it has been counted

    def note_left(self, path: str, cookie: int) -> None:
        """Note that a file is about to get another name, here or where nobody watches."""
        self._leaving = cookie, path, self._source_of(path)
        unkept = self._unkept.get(path) if self._unkept else None
        if unkept is not None:
            unkept.has_moved = True
        look = self._looks.get(path)
        if look is not None:
            look.end = "moved"
            look.is_written &= unkept is None  # else that follows it

    def note_entered(self, path: str, cookie: int) -> None:
        """Keep a file that got a followed name, or had one until now and is not kept."""
        source = self._source_of(path)
        left, former, former_source = self._leaving
        with self._lock:
            unkept = self._unkept.pop(former, None) if left == cookie else None
        if unkept is not None and source is None:
            self._keep(path, unkept.followed, unkept.source, is_written=unkept.is_written)
            with self._lock:
                still = self._unkept.get(path)
                if still is not None:
                    still.seen = unkept.seen  # also what comes to its first name from now on
        elif unkept is not None and source is not None:
            self._keep(path, path, source, is_written=unkept.is_written)
        elif left == cookie and (former_source is not None or former in self._moved):
            self._follow_move(former, path, source)
        elif source is not None:
            self._keep(path, path, source, is_written=True)

    def _follow_move(self, former: str, path: str, source: int | None) -> None:
        """Find out whether a file that moved is the one that was found under its first name.

        If another has that name by now, this one was never seen.
        """
        look = self._moved.pop(former, None) or self._looks.get(former)
        inode = self._identify(path)
        if look is not None:
            if inode == look.inode:
                self._forget_look(look)
            elif inode != _NO_FILE and look.inode == self._identify(look.path):
                self._forget_look(look)
                followed, owner = (look.path, look.source) if source is None else (path, source)
                self._keep(path, followed, owner, is_written=look.is_written, inode=inode)
                self._note_kept(inode, look)
                return
            else:
                look.now_at = path  # it went on, or is gone
                self._moved[path] = look
                made = self._looks.get(path)
                if source is None or made is None or made is look:
                    return
                # When the first file of that name was made, this one had it. If its own name was
                # used again before we looked there, it is known by what it replaced.
                is_in_place_of_first = made.end is None and made.inode == inode != _NO_FILE
                if made.inode == look.inode or is_in_place_of_first:
                    with self._lock:
                        self._note_look(path, source, made.inode, is_written=True)
                return
        if source is not None and inode != _NO_FILE:
            with self._lock:
                self._note_look(path, source, inode, is_written=True)

    def _note_kept(self, inode: Inode, look: _Look) -> None:
        """Note that a file was kept after all that was never seen under its first name.

        Another had that name already: two files were exchanged (RENAME_EXCHANGE), or one was moved
        to the name of one that moved on. `look` is of the notice by which it counted as lost.
        """
        with self._lock:
            if inode in look.seen or inode not in self._fresh:
                return
            missed = (x for x in self._lost if x.followed == look.path and x.lost_at == look.since)
            found = next(missed, None)
            if found is not None:
                self._lost.remove(found)

    def _forget_look(self, look: _Look) -> None:
        if self._looks.get(look.path) is look:
            del self._looks[look.path]

    def _identify(self, path: str) -> Inode:
        """Return what a path leads to, `_NO_FILE` if nothing is there."""
        try:
            status = self._tree.stat(path)
        except OSError:
            return _NO_FILE
        return status.st_dev, status.st_ino

    def note_directory(self, path: str, *, is_new: bool) -> None:
        """Keep what is in a directory that appeared; `is_new` if it had no other name here.

        What cannot be kept, because it is too much or goes too soon, may be a loss.
        """
        count = 0
        for name, status in self._walk(path):
            source = self._globs.source_of(name)
            if source is None or (status is not None and not stat.S_ISREG(status.st_mode)):
                continue
            # what was gone before its size was seen may have had something
            is_written = is_new if status is None else status.st_size > 0
            inode = _NO_FILE if status is None else (status.st_dev, status.st_ino)
            count += 1
            if status is not None and count <= _MOST_WALKED:
                self._keep(
                    name, name, source, is_written=is_written, inode=inode, is_announced=False
                )
                continue
            with self._lock:
                now = time.monotonic()
                if len(self._unkept) >= _MOST_UNKEPT:  # one for all of them
                    self._unkept[path] = _Unkept(source, path, True, False, now)
                    return
                self._unkept[name] = _Unkept(source, name, is_written, False, now, inode)

    def _walk(self, path: str) -> Iterator[tuple[str, os.stat_result | None]]:
        """Yield what is below a directory and not ours, with its stat: None if it is gone already.

        All of a folder is looked at before the first is yielded: what takes longer comes after.
        """
        for folder, entries in self._tree.walk(path):
            if self._is_ours(folder):
                continue
            names = [entry.name for entry in entries if not entry.is_directory]
            paths = [os.path.join(folder, name) for name in names]
            yield from zip(paths, self._look(folder, names), strict=True)

    def _look(self, folder: str, names: Sequence[str]) -> list[os.stat_result | None]:
        try:
            with self._tree.directory(folder) as descriptor:
                return [_stat(descriptor, name) for name in names]
        except OSError:
            return [None] * len(names)

    def _source_of(self, path: str) -> int | None:
        """Return the source that follows a path; None for a link of ours, below the traces."""
        source = self._globs.source_of(path)
        return None if source is None or self._is_ours(os.path.dirname(path)) else source

    def _is_ours(self, folder: str) -> bool:
        is_ours = self._known_folders.get(folder)
        if is_ours is None:
            if len(self._known_folders) >= _MOST_WALKED:
                self._known_folders.clear()
            is_ours = self._known_folders[folder] = self._find_out_whether_ours(folder)
        return is_ours

    def _find_out_whether_ours(self, folder: str) -> bool:
        if os.path.realpath(folder) in self._own_folders:
            return True
        try:
            with self._tree.directory(folder) as descriptor:
                return self._own.contains(descriptor)
        except OSError:
            return False

    def _keep(
        self,
        path: str,
        followed: str,
        source: int,
        *,
        is_written: bool,
        is_made_here: bool = False,
        is_announced: bool = True,
        inode: Inode = _NO_FILE,
    ) -> None:
        """Link or open the file at a path; it is followed under another path, perhaps.

        `is_announced`: a notice says that a file has got this name.
        """
        with self._lock:  # a link is never counted as a name that the file has elsewhere
            if self._is_closed:
                return
            arrival = None
            seen: Collection[Inode] | None = None
            with suppress(OSError), self._find(path) as found:
                inode = found.inode
                if is_announced:
                    seen = self._note_look(
                        path, source, inode, is_written=is_written, is_made_here=is_made_here
                    )
                if not found.is_regular or inode in self._fresh:
                    return
                own_links = self._count_links(inode)
                is_withheld = self._owners.withholds(source, found, own_links=own_links)
                if is_withheld or self._own.has(found.status):
                    return  # the scan says so
                if source not in self._full:
                    arrival = self._link(found, followed, source) or self._open(
                        found, followed, source
                    )
            if is_announced and seen is None:
                seen = self._note_look(
                    path, source, _NO_FILE, is_written=is_written, is_made_here=is_made_here
                )
            if arrival is not None:
                self._fresh[inode] = arrival
            elif len(self._unkept) < _MOST_UNKEPT:
                has_moved = path != followed
                now = time.monotonic()
                self._unkept[path] = _Unkept(
                    source, followed, is_written, has_moved, now, inode, is_made_here, seen or set()
                )

    def _note_look(
        self,
        path: str,
        source: int,
        inode: Inode,
        *,
        is_written: bool,
        is_made_here: bool = False,
    ) -> Collection[Inode]:
        """Note what was found under a name that a file has just got, by a notice.

        Return the files that were found under it lately. The file that had the name before is lost
        if it was written to, and nobody saw it; if it is a version of one file, a scan says whether
        the next has what was in it.
        """
        now = time.monotonic()
        former = self._looks.get(path)
        if former is not None and now - former.since >= _UNRESOLVED_SECONDS:
            former = None
        unkept = self._unkept.pop(path, None)
        if unkept is not None and unkept.is_written:
            unkept.is_version, unkept.lost_at = not unkept.is_made_here, now
            self._lose(unkept)
        elif former is not None and former.inode == inode != _NO_FILE and former.is_written:
            missed = _Unkept(former.source, path, True, former.end == "moved", now)
            missed.seen, missed.noticed, missed.lost_at = former.seen, former.since, now
            missed.is_version = not former.is_made_here and former.end != "gone"
            if former.now_at:
                self._moved.pop(former.now_at, None)
                self._unkept.setdefault(former.now_at, missed)
            else:
                self._lose(missed)
        seen = set() if former is None else former.seen
        seen.add(inode)
        if len(self._looks) >= _MOST_UNKEPT:
            self._looks.clear()
            self._moved.clear()
        self._looks[path] = _Look(path, source, inode, is_written, is_made_here, now, seen)
        return seen

    def _lose(self, unkept: _Unkept) -> None:
        unkept.ended_at = time.monotonic()
        self._lost.append(unkept)

    @contextmanager
    def _find(self, path: str) -> Iterator[Handle]:
        """Open what is at a path; if no descriptor is left, the reserve is there to be used."""
        with ExitStack() as stack:
            try:
                found = stack.enter_context(self._tree.find(path))
            except OSError as error:
                if error.errno not in SHORTAGES:
                    raise
                _close_all(self._reserve)
                stack.callback(self._take_reserve)
                found = stack.enter_context(self._tree.find(path))
            yield found

    def _link(self, found: Handle, followed: str, source: int) -> Arrival | None:
        options, folder = self._sources[source], self._folders[source]
        if options.protect == "never":
            return None
        link = self._new_name(followed, source)
        try:
            folder.link(found, link)
        except OSError:
            return None
        return Arrival(followed, source, folder, link)

    def _new_name(self, followed: str, source: int) -> str:
        name = LinkName(secrets.randbits(53), self._sources[source].name, followed).encode()
        return name.replace("segment-", _PREFIX, 1)

    def _open(self, found: Handle, followed: str, source: int) -> Arrival | None:
        opened = sum(each.descriptor is not None for each in self._fresh.values())
        if opened >= _MOST_OPEN:
            return None
        try:
            descriptor = found.open()
        except OSError:
            return None
        return Arrival(followed, source, self._folders[source], descriptor=descriptor)

    # ---- in the tailer's thread

    def keep_nothing_of(self, sources: frozenset[int]) -> None:
        """Keep no new files of these sources: there is no room for them."""
        with self._lock:
            self._full = sources

    def collect(self) -> None:
        """Take over what has arrived since the last scan."""
        self._known_folders = {}  # something may have been mounted
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        for inode, arrival in fresh.items():
            if inode in self._kept:
                arrival.release()
            else:
                self._kept[inode] = arrival

    def keep(self, file: File) -> bool:
        """Link a new file that cannot be opened now; return whether that was possible."""
        with self._lock, suppress(OSError):
            try:
                return self._link_unopened(file)
            except OSError as error:
                if error.errno not in SHORTAGES:
                    raise
            _close_all(self._reserve)
            try:
                return self._link_unopened(file)
            finally:
                self._take_reserve()
        return False

    def _link_unopened(self, file: File) -> bool:
        """Link a file by its name; what has been linked is looked at afterwards."""
        inode, source = (file.device, file.inode), file.source
        folder, name = self._folders[source], self._new_name(file.path, source)
        with self._tree.directory(os.path.dirname(file.path)) as directory:
            status = os.stat(file.name, dir_fd=directory, follow_symlinks=False)
            handle = Handle(directory, status, directory)
            if (
                handle.inode != inode
                or not handle.is_regular
                or self._owners.withholds(source, handle, own_links=self._count_links(inode))
            ):
                return False
            folder.link_unopened(directory, file.name, name)
        arrival = Arrival(file.path, source, folder, name)
        if arrival.identify() != inode:
            arrival.release()
            return False
        self._kept[inode] = arrival
        return True

    def _take_reserve(self) -> None:
        """Keep some descriptors for the time when there are no others."""
        with suppress(OSError):
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.open("/", os.O_PATH | os.O_CLOEXEC))

    def __iter__(self) -> Iterator[tuple[Arrival, os.stat_result]]:
        """Return each arrival that is kept and can be seen, with its stat."""
        return self.visit(lambda _: True)

    def visit(self, has_turn: Callable[[int], bool]) -> Iterator[tuple[Arrival, os.stat_result]]:
        """Return each arrival that is kept and can be seen, with its stat, in its source's turn."""
        over: set[int] = set()
        for inode, arrival in list(self._kept.items()):
            if arrival.source in over or not has_turn(arrival.source):
                over.add(arrival.source)
                continue
            try:
                status = arrival.stat()
            except (FileNotFoundError, NotADirectoryError):  # somebody has removed the link
                del self._kept[inode]
            except OSError:
                continue
            else:
                yield arrival, status
                if inode in self._kept:  # if there is no time for all, the others come first
                    self._kept[inode] = self._kept.pop(inode)

    def find(self, file: File) -> Arrival | None:
        """Return the arrival as which a file is kept."""
        inode = file.device, file.inode
        with self._lock:
            return self._kept.get(inode) or self._fresh.get(inode)

    def count_links(self, file: File) -> int:
        """Return how many links of ours a file has as an arrival."""
        with self._lock:
            return self._count_links((file.device, file.inode))

    def _count_links(self, inode: Inode) -> int:
        found = self._fresh.get(inode), self._kept.get(inode)
        return sum(each is not None and each.descriptor is None for each in found)

    def release(self, file: File) -> None:
        """Release a file that needs no arrival any more."""
        inode = file.device, file.inode
        with self._lock:
            found = self._fresh.pop(inode, None), self._kept.pop(inode, None)
        for arrival in found:
            if arrival is not None:
                arrival.release()

    @property
    def has_missed(self) -> bool:
        """Whether a file was gone, or could not be kept, of which nothing more is known yet."""
        return bool(self._lost or self._unkept)

    def take_lost(
        self, is_known: Callable[[MissedFile], bool], until: float
    ) -> list[tuple[str, int, LossReason]]:
        """Return the files that were written to, and gone before they were kept.

        That is the path by which each was followed, its source, and what became of it. `is_known`
        says whether a scan has met the file: then it is kept. Nothing is said of what was missed
        after `until`, a time of the monotonic clock. All notices of what happened before that have
        been read.
        """
        now, epoch = time.monotonic(), time.time() - time.monotonic()

        def describe_missed(unkept: _Unkept, path: str) -> MissedFile:
            since = epoch + unkept.since - _UNRESOLVED_SECONDS
            noticed = unkept.since if unkept.noticed is None else unkept.noticed
            return MissedFile(
                path,
                unkept.source,
                unkept.inode,
                unkept.seen,
                since,
                noticed,
                until,
                unkept.is_version,
            )

        def is_early(unkept: _Unkept) -> bool:
            """Return whether too little is known yet of a file whose end was read."""
            is_young = unkept.is_version and now - unkept.since < _VERSION_SECONDS
            return is_young or (unkept.ended_at or now) > until

        with self._lock:
            lost, self._lost = self._lost, []
            self._lost += filter(is_early, lost)
            lost = [
                each
                for each in lost
                if not is_early(each) and not is_known(describe_missed(each, each.followed))
            ]
            for path, unkept in list(self._unkept.items()):
                if unkept.since > until:
                    continue
                if is_known(describe_missed(unkept, path)):
                    del self._unkept[path]
                    continue
                if now - unkept.since >= _UNRESOLVED_SECONDS:  # its folder left, or it did
                    del self._unkept[path]
                    if unkept.is_written and not os.path.lexists(path):
                        lost.append(unkept)
        return [
            (unkept.followed, unkept.source, "moved" if unkept.has_moved else "gone")
            for unkept in lost
        ]

    def release_empty(self) -> None:
        """Release the links of files that were deleted before anything was in them."""
        for inode, arrival in list(self._kept.items()):
            with suppress(OSError):
                status = arrival.stat()
                if arrival.descriptor is None and not status.st_size and status.st_nlink == 1:
                    del self._kept[inode]
                    arrival.release()

    def close(self) -> None:
        """Keep nothing more; links stay for the next run."""
        _close_all(self._reserve)
        with self._lock:
            self._is_closed = True
            kept = [*self._fresh.values(), *self._kept.values()]
            self._fresh, self._kept = {}, {}
        for arrival in kept:
            if arrival.descriptor is not None:
                os.close(arrival.descriptor)

    def _recall(self, folder: LinkFolder) -> None:
        try:
            names = [name for name in folder.list_names() if name.startswith(_PREFIX)]
        except OSError:
            return
        for name in names:
            named = name.replace(_PREFIX, "segment-", 1)
            link = LinkName.parse(named)
            sources = [
                number
                for number, source in enumerate(self._sources)
                if link is not None
                and source.name == link.source
                and self._folders[number] is folder
                and self._globs.source_of(link.path) == number
            ]
            if link is None or not sources:
                with suppress(OSError):  # adopted, or set aside, like every link of unknown origin
                    folder.move(name, folder, named)
                continue
            arrival = Arrival(link.path, sources[0], folder, name)
            inode = arrival.identify()
            if inode == _NO_FILE or inode in self._kept:
                arrival.release()
            else:
                self._kept[inode] = arrival


def measure_arrivals(folders: Iterable[str]) -> int:
    """Return the bytes of the new files in these folders that have no name but our link."""
    size_bytes = 0
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.startswith(_PREFIX):
                with suppress(OSError):  # removed in this moment, or not for this user to see
                    status = os.lstat(os.path.join(folder, name))
                    size_bytes += status.st_size if status.st_nlink == 1 else 0
    return size_bytes


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
