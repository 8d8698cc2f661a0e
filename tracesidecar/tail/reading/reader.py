"""The chunks of a segment, each proven after reading to be the segment's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from tracesidecar.byte_count import count_byte
from tracesidecar.json_documents import Ending
from tracesidecar.model import BEGINNING, CHUNK_BYTES, TAIL_BYTES, Checkpoint, Chunk, Rejection
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.reading.chunker import USUAL_LIMITS, Chunker, ChunkSpan, ReadLimits
from tracesidecar.tail.reading.compressed import ArchiveError, ArchiveFile
from tracesidecar.tail.reading.document_chunker import DocumentChunker
from tracesidecar.tail.reading.holes import is_zeros
from tracesidecar.tail.reading.last_line import find_end_of_lines
from tracesidecar.tail.reading.open_files import OpenedFile, OpenFiles
from tracesidecar.tail.reading.plain_file import PlainFile
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import LossReason, SegmentState

_READABLE = (SegmentState.LIVE, SegmentState.DELETED)


class SegmentReader:
    """Reads, then verifies.

    A file may be truncated or rewritten while it is read. What was read then is discarded, and the
    next poll finds out what happened.
    """

    def __init__(
        self,
        files: FileTable,
        open_files: OpenFiles,
        fingerprinter: Fingerprinter,
        schedule: PollSchedule,
        scan: ScanContext,
        *,
        save: Callable[[File], None],
    ) -> None:
        """`save` is called if a file's record should be saved, at some time."""
        self._files = files
        self._open_files = open_files
        self._fingerprinter = fingerprinter
        self._schedule = schedule
        self._scan = scan
        self._save = save
        self._queued: set[int] = set()
        self._chunker = Chunker(fingerprinter.key, scan.progress)
        self._documents = DocumentChunker(fingerprinter.key)

    def read(
        self,
        file: File,
        at: Checkpoint,
        *,
        ending: Ending,
        until: int | None = None,
        limits: ReadLimits = USUAL_LIMITS,
    ) -> Chunk | None:
        """Return the chunk at a checkpoint, or None."""
        if file.state not in _READABLE or file.id in self._scan.broken:
            return None
        try:
            chunk = self._read(file, at, limits, ending=ending, until=until)
        except OSError as error:
            self._scan.warn(
                "unreadable", file.path, f"reading failed ({error.strerror}): it is tried again"
            )
            self._scan.changed[file.id] = None
            self._scan.note_unreadable(file.id, error.strerror or "reading failed")
        else:
            if chunk is not None and file.id in self._scan.unreadable:
                self._scan.note_readable(file.id)
            return chunk
        return None

    def is_measuring(self, file: File, offset: int) -> bool:
        """Return whether more of the long line or document at an offset can be measured now."""
        return self._chunker.is_measuring(file.id, offset) or self._documents.is_measuring(
            file.id, offset
        )

    def is_queued(self, file: File) -> bool:
        """Return whether an archive was not read, because others are to be read first."""
        return file.id in self._queued

    def read_range(self, file: File, start: int, end: int) -> Iterator[bytes] | None:
        """Return the bytes of a range in pieces, or None."""
        opened = self._open_files.open(file, start) if file.state in _READABLE else None
        if opened is None or (not isinstance(opened, ArchiveFile) and opened.size() < end):
            return None
        return self._pieces(file, start, end)

    def find_checkpoint(self, file: File, offset: int) -> Checkpoint | None:
        """Return the checkpoint at an offset of a file as it is now, None if it cannot be read."""
        if file.state not in _READABLE:
            return None
        try:
            opened = self._open_files.open(file, max(0, offset - TAIL_BYTES))
            return None if opened is None else self._fingerprinter.checkpoint(opened, offset)
        except (ArchiveError, OSError):
            return None

    def find_end(self, file: File, limit: int | None = None) -> Checkpoint:
        """Return the end of the last whole line of a file in any state, before `limit` if given.

        If the file cannot be read, that is its size, without a digest, and it is tried again.
        """
        try:
            opened = self._open_files.open(file)
            end = file.length if opened is None else self._find_end(opened, file, limit)
            if opened is not None:
                return self._fingerprinter.checkpoint(opened, end)
        except (ArchiveError, OSError):
            end = file.length
        self._scan.changed[file.id] = None
        return Checkpoint(end, b"") if end else BEGINNING

    def _find_end(self, opened: OpenedFile, file: File, limit: int | None) -> int:
        last = sys.maxsize if limit is None else limit
        options = self._files.options(file)
        if isinstance(opened, PlainFile):
            last = min(last, opened.size())
            if options.documents:
                return last
            return find_end_of_lines(opened, 0, last, max_line=options.max_line)
        at = end = 0
        while part := opened.pread(min(CHUNK_BYTES, last - at), at):
            self._scan.progress.step()
            if (newline := part.rfind(b"\n")) >= 0:
                end = at + newline + 1
            at += len(part)
        return at if options.documents else end

    def count_newlines(
        self, file: File, start: int, end: int, most_bytes: int
    ) -> tuple[int, int] | None:
        """Return how many newlines are in a range, and how far it was read; None if it cannot be.

        About `most_bytes` are read; holes are not.
        """
        try:
            opened = self._open_files.open(file, start) if file.state in _READABLE else None
            return None if opened is None else self._count_newlines(opened, start, end, most_bytes)
        except (ArchiveError, OSError):
            return None

    def _count_newlines(
        self, opened: OpenedFile, start: int, end: int, most_bytes: int
    ) -> tuple[int, int] | None:
        count = read_bytes = 0
        while start < end and read_bytes < most_bytes:
            piece = opened.pread(min(CHUNK_BYTES, end - start), start)
            if not piece:
                return None
            self._scan.progress.step()
            read_bytes += len(piece)
            count += count_byte(piece, b"\n")
            start += len(piece)
            if is_zeros(piece):
                start = min(opened.find_data(start), end)
        return count, start

    def is_unfinished(self, file: File, start: int, end: int) -> bool:
        """Return whether [start, end) is the beginning of one line or document, and can be read."""
        try:
            return self._is_unfinished(file, start, end)
        except (ArchiveError, OSError):
            return False

    def _is_unfinished(self, file: File, start: int, end: int) -> bool:
        if not self._files.options(file).documents:
            pieces = self.read_range(file, start, end)
            first = next(pieces, None) if pieces is not None else None
            return first is not None and b"\n" not in first
        opened = self._open_files.open(file, start) if file.state in _READABLE else None
        return opened is not None and self._cut(opened, file, start, Ending.OPEN) is None

    def is_utf16(self, file: File, offset: int) -> bool:
        """Return whether what is at an offset, if it can be read, begins as JSON in UTF-16 does."""
        if self._find_place(file, offset) > offset:
            return False  # it is too long whatever it is
        try:
            opened = self._open_files.open(file, offset) if file.state in _READABLE else None
            return opened is not None and _begins_as_utf16(opened.pread(8, offset))
        except (ArchiveError, OSError):
            return False

    def _read(
        self, file: File, at: Checkpoint, limits: ReadLimits, *, ending: Ending, until: int | None
    ) -> Chunk | None:
        self._queued.discard(file.id)
        place = self._find_place(file, at.offset)
        if limits.takes_turns and not self._open_files.has_turn(file, place):
            self._queued.add(file.id)
            return None
        opened = self._open_files.open(file, place, in_turn=limits.takes_turns)
        if opened is None:
            self._schedule.recheck_soon(file)
            self._scan.changed[file.id] = None
            return None
        if isinstance(opened, ArchiveFile):
            if place > at.offset and not self._is_proven(opened, at):
                self._break(file, "changed")
                return None
            opened.keep_from(place)
        span = self._cut(opened, file, at.offset, ending, limits)
        if span is None and self.is_measuring(file, at.offset):
            if isinstance(opened, ArchiveFile) and not self._is_proven(opened, at):
                self._break(file, "changed")
            return None
        if isinstance(opened, ArchiveFile):
            span = self._cut_archive(opened, file, at.offset, span, ending=ending, limits=limits)
        if span is None:
            self._open_files.end_turn(file)
            if not isinstance(opened, ArchiveFile) and opened.size() < at.offset:
                self._break(file, "truncated")
            return None
        if until is not None and at.offset < until < span.end and span.data:
            span = ChunkSpan(until, span.data[: until - at.offset])
        following = self._fingerprinter.checkpoint(opened, span.end, span.data)
        if (reason := self._verify(file, opened, at, span)) is not None:
            self._break(file, reason)
            return None
        file.advance(following)
        return self._chunk(file, at, span, following)

    def _find_place(self, file: File, start: int) -> int:
        """Return from where on a file is needed to read at an offset.

        Of a line that is too long, what has been measured is not needed any more: to go back to it
        in an archive would decompress that from the beginning, with every step.
        """
        measured = max(
            self._chunker.find_measured(file.id, start),
            self._documents.find_measured(file.id, start),
        )
        is_too_long = measured - start > self._files.options(file).max_line
        return max(0, (measured if is_too_long else start) - TAIL_BYTES)

    def _is_proven(self, opened: ArchiveFile, at: Checkpoint) -> bool:
        """Return whether an archive has the bytes before a checkpoint.

        What was decompressed stays what it was, so it is compared once.
        """
        if opened.proven_offset != at.offset:
            if not self._fingerprinter.matches(opened, at):
                return False
            opened.proven_offset = at.offset
        return True

    def _cut_archive(
        self,
        opened: ArchiveFile,
        file: File,
        start: int,
        span: ChunkSpan | None,
        *,
        ending: Ending,
        limits: ReadLimits,
    ) -> ChunkSpan | None:
        """Return the chunk at `start`, after reading has shown what is known of the archive now.

        `span` is the chunk by what was known before.
        """
        if opened.expansion and ending is not Ending.OPEN:
            span = self._cut(opened, file, start, Ending.OPEN, limits)  # its last line goes on
        is_over = opened.is_complete or opened.damage
        if span is None and ending is not Ending.FINAL and is_over:
            # only now it is known that no newline follows
            span = self._cut(opened, file, start, Ending.FINAL, limits)
        if file.observe_archive(opened):
            self._save(file)
        if opened.expansion:
            self._scan.expanded[file.id] = opened.expansion
        elif span is None or opened.is_complete:
            self._scan.expanded.pop(file.id, None)
        if opened.expansion or is_over:
            self._scan.unended.discard(file.id)
        elif span is None:
            self._scan.unended.add(file.id)
        if span is None and file.damage is not None and file.is_acknowledged:
            self._break(file, file.damage.reason)
        return span

    def _cut(
        self,
        opened: OpenedFile,
        file: File,
        start: int,
        ending: Ending,
        limits: ReadLimits = USUAL_LIMITS,
    ) -> ChunkSpan | None:
        options = self._files.options(file)
        if options.documents:
            return self._documents.cut(
                opened,
                file.id,
                start,
                max_line=options.max_line,
                ending=ending,
                measured=limits.measured_bytes,
                objects=sys.maxsize if limits.objects is None else limits.objects,
            )
        final = ending is Ending.FINAL or (
            ending is Ending.RESTING and _begins_as_utf16(opened.pread(8, start))
        )
        return self._chunker.cut(
            opened, file.id, start, max_line=options.max_line, final=final, limits=limits
        )

    def _chunk(self, file: File, at: Checkpoint, span: ChunkSpan, following: Checkpoint) -> Chunk:
        segment, documents = self._files.segment(file), self._files.options(file).documents
        rejected: tuple[Rejection, ...] = ()
        if span.digest is not None:
            end = span.end - (not span.torn)
            rejected = (Rejection(at.offset, end, "too_long", span.digest),)
        return Chunk(
            segment,
            at.offset,
            span.end,
            span.data,
            following,
            torn=span.torn,
            rejected=rejected,
            documents=documents,
            is_shortened=span.is_shortened,
        )

    def _verify(
        self, file: File, opened: OpenedFile, at: Checkpoint, span: ChunkSpan
    ) -> LossReason | None:
        """After reading, compare the file with the bytes read and with its fingerprints."""
        if isinstance(opened, ArchiveFile):
            return None if self._is_proven(opened, at) else "changed"
        fingerprinter = self._fingerprinter
        status = opened.status()
        if status.st_size < span.end:
            return "truncated"
        last = span.data[-TAIL_BYTES:]
        if last and opened.pread(len(last), span.end - len(last)) != last:
            return "changed"
        if status.st_ctime_ns != file.changed_ns and not fingerprinter.begins_with(
            opened, file.prefix
        ):
            return "changed"
        return None if fingerprinter.matches(opened, at) else "changed"

    def _break(self, file: File, reason: LossReason) -> None:
        """Read no further before the next poll has verified the file."""
        self._chunker.forget(file.id)
        self._documents.forget(file.id)
        self._scan.broken[file.id] = reason

    def _pieces(self, file: File, start: int, end: int) -> Iterator[bytes]:
        options = self._files.options(file)
        while start < end:
            opened = self._open_files.open(file, start)
            if opened is None:
                return
            if isinstance(opened, ArchiveFile):
                opened.keep_from(start)
            if options.documents:
                piece = opened.pread(min(CHUNK_BYTES, end - start), start)
                if not piece:
                    return
                yield piece
                start += len(piece)
                continue
            # The negative id keeps a long line that is measured here apart from one that is being
            # followed.
            span = self._chunker.cut(opened, -file.id, start, max_line=options.max_line, final=True)
            if span is None:
                return
            yield span.data[: end - start]
            start = span.end


def _begins_as_utf16(head: bytes) -> bool:
    """Return whether a line begins with the mark of UTF-16, or with every other byte NUL.

    The newline before it may have left its second byte to it.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    one, other = head[::2], head[1::2]
    return len(head) == 8 and ((all(one) and not any(other)) or (all(other) and not any(one)))
