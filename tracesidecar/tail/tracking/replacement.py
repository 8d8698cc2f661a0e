"""Whether a new file is another version of one that had its path, and was delivered.

A program writes a file anew and renames it over the old one, or an older copy is restored. The new
file is read from its beginning, so what both have in common is delivered again: that is announced.
A rotated file and the new one under its name have nothing in common but, perhaps, a first line.
"""

from __future__ import annotations

from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import ByteSource
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.segments import FormerFile, SegmentState
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper

_WINDOW_BYTES = 64 << 10
"""How much of both ends is compared."""


class Replacements:
    """Compares a new file with those that have lost its path lately, or are away with it."""

    def __init__(
        self,
        files: FileTable,
        open_files: OpenFiles,
        continuations: Continuations,
        landmarks: LandmarkKeeper,
    ) -> None:
        self._files = files
        self._open_files = open_files
        self._continuations = continuations
        self._landmarks = landmarks

    def find_former(self, file: File, candidate: ByteSource, size: int) -> File | None:
        """Return the file of which a new one, of `size` bytes, is another version.

        Of an archive, the first decompressed bytes say so. Else, at least half of the lines at its
        beginning or at its end are lines of the former. If that cannot be read any more, what is
        known of its lines decides.
        """
        if self._files.options(file).documents:
            return None  # each version of a document is one
        formers = (
            *self._continuations.find_orphans_at(file.path),
            *self._files.find_suspended_at(file.path),
        )
        return next(
            (
                former
                for former in reversed(formers)
                if former is not file
                and former.reach_offset
                and former.compression == file.compression
                and self._is_version_of(former, candidate, size)
            ),
            None,
        )

    def find_forgotten(self, file: File, candidate: ByteSource, size: int) -> FormerFile | None:
        """Return the file, deleted and forgotten, of which a new one at its path is a version."""
        if self._files.options(file).documents:
            return None
        return self._landmarks.find_forgotten(file, candidate, size)

    def has_former(self, file: File) -> bool:
        """Return whether another file has just lost a new one's path: what is in it is no more."""
        return not self._files.options(file).documents and any(
            former is not file for former in self._continuations.find_orphans_at(file.path)
        )

    def _is_version_of(self, former: File, candidate: ByteSource, size: int) -> bool:
        is_open = former.state is SegmentState.DELETED and former.compression == "none"
        opened = self._open_files.open(former) if is_open else None
        if opened is None:
            return self._landmarks.is_like(former, candidate, size)
        return _is_mostly_in(_head(candidate), _head(opened)) or _is_mostly_in(
            _tail(candidate, size), _tail(opened, former.reach_offset)
        )


def _head(source: ByteSource) -> list[bytes]:
    return _split(source.pread(_WINDOW_BYTES, 0))


def _tail(source: ByteSource, end: int) -> list[bytes]:
    start = max(0, end - _WINDOW_BYTES)
    return _split(source.pread(end - start, start))


def _split(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def _is_mostly_in(lines: list[bytes], others: list[bytes]) -> bool:
    known = set(others)
    shared = sum(line in known for line in lines)
    return 0 < len(lines) <= 2 * shared
