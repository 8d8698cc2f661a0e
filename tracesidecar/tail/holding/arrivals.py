"""Files are kept from the first notice of them: they may be gone before a scan looks.

An agent writes a file, and moves or deletes it a few milliseconds later. The thread that reads the
change notices gives it a hard link at once, or opens it where no link is possible. The next scan
finds out what the file is; until then it is an arrival.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.file_table import File
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

_NO_FILE = 0, 0

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file, under the path and of the source by which it is followed.

    `way` leads to it: our link, or the entry of our descriptor in /proc.
    """

    path: str
    source: int
    way: str
    descriptor: int | None = None


@dataclass(slots=True)
class _Unkept:
    """A file that was gone, or could not be kept, when its notice was read."""

    source: int
    followed: str
    is_written: bool
    has_moved: bool
    since: float
    inode: tuple[int, int] = _NO_FILE


class Arrivals:
    """Keeps new files until a scan has found out what they are.

    The methods of the first part are called in the observer's thread, all others in the tailer's.
    """

    def __init__(
        self, globs: SourceGlobs, sources: Sequence[SourceOptions], link_directory: str
    ) -> None:
        """Take over the arrivals of an earlier run.

        Links of it that cannot be arrivals now get the name that `HardLinks` looks for.
        """
        self._globs = globs
        self._sources = sources
        self._folders = [source.hold_directory or link_directory for source in sources]
        self._own_folders = {os.path.realpath(each) for each in (link_directory, *self._folders)}
        self._lock = threading.Lock()
        self._fresh: dict[tuple[int, int], Arrival] = {}
        self._unkept: dict[str, _Unkept] = {}  # by where each is now
        self._lost: list[_Unkept] = []
        self._leaving: tuple[int, str, int | None] = 0, "", None
        self._kept: dict[tuple[int, int], Arrival] = {}
        self._unreadable: set[tuple[int, int]] = set()
        self._is_closed = False
        for folder in dict.fromkeys(self._folders):
            self._recall(folder)

    # ---- in the observer's thread

    def note_created(self, path: str) -> None:
        """Keep a file that was made under a followed name."""
        source = self._source_of(path)
        if source is not None:
            self._keep(path, path, source, is_written=False)

    def note_written(self, path: str) -> None:
        """Note that there is something to lose in a file that could not be kept."""
        unkept = self._unkept.get(path) if self._unkept else None
        if unkept is not None:
            unkept.is_written = True

    def note_deleted(self, path: str) -> None:
        """Note that a file is gone: if it was not kept, what was in it is lost."""
        with self._lock:
            unkept = self._unkept.pop(path, None)
            if unkept is not None and unkept.is_written:
                self._lost.append(unkept)

    def note_left(self, path: str, cookie: int) -> None:
        """Note that a file is about to get another name, here or where nobody watches."""
        self._leaving = cookie, path, self._source_of(path)
        unkept = self._unkept.get(path) if self._unkept else None
        if unkept is not None:
            unkept.has_moved = True

    def note_entered(self, path: str, cookie: int) -> None:
        """Keep a file that got a followed name, or had one until now and is not kept."""
        source = self._source_of(path)
        left, former, former_source = self._leaving
        with self._lock:
            unkept = self._unkept.pop(former, None) if left == cookie else None
        if unkept is not None and source is None:
            self._keep(path, unkept.followed, unkept.source, is_written=unkept.is_written)
        elif unkept is not None and source is not None:
            self._keep(path, path, source, is_written=unkept.is_written)
        elif source is not None and not (left == cookie and former_source is not None):
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
            inode = _NO_FILE if status is None else (status.st_dev, status.st_ino)
            count += 1
            if status is not None and count <= _MOST_WALKED:
                self._keep(name, name, source, is_written=is_written, inode=inode)
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
        for folder, _, names in os.walk(path):
            paths = [] if self._is_ours(folder) else [os.path.join(folder, name) for name in names]
            yield from zip(paths, [_look(each) for each in paths], strict=True)

    def _source_of(self, path: str) -> int | None:
        """Return the source that follows a path; None for a link of ours, below the traces."""
        source = self._globs.source_of(path)
        return None if source is None or self._is_ours(os.path.dirname(path)) else source

    def _is_ours(self, folder: str) -> bool:
        real = os.path.realpath(folder)
        return any(real == own or real.startswith(f"{own}/") for own in self._own_folders)

    def _keep(
        self,
        path: str,
        followed: str,
        source: int,
        *,
        is_written: bool,
        inode: tuple[int, int] = _NO_FILE,
    ) -> None:
        """Link or open the file at a path; it is followed under another path, perhaps."""
        with self._lock:  # a link is never counted as a name that the file has elsewhere
            if self._is_closed:
                return
            way, descriptor = self._link(path, followed, source), None
            if way is None:
                descriptor = self._open(path)
                way = None if descriptor is None else f"/proc/self/fd/{descriptor}"
            if way is None:
                if len(self._unkept) < _MOST_UNKEPT:
                    has_moved = path != followed
                    now = time.monotonic()
                    self._unkept[path] = _Unkept(
                        source, followed, is_written, has_moved, now, inode
                    )
                return
            arrival = Arrival(followed, source, way, descriptor)
            inode = _identify(arrival)
            if inode == _NO_FILE or inode in self._fresh:
                _let_go(arrival)
            else:
                self._fresh[inode] = arrival

    def _link(self, path: str, followed: str, source: int) -> str | None:
        options = self._sources[source]
        if options.protect == "never":
            return None
        name = LinkName(secrets.randbits(53), options.name, followed).encode()
        way = os.path.join(self._folders[source], name.replace("segment-", _PREFIX, 1))
        try:
            os.link(path, way)
        except OSError:
            return None
        return way

    def _open(self, path: str) -> int | None:
        opened = sum(each.descriptor is not None for each in self._fresh.values())
        if opened >= _MOST_OPEN:
            return None
        try:
            return os.open(path, _OPEN_FLAGS)
        except OSError:
            return None

    # ---- in the tailer's thread

    def collect(self) -> None:
        """Take over what has arrived since the last scan."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        for inode, arrival in fresh.items():
            if inode in self._kept:
                _let_go(arrival)
            else:
                self._kept[inode] = arrival

    def keep(self, file: File) -> None:
        """Keep a new file that cannot be opened now."""
        if self.find(file) is None:
            way = self._link(file.path, file.path, file.source)
            arrival = None if way is None else Arrival(file.path, file.source, way)
            if arrival is not None and _identify(arrival) == (file.device, file.inode):
                self._kept[file.device, file.inode] = arrival
            elif arrival is not None:
                _let_go(arrival)

    def __iter__(self) -> Iterator[tuple[Arrival, os.stat_result]]:
        """Return each arrival that is kept, with its stat."""
        for inode, arrival in list(self._kept.items()):
            try:
                yield arrival, os.stat(arrival.way)
            except OSError:  # somebody has removed the link
                del self._kept[inode]

    def find(self, file: File) -> str | None:
        """Return a path that leads to a file that is kept as an arrival."""
        inode = file.device, file.inode
        with self._lock:
            arrival = self._kept.get(inode) or self._fresh.get(inode)
        return None if arrival is None else arrival.way

    def note_unreadable(self, file: File) -> None:
        """Note that a file cannot be opened, and that no shortage is the reason."""
        inode = file.device, file.inode
        if inode in self._kept:
            self._unreadable.add(inode)

    def is_unreadable(self, file: File) -> bool:
        """Return whether an arrival could not be opened when that was tried last."""
        return (file.device, file.inode) in self._unreadable

    def count_links(self, file: File) -> int:
        """Return how many links of ours a file has as an arrival."""
        inode = file.device, file.inode
        with self._lock:
            found = self._fresh.get(inode), self._kept.get(inode)
        return sum(each is not None and each.descriptor is None for each in found)

    def release(self, file: File) -> None:
        """Let go of a file that needs no arrival any more."""
        inode = file.device, file.inode
        self._unreadable.discard(inode)
        with self._lock:
            found = self._fresh.pop(inode, None), self._kept.pop(inode, None)
        for arrival in found:
            if arrival is not None:
                _let_go(arrival)

    def take_lost(
        self, is_known: Callable[[str, int, tuple[int, int]], bool]
    ) -> list[tuple[str, int, LossReason]]:
        """Return the files that were written to, and gone before they were kept.

        That is the path by which each was followed, its source, and what became of it. `is_known`
        says of path, source and inode whether a scan has met the file: then it is kept.
        """
        now = time.monotonic()
        with self._lock:
            lost, self._lost = self._lost, []
            lost = [each for each in lost if not is_known(each.followed, each.source, each.inode)]
            for path, unkept in list(self._unkept.items()):
                if is_known(path, unkept.source, unkept.inode):
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
        """Let go of the links of files that were deleted before anything was in them."""
        for inode, arrival in list(self._kept.items()):
            with suppress(OSError):
                status = os.stat(arrival.way)
                if arrival.descriptor is None and not status.st_size and status.st_nlink == 1:
                    del self._kept[inode]
                    _let_go(arrival)

    def close(self) -> None:
        """Keep nothing more; links stay for the next run."""
        with self._lock:
            self._is_closed = True
            kept = [*self._fresh.values(), *self._kept.values()]
            self._fresh, self._kept = {}, {}
        for arrival in kept:
            if arrival.descriptor is not None:
                os.close(arrival.descriptor)

    def _recall(self, folder: str) -> None:
        try:
            names = [name for name in os.listdir(folder) if name.startswith(_PREFIX)]
        except OSError:
            return
        for name in names:
            way = os.path.join(folder, name)
            named = name.replace(_PREFIX, "segment-", 1)
            link = LinkName.parse(named)
            sources = [
                number
                for number, source in enumerate(self._sources)
                if link is not None
                and source.name == link.source
                and self._folders[number] == folder
                and self._globs.source_of(link.path) == number
            ]
            if link is None or not sources:
                with suppress(OSError):  # adopted, or set aside, like every link of unknown origin
                    os.rename(way, os.path.join(folder, named))
                continue
            arrival = Arrival(link.path, sources[0], way)
            inode = _identify(arrival)
            if inode == _NO_FILE or inode in self._kept:
                _let_go(arrival)
            else:
                self._kept[inode] = arrival


def _look(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _identify(arrival: Arrival) -> tuple[int, int]:
    """Return device and inode number; `_NO_FILE` if it is no regular file, or gone."""
    try:
        status = (
            os.lstat(arrival.way) if arrival.descriptor is None else os.fstat(arrival.descriptor)
        )
    except OSError:
        return _NO_FILE
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else _NO_FILE


def _let_go(arrival: Arrival) -> None:
    if arrival.descriptor is not None:
        os.close(arrival.descriptor)
    else:
        with suppress(OSError):
            os.unlink(arrival.way)
