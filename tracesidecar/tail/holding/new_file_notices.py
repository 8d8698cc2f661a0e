"""What change events say of files that appear, move and go before a scan looks.

By the time that an event is read, its name may lead to the next file. From what was found under a
name, and from the events that follow, this finds out which files were gone before they could be
kept.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.holding.arrivals import NO_FILE, Arrivals, Inode
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import LossReason

_MOST_WALKED = 1000
"""How many files of a directory that appears are linked at once."""

_MOST_UNKEPT = 10_000
"""How many files that could not be kept are remembered one by one."""

_UNRESOLVED_SECONDS = 5.0
"""How long a file that could not be kept may be on its way before its absence counts."""

_VERSION_SECONDS = 1.0
"""How long scans have to find out how a file goes on whose next version replaced it unseen."""


@dataclass(frozen=True, slots=True)
class MissedFile:
    """A file that was gone before it could be kept, or that no link was possible of.

    `path` and `source` are those by which it was followed, `inode` is `NO_FILE` if nobody saw it.
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
    inode: Inode = NO_FILE
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


class NewFileNotices:
    """Has each new file kept at once, and knows which could not be.

    The methods of the first part are called in the observer's thread, all others in the tailer's.
    """

    def __init__(
        self,
        globs: SourceGlobs,
        sources: Sequence[SourceOptions],
        arrivals: Arrivals,
    ) -> None:
        self._globs = globs
        self._tree = Tree(sources)
        self._arrivals = arrivals
        self._known_folders: dict[str, bool] = {}
        self._lock = threading.Lock()  # taken before that of the arrivals
        self._unkept: dict[str, _Unkept] = {}  # by where each is now
        self._lost: list[_Unkept] = []
        self._looks: dict[str, _Look] = {}
        self._moved: dict[str, _Look] = {}  # by where each is now
        self._leaving: tuple[int, str, int | None] = 0, "", None

    # In the observer's thread:

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
            inode = NO_FILE if status is None else (status.st_dev, status.st_ino)
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

    def _follow_move(self, former: str, path: str, source: int | None) -> None:
        """Find out whether a file that moved is the one that was found under its first name.

        If another has that name by now, this one was never seen.
        """
        look = self._moved.pop(former, None) or self._looks.get(former)
        inode = self._identify(path)
        if look is not None:
            if inode == look.inode:
                self._forget_look(look)
            elif inode != NO_FILE and look.inode == self._identify(look.path):
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
                is_in_place_of_first = made.end is None and made.inode == inode != NO_FILE
                if made.inode == look.inode or is_in_place_of_first:
                    with self._lock:
                        self._note_look(path, source, made.inode, is_written=True)
                return
        if source is not None and inode != NO_FILE:
            with self._lock:
                self._note_look(path, source, inode, is_written=True)

    def _note_kept(self, inode: Inode, look: _Look) -> None:
        """Note that a file was kept after all that was never seen under its first name.

        Another had that name already: two files were exchanged (RENAME_EXCHANGE), or one was moved
        to the name of one that moved on. `look` is of the notice by which it counted as lost.
        """
        with self._lock:
            if inode in look.seen or not self._arrivals.is_fresh(inode):
                return
            missed = (x for x in self._lost if x.followed == look.path and x.lost_at == look.since)
            found = next(missed, None)
            if found is not None:
                self._lost.remove(found)

    def _forget_look(self, look: _Look) -> None:
        if self._looks.get(look.path) is look:
            del self._looks[look.path]

    def _identify(self, path: str) -> Inode:
        """Return what a path leads to, `NO_FILE` if nothing is there."""
        try:
            status = self._tree.stat(path)
        except OSError:
            return NO_FILE
        return status.st_dev, status.st_ino

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
            is_ours = self._known_folders[folder] = self._arrivals.is_ours(folder)
        return is_ours

    def _keep(
        self,
        path: str,
        followed: str,
        source: int,
        *,
        is_written: bool,
        is_made_here: bool = False,
        is_announced: bool = True,
        inode: Inode = NO_FILE,
    ) -> None:
        """Have the file at a path kept; it is followed under another path, perhaps.

        `is_announced`: a notice says that a file has got this name.
        """
        with self._lock:
            taken = self._arrivals.take(path, followed, source)
            if taken is None:
                return
            seen: Collection[Inode] = set()
            if is_announced:
                seen = self._note_look(
                    path, source, taken.inode, is_written=is_written, is_made_here=is_made_here
                )
            if taken.is_settled or len(self._unkept) >= _MOST_UNKEPT:
                return
            if taken.inode != NO_FILE:
                inode = taken.inode
            has_moved = path != followed
            now = time.monotonic()
            self._unkept[path] = _Unkept(
                source, followed, is_written, has_moved, now, inode, is_made_here, seen
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
        elif former is not None and former.inode == inode != NO_FILE and former.is_written:
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

    # In the tailer's thread:

    def forget_folders(self) -> None:
        """Look again which folders are ours: something may have been mounted."""
        self._known_folders = {}

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


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
