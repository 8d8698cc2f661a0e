"""How a segment's bytes are reached: by a kept descriptor, by its name, or by its held link; and
what protects it from deletion.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tracesidecar.model import CHUNK_BYTES
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.compressed import ArchiveFile
from tracesidecar.tail.reading.descriptors import Descriptors, descriptor_limit
from tracesidecar.tail.reading.hard_links import HardLinks
from tracesidecar.tail.reading.plain import PlainFile
from tracesidecar.tail.segments import Protection

Opened = PlainFile | ArchiveFile

_WINDOW_BYTES = 4 * CHUNK_BYTES
_ARCHIVES = 3
"""How many places of one archive are kept open, for sinks that are apart."""


class OpenFiles:
    """Opens segments and holds them."""

    def __init__(
        self, sources: Sequence[SourceOptions], files: FileTable, *, held_directory: str
    ) -> None:
        self._sources = sources
        self._files = files
        self._held_directory = held_directory
        self._archives: dict[int, list[ArchiveFile]] = {}
        self.held = HardLinks(
            [
                held_directory,
                *(source.hold_directory for source in sources if source.hold_directory),
            ]
        )
        self.descriptors = Descriptors(descriptor_limit(), self._can_reopen, self._closed)
        self.retained: frozenset[int] = frozenset()
        self._touched: set[int] = set()

    def open(self, file: File, offset: int = 0) -> Opened | None:
        """Return the bytes of a segment, to be read from about `offset` on; None when no way to
        this very inode is left.
        """
        descriptor = self.descriptor(file)
        if descriptor is None:
            return None
        return (
            PlainFile(descriptor)
            if file.compression == "none"
            else self._archive(file, descriptor, offset)
        )

    def descriptor(self, file: File) -> int | None:
        """Return a descriptor of a segment's very inode."""
        kept = self.descriptors.get(file.id)
        if kept is not None:
            return kept
        name = (
            None if file.state == "deleted" else file.path
        )  # the inode may be reused under the same name once nothing holds it
        for path in (name, self.held.path(file.id)):
            descriptor = self._open_same(file, path) if path else None
            if descriptor is not None:
                self.adopt(file, descriptor)
                return descriptor
        return None

    def adopt(self, file: File, descriptor: int) -> None:
        """Keep a descriptor of this very inode that the caller has opened."""
        self.descriptors.keep(file.id, descriptor)
        self._touched.add(file.id)

    def anew(self, file: File) -> Opened | None:
        """Return the bytes with nothing remembered of what an archive held."""
        self._drop_archives(file.id)
        return self.open(file)

    def names(self, file: File, status: os.stat_result) -> int:
        """Return how many names the file has beside our link."""
        return status.st_nlink - (self.held.path(file.id) is not None)

    def current_path(self, file: File) -> str | None:
        """Return the name that the kernel knows an open file by, where that is this very file
        (Linux).
        """
        descriptor = self.descriptors.get(file.id)
        if descriptor is None:
            return None
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        is_same = (status.st_dev, status.st_ino) == (
            file.device,
            file.inode,
        ) and path != self.held.path(file.id)
        return path if is_same else None

    def protect(self, file: File, status: os.stat_result) -> None:
        """Link an unfinished file where that is possible; otherwise its descriptor is all there is."""
        if file.state != "live":
            return
        can_link = self.held.link(file.id, file.path, self._hold_directory(file), status)
        if can_link:
            self._forgive(file)
        if can_link or self.held.is_refused(self._hold_directory(file), status):
            file.can_link = can_link
        self._touched.add(file.id)

    def release(self, file: File) -> None:
        """Remove the link of a file that is finished for now, unless it is retained."""
        if file.id not in self.retained and self.held.release(file.id):
            self._touched.add(file.id)
            self._forgive(file)

    def outlasts_its_name(self, file: File) -> bool:
        """Tell whether a finished file without a name is kept all the same: it is retained, and a
        link holds it.
        """
        return file.id in self.retained and self.held.path(file.id) is not None

    def let_go(self, file: File) -> None:
        """Close and unlink: nothing more will be read of this inode."""
        self.descriptors.close(file.id)
        self.held.release(file.id)
        self._touched.add(file.id)

    def protection(self, file: File) -> Protection:
        """Say what keeps the file readable when its name is removed."""
        if self.held.path(file.id) is not None:
            return "link"
        return "descriptor" if file.id in self.descriptors else "none"

    def newly_protected(self) -> list[File]:
        """Return the files whose protection is no longer what the journal says, of those that were
        opened, closed, linked or released since the last call.
        """
        touched, self._touched = self._touched, set()
        files = [file for file in map(self._files.get, touched) if file is not None]
        return [file for file in files if self.protection(file) != file.recorded_protection]

    def close(self) -> None:
        """Close all files; the links stay."""
        self.descriptors.close_all()

    def _hold_directory(self, file: File) -> str:
        return self._sources[file.source].hold_directory or self._held_directory

    def _forgive(self, file: File) -> None:
        """Take over the ctime that our own link or unlink gave the file, if nothing else happened
        to it.
        """
        try:
            status = os.stat(file.path)
        except OSError:
            return
        same = (status.st_ino, status.st_size, status.st_mtime_ns) == (
            file.inode,
            file.size,
            file.modified_ns,
        )
        if same and file.changed_ns >= 0:
            file.changed_ns = status.st_ctime_ns

    def _open_same(self, file: File, path: str) -> int | None:
        try:
            descriptor = self.descriptors.open(path)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == (file.device, file.inode):
            return descriptor
        os.close(descriptor)
        return None

    def _archive(self, file: File, descriptor: int, offset: int) -> ArchiveFile:
        archives = self._archives.setdefault(file.id, [])
        near = [archive for archive in archives if archive.start <= offset]
        archive = max(near, key=lambda found: found.start, default=None)
        if archive is None or (archive.start == 0 and archive.size() > _WINDOW_BYTES):
            archive = ArchiveFile(
                descriptor,
                file.compression,
                window=self._sources[file.source].max_line + _WINDOW_BYTES,
            )
        else:
            archives.remove(archive)
        archives.append(archive)
        del archives[:-_ARCHIVES]
        return archive

    def _closed(self, segment: int) -> None:
        self._drop_archives(segment)
        self._touched.add(segment)

    def _drop_archives(self, segment: int) -> None:
        self._archives.pop(segment, None)

    def _can_reopen(self, segment: int) -> bool:
        file = self._files.get(segment)
        if file is None or self.held.path(segment) is not None:
            return True
        try:
            status = os.stat(file.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (file.device, file.inode)
