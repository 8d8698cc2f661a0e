"""Chunks of a segment, each proven to be the segment's own after it was read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from tracesidecar.model import TAIL_BYTES, Checkpoint, Chunk, Rejection
from tracesidecar.tail.file_table import File
from tracesidecar.tail.reading.chunker import Chunker, ChunkSpan
from tracesidecar.tail.reading.compressed import ArchiveError, ArchiveFile
from tracesidecar.tail.reading.open_files import Opened
from tracesidecar.tail.segments import LossReason, SegmentView
from tracesidecar.tail.tracking.scan_context import Parts

_READABLE = ("live", "deleted")


class Reader:
    """Reads, then verifies: what was truncated or rewritten under our hands is never delivered as
    what it was before.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cutter = Chunker(parts.identity.key)

    def read(
        self, file: File, at: Checkpoint, *, final: bool, until: int | None = None
    ) -> Chunk | None:
        """Return the chunk at a checkpoint, or None."""
        if file.state not in _READABLE or file.id in self._parts.turn.broken:
            return None
        try:
            return self._read(file, at, final=final, until=until)
        except ArchiveError as error:
            self._break(file, error.trouble)
        except OSError as error:
            self._parts.turn.warn(
                "unreadable", file.path, f"reading failed ({error.strerror}): it is tried again"
            )
            self._parts.turn.stalled[file.id] = None
        return None

    def read_range(self, file: File, start: int, end: int) -> Iterator[bytes] | None:
        """Return the pieces of a range, or None."""
        opened = self._parts.access.open(file, start) if file.state in _READABLE else None
        if opened is None or (isinstance(opened, ArchiveFile) is False and opened.size() < end):
            return None
        return self._pieces(file, start, end)

    def is_read_to_end(self, file: File) -> bool:
        """Tell whether nothing more is known to come of what has been read."""
        return file.reach_offset >= file.length and (file.is_whole or file.compression == "none")

    def views(self) -> Mapping[int, SegmentView]:
        """Return a view of every segment."""
        return _Views(self._parts, self)

    def view(self, file: File) -> SegmentView:
        """Return a segment as it is now."""
        segment = file.segment(self._parts.sources[file.source].name)
        return SegmentView(
            segment,
            file.state,
            file.length,
            file.state == "deleted" or file.is_whole,
            self._parts.access.protection(file),
            file.compression,
        )

    def _read(self, file: File, at: Checkpoint, *, final: bool, until: int | None) -> Chunk | None:
        opened = self._parts.access.open(file, max(0, at.offset - TAIL_BYTES))
        if opened is None:
            self._parts.pace.restless[file.id] = file
            self._parts.turn.stalled[file.id] = None
            return None
        if isinstance(opened, ArchiveFile):
            opened.keep_from(max(0, at.offset - TAIL_BYTES))
        max_line = self._parts.sources[file.source].max_line
        cut = self._cutter.cut(opened, file.id, at.offset, max_line=max_line, final=final)
        if isinstance(opened, ArchiveFile):
            self._note_archive(file, opened)
        if cut is None:
            self._check_end(file, opened, at)
            return None
        if until is not None and at.offset < until < cut.end and cut.data:
            cut = ChunkSpan(until, cut.data[: until - at.offset])
        place = self._parts.identity.checkpoint(opened, cut.end)
        if (reason := self._doubt(file, opened, at, cut)) is not None:
            self._break(file, reason)
            return None
        file.advance(place)
        return self._chunk(file, at, cut, place)

    def _chunk(self, file: File, at: Checkpoint, cut: ChunkSpan, place: Checkpoint) -> Chunk:
        segment = file.segment(self._parts.sources[file.source].name)
        if cut.digest is None:
            return Chunk(segment, at.offset, cut.end, cut.data, place, cut.torn)
        refusal = Rejection(at.offset, cut.end - (not cut.torn), "too_long", cut.digest)
        return Chunk(segment, at.offset, cut.end, b"", place, cut.torn, (refusal,))

    def _doubt(
        self, file: File, opened: Opened, at: Checkpoint, cut: ChunkSpan
    ) -> LossReason | None:
        """Compare, after reading, what stands in the file with what was read and with what is known
        of it.
        """
        identity = self._parts.identity
        if not isinstance(opened, ArchiveFile):
            descriptor = self._parts.access.descriptors.get(file.id)
            status = os.fstat(descriptor) if descriptor is not None else None
            if status is None or status.st_size < cut.end:
                return "truncated"
            last = cut.data[-TAIL_BYTES:]
            if last and opened.pread(len(last), cut.end - len(last)) != last:
                return "changed"
            if status.st_ctime_ns != file.changed_ns and not identity.begins_with(
                opened, file.prefix
            ):
                return "changed"
        return None if identity.stands_at(opened, at) else "changed"

    def _check_end(self, file: File, opened: Opened, at: Checkpoint) -> None:
        if not isinstance(opened, ArchiveFile) and opened.size() < at.offset:
            self._break(file, "truncated")

    def _break(self, file: File, reason: LossReason) -> None:
        """Have the next turn look into it."""
        self._cutter.forget(file.id)
        self._parts.turn.broken[file.id] = reason

    def _pieces(self, file: File, start: int, end: int) -> Iterator[bytes]:
        max_line = self._parts.sources[file.source].max_line
        while start < end:
            opened = self._parts.access.open(file, start)
            if opened is None:
                return
            if isinstance(opened, ArchiveFile):
                opened.keep_from(start)
            cut = self._cutter.cut(opened, -file.id, start, max_line=max_line, final=True)
            if cut is None:
                return
            yield cut.data[: end - start]
            start = cut.end

    def _note_archive(self, file: File, archive: ArchiveFile) -> None:
        file.length = max(file.length, archive.size())
        if archive.is_complete and not file.is_whole:
            file.is_whole = True
            self._parts.ledger.save_lazily(file)


class _Views(Mapping[int, SegmentView]):
    def __init__(self, parts: Parts, reader: Reader) -> None:
        self._parts = parts
        self._reader = reader

    def __getitem__(self, segment: int) -> SegmentView:
        file = self._parts.files.get(segment)
        if file is None or file.state == "new":
            raise KeyError(segment)
        return self._reader.view(file)

    def __iter__(self) -> Iterator[int]:
        return (file.id for file in self._parts.files if file.state != "new")

    def __len__(self) -> int:
        return sum(1 for _ in self)
