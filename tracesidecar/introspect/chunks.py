"""Cut a stream into chunks of whole lines, and know which line of the stream a refused one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracesidecar.model import BEGINNING, CHUNK_BYTES, Chunk, Rejection, Segment
from tracesidecar.sanitize import RejectionReason


@dataclass(frozen=True, slots=True)
class NumberedChunk:
    """A chunk and the number, counted from 1, of its first line."""

    chunk: Chunk
    first_line: int

    def line_number(self, refusal: Rejection) -> int:
        """Tell which line of the stream was refused."""
        return self.first_line + self.chunk.data.count(b"\n", 0, refusal.start - self.chunk.start)

    @property
    def lines(self) -> int:
        """Count the lines, a torn last one and one that was too long included."""
        return self.chunk.data.count(b"\n") + self.chunk.torn + len(self.chunk.rejected)


def chunks(name: str, read: Callable[[int], bytes], max_line: int) -> Iterator[NumberedChunk]:
    """Read to the end of the stream.

    A line longer than `max_line` is passed over and refused; a last line without newline is torn.
    """
    cutter = _Cutter(Segment(0, "", name, 0, 0, 0))
    buffer = bytearray()
    passing_over = False
    while block := read(CHUNK_BYTES):
        buffer += block
        if passing_over:
            newline = buffer.find(b"\n") + 1
            cutter.pass_over(newline or len(buffer))
            del buffer[: newline or len(buffer)]
            if not newline:
                continue
            passing_over = False
            yield cutter.too_long()
        whole = buffer.rfind(b"\n", max(0, len(buffer) - len(block))) + 1
        if whole:
            yield cutter.cut(bytes(buffer[:whole]), torn=False)
            del buffer[:whole]
        passing_over = len(buffer) > max_line
        if passing_over:
            cutter.pass_over(len(buffer))
            buffer.clear()
    if passing_over:
        yield cutter.too_long()
    elif buffer:
        yield cutter.cut(bytes(buffer), torn=True)


class _Cutter:
    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._start = 0
        self._passed = 0
        self._line = 1

    def cut(self, data: bytes, *, torn: bool) -> NumberedChunk:
        return self._numbered(
            Chunk(self._segment, self._start, self._start + len(data), data, BEGINNING, torn=torn)
        )

    def pass_over(self, count: int) -> None:
        self._passed += count

    def too_long(self) -> NumberedChunk:
        end = self._start + self._passed
        self._passed = 0
        rejected = (Rejection(self._start, end, RejectionReason.TOO_LONG),)
        return self._numbered(
            Chunk(self._segment, self._start, end, b"", BEGINNING, rejected=rejected)
        )

    def _numbered(self, chunk: Chunk) -> NumberedChunk:
        numbered = NumberedChunk(chunk, self._line)
        self._start = chunk.end
        self._line += numbered.lines
        return numbered
