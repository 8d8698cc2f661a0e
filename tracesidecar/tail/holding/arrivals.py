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
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
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

_PREFIX = "arrival-"
"""A link with this name belongs to no segment yet: after a crash it is not delivered unseen."""

_MOST_OPEN = 64
"""How many arrivals are kept open, where no link is possible."""

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a file cannot be opened for that is not its own fault, and passes."""

_RESERVE = 6
"""How many descriptors a link needs, with the directories on the way to the file and to the link.
"""

Inode = tuple[int, int]
"""Device and inode number."""

NO_FILE = 0, 0


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
        """Return device and inode number; `NO_FILE` if it is no regular file, or gone."""
        try:
            status = self.stat()
        except OSError:
            return NO_FILE
        return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else NO_FILE

    def release(self) -> None:
        """Remove the link, or close the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        else:
            with suppress(OSError):
                self.folder.remove(self.link)


@dataclass(frozen=True, slots=True)
class TakenFile:
    """What was found at a path, and whether nothing more need be known of it.

    That is so if the file is kept, or no file to keep: then a scan says so.
    """

    inode: Inode
    is_settled: bool


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
        self._lock = threading.Lock()
        self._fresh: dict[Inode, Arrival] = {}
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

    # In the observer's thread:

    def take(self, path: str, followed: str, source: int) -> TakenFile | None:
        """Link or open the file at a path; it is followed under another path, perhaps.

        Return what was found there, and None after `close`.
        """
        inode = NO_FILE
        with self._lock:  # a link is never counted as a name that the file has elsewhere
            if self._is_closed:
                return None
            with suppress(OSError), self._find(path) as found:
                inode = found.inode
                if not found.is_regular or inode in self._fresh:
                    return TakenFile(inode, is_settled=True)
                own_links = self._count_links(inode)
                is_withheld = self._owners.withholds(source, found, own_links=own_links)
                if is_withheld or self._own.has(found.status):
                    return TakenFile(inode, is_settled=True)
                if source not in self._full and (
                    arrival := self._link(found, followed, source)
                    or self._open(found, followed, source)
                ):
                    self._fresh[inode] = arrival
                    return TakenFile(inode, is_settled=True)
        return TakenFile(inode, is_settled=False)

    def is_fresh(self, inode: Inode) -> bool:
        """Return whether a file is kept since the last scan."""
        with self._lock:
            return inode in self._fresh

    def is_ours(self, folder: str) -> bool:
        """Return whether a folder has links of ours, or something else that we write."""
        if os.path.realpath(folder) in self._own_folders:
            return True
        try:
            with self._tree.directory(folder) as descriptor:
                return self._own.contains(descriptor)
        except OSError:
            return False

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

    # In the tailer's thread:

    def keep_nothing_of(self, sources: frozenset[int]) -> None:
        """Keep no new files of these sources: there is no room for them."""
        with self._lock:
            self._full = sources

    def collect(self) -> None:
        """Take over what has arrived since the last scan."""
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
            if inode == NO_FILE or inode in self._kept:
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
