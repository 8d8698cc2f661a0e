"""Read and clean a chunk once for all sinks that walk side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from tracesidecar.batch.builder import LinePosition, Piece
from tracesidecar.journal.quarantine import QuarantinedLine
from tracesidecar.journal.range_digest import RangeDigest
from tracesidecar.journal.sealing import UNSEALED, Sealed, Vault
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING, Checkpoint, Chunk, CleanChunk, Range, Rejection
from tracesidecar.sanitize import RejectionReason, Sanitizer
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.chunker import LONGEST_OPEN_BYTES
from tracesidecar.tail.tailer import Tailer

OPEN_SECONDS = 5.0
"""So long may a streamed message stand still before the parts that are there are taken."""


class Absence(Enum):
    """Why a line cannot be read: it is not there any more or not what it was, or its file cannot be
    reached.
    """

    GONE = auto()
    FOR_NOW = auto()


class ChunkReader:
    """Clean pieces of segments, with a cache bounded in bytes. For one thread."""

    def __init__(
        self,
        collector: Tailer,
        sanitizer: Sanitizer,
        sources: Mapping[str, SourceOptions],
        *,
        key: bytes,
        metrics: Metrics,
        cache_bytes: int,
        vault: Vault | None = None,
        with_places: bool = False,
    ) -> None:
        """`vault` is where refused bytes are sealed before anything is said of them; `with_places`:
        somebody interprets the lines.
        """
        self._collector = collector
        self._sanitizer = sanitizer
        self._sources = sources
        self._key = key
        self._identity = Fingerprinter(key)
        self._metrics = metrics
        self._limit = cache_bytes
        self._vault = vault
        self._with_places = with_places
        self._waiting: dict[int, tuple[int, float]] = {}
        self._tails: dict[int, tuple[int, int, float]] = {}
        self._cache: OrderedDict[tuple[int, int], Piece] = OrderedDict()
        self._counted: dict[int, int] = {}
        self._labels: dict[tuple[int, str], str] = {}
        self.cached_bytes = 0

    def next(
        self, segment: int, at: Checkpoint, *, final: bool, flush: bool, now: float
    ) -> Piece | None:
        """The piece that begins at the checkpoint; None when no whole line is there now, or only
        parts of a message that goes on.

        It ends before the first part of a message that is still being streamed, so that a secret
        that is split over its parts is seen: unless `flush`, or the message has waited long enough
        or become too long for that. `now` is in seconds, of a clock that never goes back.
        """
        cached = self._cache.get((segment, at.offset))
        if cached is not None:
            return cached
        chunk = self._collector.read(segment, at, final=final) or self._document(
            segment, at, flush=flush, now=now
        )
        if chunk is None:
            return None
        clean = self._clean(chunk, flush=flush or self._has_waited(segment, at.offset, now))
        if chunk.end - clean.end > LONGEST_OPEN_BYTES:
            clean = self._clean(chunk, flush=True)
        elif clean.end == chunk.start:
            self._waiting.setdefault(segment, (at.offset, now))
            return None
        elif clean.end < chunk.end:
            shorter = self._collector.read(segment, at, until=clean.end)
            if shorter is None or shorter.end != clean.end:
                return None
            chunk = shorter
        self._waiting.pop(segment, None)
        piece = self._piece(chunk, clean)
        self._count(piece.clean)
        self._remember(piece)
        return piece

    def waiting(self) -> list[int]:
        """The segments whose last message is still open, or whose last line has no end."""
        return [*self._waiting, *self._tails]

    def overdue(self, now: float) -> list[int]:
        """The segments whose last message has been open, or last line without an end, for so long
        that it is taken as it is.
        """
        since = [
            *self._waiting.items(),
            *((segment, (start, at)) for segment, (start, _, at) in self._tails.items()),
        ]
        return [segment for segment, (_, at) in since if now - at >= OPEN_SECONDS]

    def first(self, segment: int, until: int) -> Piece | None:
        """The lines of a segment's first chunk that begin before `until`, to learn from; what is
        refused of them is somebody else's.
        """
        chunk = self._collector.read(segment, BEGINNING, until=until)
        if chunk is None or chunk.end > until:
            return None
        clean = self._clean(chunk, flush=True)
        places, count = self._places(chunk.data, clean)
        return Piece(clean, b"", chunk.next, places=places, count=count)

    def again(self, planned: Range, at: Checkpoint) -> Piece | None:
        """The piece of a planned range once more, `at` its beginning; None where its bytes are gone
        or are not what they were.
        """
        view = self._collector.segments().get(planned.segment)
        if view is None:
            return None
        if (
            planned.digest == RangeDigest(self._key).digest()
        ):  # a line over the limit: it was passed over, not held
            chunk = self._collector.read(planned.segment, at, final=True)
            return (
                self._again(chunk)
                if chunk is not None and chunk.end == planned.end and not chunk.data
                else None
            )
        parts = self._collector.read_range(planned.segment, planned.start, planned.end)
        if parts is None:
            return None
        data, digest = b"".join(parts), RangeDigest(self._key)
        digest.update(data)
        if digest.digest() != planned.digest:
            return None
        return self._again(
            Chunk(
                view.segment,
                planned.start,
                planned.end,
                data,
                Checkpoint(planned.end, planned.tail),
                torn=not data.endswith(b"\n"),
            )
        )

    def is_over(self, segment: int) -> bool:
        """Tell whether nothing of the segment can be read any more."""
        view = self._collector.segments().get(segment)
        return view is None or view.state in {"ended", "lost", "spent"}

    def line(self, line: QuarantinedLine) -> Piece | Absence:
        """A refused line once more, by today's rules."""
        view = self._collector.segments().get(line.segment)
        source = self._sources.get(line.source)
        if view is None or source is None or self.is_over(line.segment):
            return Absence.GONE
        place = Checkpoint(line.end, b"")
        if line.end - line.start > source.max_line:
            refusal = Rejection(line.start, line.end, RejectionReason.TOO_LONG.value, line.digest)
            return Piece(
                CleanChunk(view.segment, line.start, line.end, b"", 0, (refusal,)), b"", place
            )
        parts = self._collector.read_range(line.segment, line.start, line.end)
        if parts is None:
            return Absence.FOR_NOW
        data = b"".join(parts)
        if self._identity.digest(data) != line.digest:
            return Absence.GONE
        digest = RangeDigest(self._key)
        digest.update(data)
        clean = self._sanitizer(
            Chunk(view.segment, line.start, line.end, data + b"\n", place),
            repair=source.repair,
            flush=False,
        )
        if (
            clean.end < line.end
        ):  # a part of a streamed message: what its other parts would tell of it cannot be seen from here
            clean = replace(
                clean,
                end=line.end,
                rejected=(
                    Rejection(
                        line.start, line.end, RejectionReason.REDACTION_FAILED.value, line.digest
                    ),
                ),
            )
        places, count = self._places(data + b"\n", clean)
        return Piece(clean, digest.digest(), place, places=places, count=count)

    def may_come_back(self, planned: Range) -> bool:
        """Tell whether the range cannot be read now, but perhaps later: its file is missing, or its
        copy is looked for.
        """
        view = self._collector.segments().get(planned.segment)
        if view is None or view.state in ("lost", "spent"):
            return False
        return self._collector.read_range(planned.segment, planned.start, planned.end) is None

    def whole(self, planned: Range, sink: str, reason: str) -> QuarantinedLine:
        """Quarantine of a range as a whole: its bytes are gone, so that nobody can tell which of
        its lines it was.
        """
        view = self._collector.segments().get(planned.segment)
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

    def places(self, piece: Piece, wanted: Mapping[int, str]) -> tuple[list[Rejection], Sealed]:
        """Where the accepted lines with these indexes stand (index in the piece → reason), and
        where their bytes are sealed.
        """
        clean = piece.clean
        parts = (
            self._collector.read_range(clean.segment.id, clean.start, clean.end) if wanted else None
        )
        if parts is None:
            return [], UNSEALED
        data = b"".join(parts)
        found = accepted(data, clean)
        refusals = [
            self._refusal(data, clean, found[index], reason)
            for index, reason in sorted(wanted.items())
        ]
        return refusals, self._sealed(clean.segment.id, clean.start, data, refusals)

    def _refusal(
        self, data: bytes, clean: CleanChunk, place: LinePosition, reason: str
    ) -> Rejection:
        start = place.offset - clean.start
        return Rejection(
            place.offset,
            place.offset + place.length,
            reason,
            self._identity.digest(data[start : start + place.length]),
        )

    def discard_sealed(self, files: Iterable[str]) -> None:
        """Remove sealed files whose lines have been delivered; without a vault the next start does."""
        if self._vault is not None:
            self._vault.discard(files)

    def label(self, segment: int, path: str) -> str:
        """The path as it may leave the machine."""
        key = (segment, path)
        if key not in self._labels:
            if len(self._labels) > 4096:
                self._labels.clear()
            self._labels[key] = self._sanitizer.redact_text(
                path.encode("utf-8", "backslashreplace").decode("utf-8")
            )
        return self._labels[key]

    def forget_all_but(self, known: Container[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self._counted = {segment: end for segment, end in self._counted.items() if segment in known}
        self._waiting = {
            segment: since for segment, since in self._waiting.items() if segment in known
        }
        self._tails = {segment: tail for segment, tail in self._tails.items() if segment in known}

    def _clean(self, chunk: Chunk, *, flush: bool) -> CleanChunk:
        return self._sanitizer(
            chunk, repair=self._sources[chunk.segment.source].repair, flush=flush
        )

    def _again(self, chunk: Chunk) -> Piece:
        """What was taken once is taken as it was: nothing of it waits for more."""
        return self._piece(chunk, self._clean(chunk, flush=True))

    def _piece(self, chunk: Chunk, clean: CleanChunk) -> Piece:
        digest = RangeDigest(self._key)
        digest.update(chunk.data)
        sealed = self._sealed(chunk.segment.id, chunk.start, chunk.data, clean.rejected)
        return Piece(clean, digest.digest(), chunk.next, sealed, *self._places(chunk.data, clean))

    def _places(self, data: bytes, clean: CleanChunk) -> tuple[tuple[LinePosition, ...], int]:
        """Where the accepted lines stood, and how many lines there were."""
        if not self._with_places:
            return (), 0
        return tuple(accepted(data, clean)), data.count(b"\n") + (
            not data.endswith(b"\n")
        ) if data else 1

    def _document(self, segment: int, at: Checkpoint, *, flush: bool, now: float) -> Chunk | None:
        """A complete last line without a newline, in a source of documents: once nothing was added
        to it for a while.
        """
        view = self._collector.segments().get(segment)
        if view is None or not self._sources[view.segment.source].documents:
            return None
        chunk = self._collector.read(segment, at, final=True)
        if (
            chunk is None
            or not chunk.torn
            or not chunk.data
            or self._clean(chunk, flush=True).rejected
        ):
            self._tails.pop(segment, None)
            return None
        tail = self._tails.get(segment)
        if tail is None or tail[:2] != (at.offset, chunk.end):
            tail = self._tails[segment] = (at.offset, chunk.end, now)
        if not flush and now - tail[2] < OPEN_SECONDS:
            return None
        del self._tails[segment]
        return chunk

    def _has_waited(self, segment: int, offset: int, now: float) -> bool:
        began, since = self._waiting.get(segment, (-1, now))
        if began != offset:
            self._waiting.pop(segment, None)
            return False
        return now - since >= OPEN_SECONDS

    def _sealed(
        self, segment: int, start: int, data: bytes, refused: Sequence[Rejection]
    ) -> Sealed:
        """Seal what was refused of `data`; a line that was passed over as too long was never held,
        and stays a reference.
        """
        if self._vault is None or not refused or not data:
            return UNSEALED
        return self._vault.seal(
            segment, [(line.start, data[line.start - start : line.end - start]) for line in refused]
        )

    def _remember(self, piece: Piece) -> None:
        self._cache[piece.clean.segment.id, piece.clean.start] = piece
        self.cached_bytes += len(piece.clean.data)
        while self.cached_bytes > self._limit and self._cache:
            _, old = self._cache.popitem(last=False)
            self.cached_bytes -= len(old.clean.data)

    def _count(self, clean: CleanChunk) -> None:
        segment, counted = clean.segment, self._counted.get(clean.segment.id, 0)
        if clean.end <= counted:
            return  # a sink that lags reads it again
        self._counted[segment.id] = clean.end
        metrics = self._metrics
        metrics.read_bytes.labels(segment.source).inc(clean.end - clean.start)
        metrics.lines.labels(segment.source).inc(clean.lines)
        if clean.blank_lines:
            metrics.blank_lines.labels(segment.source).inc(clean.blank_lines)
        if clean.repaired:
            metrics.repaired_lines.labels(segment.source).inc(len(clean.repaired))
        if clean.open_messages:
            metrics.open_messages.labels(segment.source).inc(clean.open_messages)
        for refusal in clean.rejected:
            metrics.quarantined_lines.labels(segment.source, refusal.reason).inc()
        for rule, count in clean.redactions:
            metrics.redactions.labels(rule).inc(count)


def accepted(data: bytes, clean: CleanChunk) -> list[LinePosition]:
    """Where in the segment every line stands that passed, in order: all but the refused and the
    blank ones. `data` are the bytes of `clean`.
    """
    refused = {refusal.end - clean.start for refusal in clean.rejected}
    found, number, start, last = [], 0, 0, len(data)
    while start < last:
        newline = data.find(b"\n", start)
        end = newline if newline >= 0 else last
        is_blank = end == start or (data[start] in b" \t\r" and not data[start:end].strip(b" \t\r"))
        if not is_blank and end not in refused:
            found.append(LinePosition(number, clean.start + start, end - start))
        number, start = number + 1, end + 1
    return found
