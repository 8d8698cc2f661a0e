"""Read and clean each chunk once for all sinks that go side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass

from tracesidecar.metrics import CounterKey
from tracesidecar.model import BEGINNING, LONGEST_OPEN_BYTES, Checkpoint, Chunk, CleanChunk
from tracesidecar.pipeline.chunk_cleaner import ChunkCleaner
from tracesidecar.pipeline.line_metrics import LineMetrics
from tracesidecar.pipeline.slow_chunks import LONG_LINE_BYTES, MOST_STEPS, SlowChunks
from tracesidecar.progress import Progress
from tracesidecar.sanitize import LineLimitExceeded, StepLimitExceeded
from tracesidecar.tail import ReadLimits, SourceOptions
from tracesidecar.tail.tailer import Tailer

MOST_LINES = 2048
"""How many lines a chunk has at most: what is done for each of them must not take long. A chunk of
real traces has fewer.
"""

MOST_OBJECTS = 16_384
"""How many JSON objects its lines have at most, unless it is one line: each may become an event,
which takes many times its time and its memory. Few real traces have more in a MiB.
"""

MOST_OBJECTS_OF_MESSAGE = 4 * MOST_OBJECTS
"""So many they have if a message goes on in them, which is to be read as a whole."""

FEW_LINES = 512
FEW_OBJECTS = 2048
"""How many lines and objects those chunks of a file have that come after one that took long."""

MOST_REJECTED = 256
"""The most lines of a chunk that follows one with many rejected lines: to find out why a line is
rejected takes many times as long as to find out that it is valid.
"""

MEASURED_BYTES = 8 << 20
"""How much of a line that is too long is read before others have their turn: a hole in a file may
be a terabyte without a newline.
"""

OPEN_SECONDS = 5.0
"""A streamed message that has not grown for this long is taken as it is."""
LINE_BYTES = 160
"""About how much memory the position of a line takes, or why it was rejected."""


@dataclass(slots=True)
class _Unfinished:
    """What follows the last whole document: [offset, size) since some time, and if it was tried."""

    offset: int
    size: int
    since: float
    was_tried: bool = False


class ChunkReader:
    """Clean chunks of segments, with a cache that is bounded in bytes."""

    def __init__(
        self,
        tailer: Tailer,
        cleaner: ChunkCleaner,
        sources: Mapping[str, SourceOptions],
        line_metrics: LineMetrics,
        *,
        has_events: bool,
        cache_bytes: int,
        slow_chunks: SlowChunks,
        progress: Progress,
    ) -> None:
        """`has_events`: somebody makes events of the lines, so that their objects are limited."""
        self._has_events = has_events
        self._slow_chunks = slow_chunks
        self._progress = progress
        self._tailer = tailer
        self._cleaner = cleaner
        self._sources = sources
        self._line_metrics = line_metrics
        self._limit = cache_bytes
        self._most_lines: dict[int, int] = {}
        self._waiting: dict[int, tuple[int, float]] = {}
        self._unfinished: dict[int, _Unfinished] = {}
        self._cache: OrderedDict[tuple[int, int], CleanChunk] = OrderedDict()
        self.cached_bytes = 0

    def next(
        self, segment: int, at: Checkpoint, *, final: bool, flush: bool, now: float
    ) -> CleanChunk | None:
        """Return the chunk that begins at the checkpoint.

        Return None if there is no whole line now, or only fragments of a message that goes on. The
        chunk ends before the first fragment of a message that is still being streamed, because a
        secret can be split over its fragments. The fragments are taken nevertheless with `flush`,
        or if the message has waited too long or become too long. `now` is in seconds, of a clock
        that never goes back.

        Also returns None while a slow chunk is being cleaned elsewhere, or a very long line has
        been measured in part: `is_cleaning` or `is_measuring` is true then.
        """
        self._progress.step()
        cached = self._cache.get((segment, at.offset))
        if cached is not None:
            return cached
        if self.is_cleaning(segment, at.offset):
            return None
        cleaned = self._slow_chunks.take(segment, at.offset)
        if cleaned is None:
            try:
                cleaned = self._read(segment, at, final=final, flush=flush, now=now)
            except LineLimitExceeded:
                self._most_lines[segment] = MOST_LINES
                cleaned = self._read(segment, at, final=final, flush=flush, now=now)
        if cleaned is not None and cleaned[0].end - cleaned[1].end > LONGEST_OPEN_BYTES:
            cleaned = self._clean(cleaned[0], flush=True)
        if cleaned is None:
            return None
        chunk, clean = cleaned
        if clean.end == chunk.start:
            self._waiting.setdefault(segment, (at.offset, now))
            return None
        if clean.end < chunk.end:
            shorter = self._tailer.read(segment, at, until=clean.end)
            if shorter is None or shorter.end != clean.end:
                return None
            chunk = shorter
        return self._take(chunk, clean)

    def is_cleaning(self, segment: int, offset: int) -> bool:
        """Return whether a slow chunk that begins there is being cleaned: ask again later."""
        return self._slow_chunks.is_waiting(segment, offset)

    def is_slow(self, segment: int, offset: int) -> bool:
        """Return whether the chunk that begins there is slow, clean or not, and was not taken."""
        return self._slow_chunks.has(segment, offset)

    def is_measuring(self, segment: int, offset: int) -> bool:
        """Return whether a long line that begins there was measured in part: ask again soon."""
        return self._tailer.is_measuring(segment, offset)

    def is_queued(self, segment: int) -> bool:
        """Return whether an archive was not read, as others come first: ask again soon."""
        return self._tailer.is_queued(segment)

    def _read(
        self, segment: int, at: Checkpoint, *, final: bool, flush: bool, now: float
    ) -> tuple[Chunk, CleanChunk] | None:
        """Read and clean the chunk that begins there, None if there is none now.

        Raise LineLimitExceeded if it has very many lines: with a limit, fewer are read.
        """
        lines = self._most_lines.get(segment)
        objects = MOST_OBJECTS if lines is None or lines > FEW_LINES else FEW_OBJECTS
        limits = ReadLimits(
            lines, MEASURED_BYTES, objects if self._has_events else None, takes_turns=True
        )
        chunk = self._tailer.read(segment, at, final=final, limits=limits)
        if chunk is None and (
            self._tailer.is_measuring(segment, at.offset) or self._tailer.is_queued(segment)
        ):
            return None
        if chunk is None and not final:
            chunk = self._read_at_rest(segment, at, flush=flush, now=now)
            flush = True
        if chunk is None:
            return None
        flush = flush or self._has_waited(segment, at.offset, now)
        if not chunk.is_shortened:
            return self._clean(chunk, flush=flush, most_lines=MOST_LINES)
        cleaned = self._clean(chunk, flush=False)
        if cleaned is not None and cleaned[1].end < chunk.end:  # a message goes on behind it
            limits = ReadLimits(objects=MOST_OBJECTS_OF_MESSAGE)
            longer = self._tailer.read(segment, at, final=final, limits=limits)
            return None if longer is None else self._clean(longer, flush=flush)
        return cleaned

    def _clean(
        self, chunk: Chunk, *, flush: bool, most_lines: int | None = None
    ) -> tuple[Chunk, CleanChunk] | None:
        """Clean a chunk; return None if it is so slow that this is done elsewhere.

        Raise LineLimitExceeded if it has more than `most_lines`.
        """
        if len(chunk.data) > LONG_LINE_BYTES:
            self._slow_chunks.begin(chunk, flush=True)
            return None
        try:
            return chunk, self._cleaner.clean(
                chunk, flush=flush, most_steps=MOST_STEPS, most_lines=most_lines
            )
        except StepLimitExceeded:  # many short lines, each as slow as one may be
            self._slow_chunks.begin(chunk, flush=flush)
            return None

    def _take(self, chunk: Chunk, clean: CleanChunk) -> CleanChunk:
        self._waiting.pop(chunk.segment.id, None)
        if len(clean.rejected) >= MOST_REJECTED:
            self._most_lines[chunk.segment.id] = MOST_REJECTED
        elif self._most_lines.get(chunk.segment.id) == MOST_REJECTED:
            del self._most_lines[chunk.segment.id]
        clean = self._cleaner.take(chunk, clean)
        self._line_metrics.count(clean)
        self._remember(clean)
        return clean

    def shorten(self, segment: int) -> None:
        """Give the chunks of a segment fewer lines from now on."""
        self._most_lines[segment] = min(self._most_lines.get(segment, FEW_LINES), FEW_LINES)

    def count(self, clean: CleanChunk) -> None:
        """Count a chunk that was read elsewhere, unless it is counted already."""
        self._line_metrics.count(clean)

    def take_counts(self, reached: Mapping[int, Checkpoint]) -> dict[CounterKey, float]:
        """Return what a commit of these checkpoints adds to the saved counters."""
        return self._line_metrics.take(reached)

    def peek(self, segment: int, until: int) -> CleanChunk | None:
        """Return the lines of a segment's first chunk before `until`, only to interpret them.

        Nothing of them is delivered, and what is rejected of them is not reported. None if there is
        no such line; while a very long one is being measured, `is_measuring` is true then.
        """
        limits = ReadLimits(measured_bytes=MEASURED_BYTES)
        chunk = self._tailer.read(segment, BEGINNING, until=until, limits=limits)
        if chunk is None or chunk.end > until:
            return None
        return self._cleaner.peek(chunk)

    def waiting(self) -> list[int]:
        """Return the segments whose last message is still open, or whose last document is."""
        return [*self._waiting, *self._unfinished]

    def list_overdue(self, now: float) -> list[int]:
        """Return the segments of `waiting` that have waited too long, and are taken as they are."""
        since = [
            *self._waiting.items(),
            *(
                (segment, (found.offset, found.since))
                for segment, found in self._unfinished.items()
                if not found.was_tried
            ),
        ]
        return [segment for segment, (_, at) in since if now - at >= OPEN_SECONDS]

    def forget_all_but(self, known: Container[int]) -> None:
        """Drop what is remembered of segments that are over."""
        self._line_metrics.forget_all_but(known)
        self._most_lines = {
            segment: lines for segment, lines in self._most_lines.items() if segment in known
        }
        self._waiting = {
            segment: since for segment, since in self._waiting.items() if segment in known
        }
        self._unfinished = {
            segment: found for segment, found in self._unfinished.items() if segment in known
        }

    def _read_at_rest(
        self, segment: int, at: Checkpoint, *, flush: bool, now: float
    ) -> Chunk | None:
        """Return what a source of documents ends with, once nothing was added to it for a while.

        It is tried once: a document that is not complete then waits for more bytes. A last line in
        UTF-16 is taken like this, too: what could make it valid is not its newline.
        """
        view = self._tailer.segments().get(segment)
        if (
            view is None
            or view.size <= at.offset
            or not (
                self._sources[view.segment.source].documents
                or self._tailer.is_utf16(segment, at.offset)
            )
        ):
            self._unfinished.pop(segment, None)
            return None
        found = self._unfinished.get(segment)
        if found is None or (found.offset, found.size) != (at.offset, view.size):
            found = self._unfinished[segment] = _Unfinished(at.offset, view.size, now)
        if not flush and (found.was_tried or now - found.since < OPEN_SECONDS):
            return None
        chunk = self._tailer.read(segment, at, resting=True)
        if chunk is None:
            found.was_tried = True
        else:
            del self._unfinished[segment]
        return chunk

    def _has_waited(self, segment: int, offset: int, now: float) -> bool:
        began, since = self._waiting.get(segment, (-1, now))
        if began != offset:
            self._waiting.pop(segment, None)
            return False
        return now - since >= OPEN_SECONDS

    def _remember(self, clean: CleanChunk) -> None:
        self._cache[clean.segment.id, clean.start] = clean
        self.cached_bytes += _measure(clean)
        while self.cached_bytes > self._limit and self._cache:
            _, old = self._cache.popitem(last=False)
            self.cached_bytes -= _measure(old)


def _measure(clean: CleanChunk) -> int:
    """Return about how much memory a clean chunk takes: lines may be short, or all rejected."""
    entries = len(clean.positions) + len(clean.rejected) + 1
    return len(clean.data) + LINE_BYTES * entries
