"""Read again what was read before: planned ranges and rejected lines."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from tracesidecar.journal import QuarantinedLine
from tracesidecar.model import Checkpoint, Chunk, CleanChunk, Range, Rejection
from tracesidecar.pipeline.chunk_cleaner import ChunkCleaner
from tracesidecar.sanitize import RejectionReason, reject_fragment, reject_unread_line
from tracesidecar.tail import Fingerprinter, SourceOptions
from tracesidecar.tail.tailer import Tailer


class Absence(Enum):
    """Why a line cannot be read again."""

    GONE = auto()
    """Its bytes no longer exist, or were changed."""
    UNREACHABLE = auto()
    """Its file cannot be read now, but perhaps later."""


class ReplayReader:
    """Reads ranges and lines that the journal names. Nothing is cached or counted."""

    def __init__(
        self,
        tailer: Tailer,
        cleaner: ChunkCleaner,
        sources: Mapping[str, SourceOptions],
        *,
        key: bytes,
    ) -> None:
        self._tailer = tailer
        self._cleaner = cleaner
        self._sources = sources
        self._fingerprinter = Fingerprinter(key)
        self._no_bytes = cleaner.digest(b"")

    def read_range(self, planned: Range, at: Checkpoint) -> CleanChunk | None:
        """Return the chunk of a planned range, whose beginning is the checkpoint `at`.

        Return None if the bytes are gone or have changed.
        """
        view = self._tailer.segments().get(planned.segment)
        if view is None:
            return None
        if planned.digest == self._no_bytes:
            # a line over the limit: it was skipped when the batch was planned, and is again
            chunk = self._tailer.read(planned.segment, at, final=True)
            if chunk is None or chunk.end != planned.end or chunk.data:
                return None
            return self._take(chunk)
        parts = self._tailer.read_range(planned.segment, planned.start, planned.end)
        if parts is None:
            return None
        data = b"".join(parts)
        if self._cleaner.digest(data) != planned.digest:
            return None
        end = Checkpoint(planned.end, planned.tail)
        torn = not data.endswith(b"\n")
        source = self._sources.get(view.segment.source)
        documents = source is not None and source.documents
        return self._take(
            Chunk(
                view.segment,
                planned.start,
                planned.end,
                data,
                end,
                torn=torn,
                documents=documents,
            )
        )

    def read_line(self, line: QuarantinedLine) -> CleanChunk | Absence:
        """Return a rejected line, judged by today's rules."""
        view = self._tailer.segments().get(line.segment)
        source = self._sources.get(line.source)
        if view is None or source is None or self.is_over(line.segment):
            return Absence.GONE
        if line.end - line.start > source.max_line:
            return reject_unread_line(view.segment, _rejection(line, RejectionReason.TOO_LONG))
        parts = self._tailer.read_range(line.segment, line.start, line.end)
        if parts is None:
            return Absence.UNREACHABLE
        data = b"".join(parts)
        if self._fingerprinter.digest(data) != line.digest:
            return Absence.GONE
        end = Checkpoint(line.end, b"")
        chunk = Chunk(
            view.segment, line.start, line.end, data + b"\n", end, documents=source.documents
        )
        clean = self._cleaner.clean(chunk, flush=False)
        if clean.end < line.end:  # it is a fragment of a streamed message
            return reject_fragment(clean, _rejection(line, RejectionReason.REDACTION_FAILED))
        return (
            clean
            if clean.rejected
            else self._cleaner.take(chunk, clean, digest=self._cleaner.digest(data))
        )

    def is_over(self, segment: int) -> bool:
        """Return whether nothing of the segment can ever be read again."""
        view = self._tailer.segments().get(segment)
        return view is None or view.state in {"ended", "lost", "spent"}

    def may_come_back(self, planned: Range, *, is_patient: bool) -> bool:
        """Return whether the range cannot be read now, but perhaps later.

        Its file is missing, or the copy that it was rotated into is not found yet; with
        `is_patient` also if its file system is away.
        """
        view = self._tailer.segments().get(planned.segment)
        if view is None or view.state in ("lost", "spent"):
            return False
        if view.state == "away" and not is_patient:
            return False
        return self._tailer.read_range(planned.segment, planned.start, planned.end) is None

    def quarantine_range(self, planned: Range, sink: str, reason: str) -> QuarantinedLine:
        """Return the quarantine row of a range as a whole.

        Its bytes are gone, so nobody can say which of its lines was rejected.
        """
        view = self._tailer.segments().get(planned.segment)
        source, path, generation = (
            (view.segment.source, view.segment.path, view.segment.generation)
            if view
            else ("", "", 0)
        )
        return QuarantinedLine(
            planned.segment,
            sink,
            planned.start,
            planned.end,
            source,
            path,
            generation,
            reason,
            None,
        )

    def _take(self, chunk: Chunk) -> CleanChunk:
        """Clean with `flush`: a chunk that was taken before is taken whole, without a wait."""
        return self._cleaner.take(chunk, self._cleaner.clean(chunk, flush=True))


def _rejection(line: QuarantinedLine, reason: RejectionReason) -> Rejection:
    return Rejection(line.start, line.end, reason.value, line.digest)
