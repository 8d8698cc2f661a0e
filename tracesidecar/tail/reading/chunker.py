"""Where a chunk ends: with the last line that begins before the next whole MiB of the file.

If that would be very many lines, it ends earlier.
Long lines are measured before they are taken into memory.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

from tracesidecar.byte_count import count_byte
from tracesidecar.model import CHUNK_BYTES, CHUNK_LINES, LONGEST_OPEN_BYTES
from tracesidecar.progress import Progress
from tracesidecar.tail.fingerprint import ByteSource
from tracesidecar.tail.reading.holes import LongDigest, is_zeros, may_become_zeros

LOOKAHEAD_BYTES = 64 * 1024
"""How far beyond the grid line the end of a chunk's last line is looked for; a longer line gets a
chunk of its own.
"""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How many lines a chunk has at most, None for any number: counting them takes time.

    And how many JSON objects, unless it is one line: each may become an event. And about how many
    bytes of a line, or of a document, are measured at once if it is too long. With
    `takes_turns`, an archive that would make others be decompressed again is not read now.
    """

    lines: int | None = CHUNK_LINES
    measured_bytes: int = sys.maxsize
    objects: int | None = None
    takes_turns: bool = False


USUAL_LIMITS = ReadLimits()


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Whole lines, or whole documents, up to `end`.

    If its one line is longer than allowed, `data` is empty and `digest` is the line's. `torn`: the
    last line has no newline. `is_shortened`: it ends here only because it would have had more lines
    than were wanted.
    """

    end: int
    data: bytes = field(repr=False)
    digest: bytes | None = None
    torn: bool = False
    is_shortened: bool = False


@dataclass(slots=True)
class _Measure:
    scanned: int
    digest: LongDigest
    goes_on: bool = False


class Chunker:
    """Divides files into chunks.

    It remembers how far a line without an end has been measured, so that waiting for its newline
    costs nothing.
    """

    def __init__(self, key: bytes, progress: Progress) -> None:
        self._key = key
        self._progress = progress
        self._measures: dict[int, dict[int, _Measure]] = {}

    def cut(
        self,
        source: ByteSource,
        segment: int,
        start: int,
        *,
        max_line: int,
        final: bool,
        limits: ReadLimits = USUAL_LIMITS,
    ) -> ChunkSpan | None:
        """Return the chunk at `start`, or None if no whole line is there now.

        If a long line is measured only in part, `is_measuring` is true then, and the next call goes
        on with it.
        """
        if start in self._measures.get(segment, ()):
            return self._long(source, segment, start, max_line, limits, final=final)
        to_grid = CHUNK_BYTES - start % CHUNK_BYTES
        if to_grid <= LONGEST_OPEN_BYTES:
            to_grid += CHUNK_BYTES
        data = source.pread(to_grid + LOOKAHEAD_BYTES, start)
        is_at_end = len(data) < to_grid + LOOKAHEAD_BYTES
        end = _end_of_lines(data, to_grid)
        torn = final and is_at_end and end < min(len(data), to_grid)
        allowed = _within(data, len(data) if torn else end, max_line)
        whole = allowed if limits.lines is None else end_of_few_lines(data, allowed, limits.lines)
        if limits.objects is not None:
            whole = _end_of_few_objects(data, whole, limits.objects)
        if whole:
            return ChunkSpan(
                start + whole,
                data[:whole],
                torn=torn and whole == len(data),
                is_shortened=whole < allowed,
            )
        if is_at_end and not torn and not end:
            return None
        return self._long(source, segment, start, max_line, limits, final=final)

    def is_measuring(self, segment: int, start: int) -> bool:
        """Return whether more of the long line at `start` can be measured now."""
        measure = self._measures.get(segment, {}).get(start)
        return measure is not None and measure.goes_on

    def find_measured(self, segment: int, start: int) -> int:
        """Return how far the long line at `start` has been measured, `start` if it has not."""
        measure = self._measures.get(segment, {}).get(start)
        return start if measure is None else measure.scanned

    def forget(self, segment: int) -> None:
        """Forget how far the lines of a segment were measured."""
        self._measures.pop(segment, None)

    def _long(
        self,
        source: ByteSource,
        segment: int,
        start: int,
        max_line: int,
        limits: ReadLimits,
        *,
        final: bool,
    ) -> ChunkSpan | None:
        measures = self._measures.setdefault(segment, {})
        measure = measures.setdefault(start, _Measure(start, LongDigest(self._key)))
        newline, read_bytes = -1, 0
        measure.goes_on = False
        while newline < 0 and (piece := _read_to_grid(source, measure.scanned)):
            if read_bytes >= limits.measured_bytes:
                measure.goes_on = True
                return None
            self._progress.step()
            read_bytes += len(piece)
            newline = piece.find(b"\n")
            line = piece if newline < 0 else piece[:newline]
            if not final and newline < 0 and may_become_zeros(piece, measure.scanned):
                return None
            measure.digest.add(line)
            measure.scanned += len(line)
            if is_zeros(line):
                blocks = (source.find_data(measure.scanned) - measure.scanned) // CHUNK_BYTES
                measure.digest.skip(blocks)
                measure.scanned += blocks * CHUNK_BYTES
        if newline < 0 and not (final and measure.scanned > start):
            return None
        del measures[start]
        end = measure.scanned + (newline >= 0)
        if measure.scanned - start > max_line:
            return ChunkSpan(end, b"", digest=measure.digest.digest(), torn=newline < 0)
        return ChunkSpan(end, source.pread(end - start, start), torn=newline < 0)


def _read_to_grid(source: ByteSource, offset: int) -> bytes:
    """Return what is at an offset, up to the next whole MiB of the file."""
    return source.pread(CHUNK_BYTES - offset % CHUNK_BYTES, offset)


def _end_of_lines(data: bytes, to_grid: int) -> int:
    """Return the end of the last whole line that begins before the grid line."""
    across = data.find(b"\n", to_grid - 1)
    return (across if across >= 0 else data.rfind(b"\n")) + 1


def end_of_few_lines(data: bytes, end: int, most_lines: int = CHUNK_LINES) -> int:
    """Return where the first `most_lines` of data[:end] end, `end` if there are fewer."""
    if count_byte(data, b"\n", most_lines + 1) <= most_lines:
        return end
    few = re.compile(rb"(?:[^\n]*+\n){%d}" % most_lines).match(data)
    return end if few is None else few.end()


def _end_of_few_objects(data: bytes, end: int, most: int) -> int:
    """Return an end of lines in data[:end] before which there are not too many JSON objects.

    If there are too many in the first line, that is where it ends.
    """
    if count_byte(data, b"{", most + 1) <= most:
        return end
    while count_byte(data[:end], b"{", most + 1) > most:
        newline = data.rfind(b"\n", 0, end // 2) + 1 or data.find(b"\n") + 1
        if not 0 < newline < end:
            break
        end = newline
    return end


def _within(data: bytes, end: int, max_line: int) -> int:
    """Return where the first line that is longer than allowed begins, `end` if there is none."""
    start = 0
    while end - start > max_line:
        newline = data.rfind(b"\n", start, min(end, start + max_line + 1))
        if newline < 0:
            break
        start = newline + 1
    return end if end - start <= max_line else start
