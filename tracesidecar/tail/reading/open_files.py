"""How a segment's bytes are reached: by a kept descriptor, its name, or its hard link."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from tracesidecar.directories import Handle
from tracesidecar.model import TAIL_BYTES
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.owners import Owners
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.hard_links import HardLinks
from tracesidecar.tail.reading.compressed import ArchiveFile, compression_of
from tracesidecar.tail.reading.descriptors import Descriptors, descriptor_limit
from tracesidecar.tail.reading.expansion import ExpansionLimit
from tracesidecar.tail.reading.open_archives import WINDOW_BYTES, OpenArchives
from tracesidecar.tail.reading.plain_file import PlainFile
from tracesidecar.tail.segments import SegmentState, WarningKind

_MOVED_SECONDS = 24 * 3600.0
_DELETED_SECONDS = 60.0
"""How long an empty file without a followed name is looked at, by whether it has another name."""

OpenedFile = PlainFile | ArchiveFile


class WithheldFile(OSError):
    """A file can be read, and must not be. `changed_ns` is its ctime."""

    def __init__(self, kind: WarningKind, problem: str, status: os.stat_result) -> None:
        super().__init__(errno.EPERM, problem)
        self.kind: WarningKind = kind
        self.problem = problem
        self.changed_ns = status.st_ctime_ns


class OpenFiles:
    """Opens the files of segments, and keeps as many open as the process may have."""

    def __init__(
        self,
        files: FileTable,
        hard_links: HardLinks,
        arrivals: Arrivals,
        *,
        tree: Tree,
        owners: Owners,
        own: OwnPaths,
        expansion_limits: Sequence[ExpansionLimit],
    ) -> None:
        """`expansion_limits` say how far archives may expand, in the order of the sources."""
        self._own = own
        self._expansion_limits = expansion_limits
        self._tree = tree
        self._owners = owners
        self._files = files
        self._hard_links = hard_links
        self._arrivals = arrivals
        self._archives = OpenArchives()
        self._descriptors = Descriptors(descriptor_limit(), self._can_reopen, self._note_closed)
        self._changed: set[int] = set()

    # Reading:

    def open(self, file: File, offset: int = 0, *, in_turn: bool = False) -> OpenedFile | None:
        """Return the bytes of a segment, to be read from about `offset` on.

        `in_turn`: `has_turn` was asked. None if no way to this very inode is left.
        """
        descriptor = self.descriptor(file)
        if descriptor is None:
            return None
        if file.compression == "none":
            return PlainFile(descriptor)
        window = self._files.options(file).max_line + WINDOW_BYTES
        begin = partial(self._begin_archive, file, descriptor, window)
        return self._archives.open(file.id, offset, begin, in_turn=in_turn)

    def has_turn(self, file: File, offset: int) -> bool:
        """Return whether a segment can be read at an offset now; else other archives come first."""
        return file.compression == "none" or self._archives.has_turn(file.id, offset)

    def end_turn(self, file: File) -> None:
        """Note that there is nothing more to read in an archive for now."""
        self._archives.end_turn(file.id)

    def reopen(self, file: File) -> OpenedFile | None:
        """Return the bytes of a segment; an archive is decompressed from its beginning again."""
        self._archives.close(file.id)
        return self.open(file)

    def open_new(self, file: File) -> tuple[OpenedFile, os.stat_result] | None:
        """Open a new file by its link or its name, and note its stat and its compression.

        Return None if the name is gone, or is another file's by now, or if the file has too few
        bytes to tell whether it is an archive. Raise WithheldFile if it must not be read, OSError
        if it cannot be opened.
        """
        try:
            descriptor = self._descriptors.open(partial(self._open_first, file))
        except FileNotFoundError:
            return None
        status = os.fstat(descriptor)
        try:
            compression = compression_of(file.name, os.pread(descriptor, TAIL_BYTES, 0))
        except OSError:
            os.close(descriptor)
            raise
        is_same = (status.st_dev, status.st_ino) == (file.device, file.inode)
        if compression is None or not is_same:
            os.close(descriptor)
            if is_same:
                file.observe(status)
            return None
        self._keep(file, descriptor)
        file.note_compression(compression)
        file.observe(status)
        opened = self.reopen(file)
        return None if opened is None else (opened, status)

    @contextmanager
    def peek(self, file: File, path: str) -> Iterator[tuple[OpenedFile, os.stat_result]]:
        """Open what a path leads to for a moment, with its stat; it is compressed as `file` is.

        Raise OSError if it cannot be opened.
        """
        descriptor = self._descriptors.open(partial(self._tree.open_file, path))
        try:
            opened: OpenedFile = (
                PlainFile(descriptor)
                if file.compression == "none"
                else self._begin_archive(file, descriptor, WINDOW_BYTES)
            )
            yield opened, os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def descriptor(self, file: File) -> int | None:
        """Return a descriptor of a segment's very inode, opening it if necessary.

        None if it is away: its numbers may be another file's.
        """
        kept = self._descriptors.get(file.id)
        if kept is not None or file.state is SegmentState.AWAY:
            return kept
        # Once a file is deleted and closed, its inode may be another file's under the same name.
        ways: list[Callable[[], int]] = []
        if file.state is not SegmentState.DELETED:
            ways.append(partial(self._tree.open_file, file.path))
        if self._hard_links.path(file.id) is not None:
            ways.append(partial(self._hard_links.open, file.id))
        if (arrival := self._arrivals.find(file)) is not None:
            ways.append(arrival.open)
        for way in ways:
            descriptor = self._open_same(file, way)
            if descriptor is not None:
                self._keep(file, descriptor)
                return descriptor
        return None

    def status(self, file: File) -> os.stat_result | None:
        """Return the stat of a segment's open file, None if it is not open."""
        descriptor = self._descriptors.get(file.id)
        return None if descriptor is None else os.fstat(descriptor)

    def is_open(self, file: File) -> bool:
        """Return whether a descriptor of the file is kept."""
        return file.id in self._descriptors

    def is_linked(self, file: File) -> bool:
        """Return whether the file has a hard link of ours."""
        return self._hard_links.path(file.id) is not None

    def link_count(self, file: File) -> int | None:
        """Return how many names a file has beside our own links, None if no way to it is left.

        Raise OSError if its link is the only way, and cannot be seen now.
        """
        own = self._arrivals.count_links(file)
        try:
            linked = self._hard_links.look_up(file.id)
        except OSError:
            descriptor = self.descriptor(file)
            if descriptor is None:
                raise
            return os.fstat(descriptor).st_nlink - 1 - own
        if linked is not None:
            return linked.st_nlink - 1 - own
        descriptor = self.descriptor(file)
        return None if descriptor is None else os.fstat(descriptor).st_nlink - own

    def find_linked_size(self, file: File) -> int | None:
        """Return how long a file is now that has a hard link of ours, None if nothing says so."""
        linked = self._hard_links.status(file.id)
        return None if linked is None else linked.st_size

    def current_path(self, file: File) -> str | None:
        """Return the name by which the kernel (Linux) knows an open file, if it still is its name.

        A file that was renamed while it was open is found by this, wherever it went.
        """
        descriptor = self._descriptors.get(file.id)
        if descriptor is None:
            return None
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            status = self._tree.stat(path)
        except OSError:
            return None
        is_same = (status.st_dev, status.st_ino) == (file.device, file.inode)
        return path if is_same and path != self._hard_links.path(file.id) else None

    def close_file(self, file: File) -> None:
        """Close a file; it is opened again by its name, or through its link."""
        self._descriptors.close(file.id)

    def hand_over(self, file: File, successor: File) -> None:
        """Let a segment that goes on in this very inode have its descriptor."""
        self._descriptors.hand_over(file.id, successor.id)
        self._changed.add(successor.id)

    def close_segment(self, segment: int) -> None:
        """Close the file of a segment that is no longer known."""
        self._descriptors.close(segment)

    def list_open(self) -> list[int]:
        """Return the segments whose files are open."""
        return self._descriptors.segments()

    def outlasts_its_name(self, file: File) -> bool:
        """Return whether a file could be read now if its name were removed."""
        return file.id in self._descriptors or self._hard_links.path(file.id) is not None

    def is_awaited(self, file: File) -> bool:
        """Return whether a new file that we keep has content, or may still get some.

        Its writer may have moved it while it was empty, or deleted it and still have it open. One
        that cannot be read waits until it can; an archive that barely begins may still go on.
        """
        try:
            status = self._find_kept_status(file)
        except OSError:
            return True  # it cannot be seen now
        if status is None:
            return False
        patience = _MOVED_SECONDS if status.st_nlink > 1 else _DELETED_SECONDS
        is_unread = status.st_size > 0 and not (file.has_barely_begun and status.st_nlink <= 1)
        return is_unread or time.time() - status.st_ctime < patience

    def measure_nameless(self, file: File) -> int:
        """Return the size of a new file that has no name but our link; 0 if nobody can see that."""
        with suppress(OSError):
            status = self._find_kept_status(file)
            return 0 if status is None or status.st_nlink > 1 else status.st_size
        return 0

    def _find_kept_status(self, file: File) -> os.stat_result | None:
        """Return the stat of the link that keeps a new file, None if nothing does any more.

        Raise OSError if the link cannot be seen now.
        """
        if (linked := self._hard_links.look_up(file.id)) is not None:
            return linked
        try:
            arrival = self._arrivals.find(file)
            return None if arrival is None else arrival.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None  # somebody has removed the link

    def copy_unreachable(self) -> dict[int, int]:
        """Return new descriptors of the files that can be opened in no other way, by segment."""
        copies: dict[int, int] = {}
        for segment in self._descriptors.segments():
            descriptor = self._descriptors.get(segment)
            if descriptor is not None and not self._can_reopen(segment):
                with suppress(OSError):  # no descriptor is left: the next tailer records the loss
                    copies[segment] = os.dup(descriptor)
        return copies

    def inherit(self, file: File, descriptor: int) -> None:
        """Keep a file open that an earlier tailer had open, if this is a descriptor of it."""
        copy = self._open_same(file, partial(os.dup, descriptor))
        if copy is not None:
            self._keep(file, copy)

    def take_changed(self) -> set[int]:
        """Return the segments that were opened or closed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def close(self) -> None:
        """Close all files."""
        self._descriptors.close_all()

    def _keep(self, file: File, descriptor: int) -> None:
        self._descriptors.keep(file.id, descriptor)
        self._changed.add(file.id)

    def _open_first(self, file: File) -> int:
        """Open a new file by its link, or else by its name if it may be read.

        If its name is gone, one that was opened by the scan before this one can still be read.
        """
        if self._hard_links.path(file.id) is not None:
            return self._hard_links.open(file.id)
        if (arrival := self._arrivals.find(file)) is not None:
            return arrival.open()
        kept = self._descriptors.get(file.id)
        try:
            with self._tree.find(file.path) as found:
                if found.inode == (file.device, file.inode):
                    self._admit(file, found)
                elif kept is not None:
                    return os.dup(kept)
                return found.open()
        except FileNotFoundError:
            if kept is None:
                raise
            return os.dup(kept)

    def _admit(self, file: File, found: Handle) -> None:
        if self._own.has(found.status):
            raise WithheldFile("own_output", "it is written by this program itself", found.status)
        links = self._arrivals.count_links(file)
        if self._owners.withholds(file.source, found, own_links=links):
            raise WithheldFile(
                "withheld",
                f"it has a second hard link, and belongs to user {found.status.st_uid}, not to the "
                "owner of its directory: it is read only if `owners` of the source names that user",
                found.status,
            )

    def _open_same(self, file: File, way: Callable[[], int]) -> int | None:
        try:
            descriptor = self._descriptors.open(way)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == (file.device, file.inode):
            return descriptor
        os.close(descriptor)
        return None

    def _begin_archive(self, file: File, descriptor: int, window: int) -> ArchiveFile:
        return ArchiveFile(
            descriptor,
            file.compression,
            window=window,
            limit=self._expansion_limits[file.source],
            archive=file.id,
            known=file.reach_offset,
        )

    def _note_closed(self, segment: int) -> None:
        self._archives.close(segment)
        self._changed.add(segment)

    def _can_reopen(self, segment: int) -> bool:
        file = self._files.get(segment)
        if file is None or self._hard_links.path(segment) is not None:
            return True
        try:
            status = self._tree.stat(file.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (file.device, file.inode)
