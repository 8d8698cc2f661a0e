"""Split a stream into chunks of whole lines or documents, and number the lines of the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracesidecar.json_documents import Ending
from tracesidecar.model import BEGINNING, CHUNK_BYTES, Chunk, CleanChunk, Rejection, Segment
from tracesidecar.sanitize import RejectionReason
from tracesidecar.tail import DocumentChunker, end_of_few_lines


@dataclass(frozen=True, slots=True)
class NumberedChunk:
    """A chunk, and the number of its first line, counted from 1."""

    chunk: Chunk
    first_line: int

    def line_number(self, rejection: Rejection) -> int:
        """Return which line of the stream was rejected."""
        return self.first_line + self.chunk.data.count(b"\n", 0, rejection.start - self.chunk.start)

    @property
    def lines(self) -> int:
        """The number of lines, including an unfinished last one and one that was too long."""
        return self.chunk.data.count(b"\n") + self.chunk.torn + len(self.chunk.rejected)

    def count_records(self, clean: CleanChunk) -> int:
        """Return how many lines there are, or documents; rejected ones count, too."""
        return clean.lines + len(clean.rejected) if self.chunk.documents else self.lines


def read_chunks(name: str, read: Callable[[int], bytes], max_line: int) -> Iterator[NumberedChunk]:
    """Read to the end of the stream.

    A line longer than `max_line` is skipped and rejected. A last line without a newline is torn.
    """
    numberer = _ChunkNumberer(Segment(0, "", name, 0, 0, 0))
    buffer = bytearray()
    is_skipping = False
    while block := read(CHUNK_BYTES):
        buffer += block
        if is_skipping:
            newline = buffer.find(b"\n") + 1
            numberer.skip(newline or len(buffer))
            del buffer[: newline or len(buffer)]
            if not newline:
                continue
            is_skipping = False
            yield numberer.reject_skipped()
        whole = buffer.rfind(b"\n", max(0, len(buffer) - len(block))) + 1
        yield from _number_lines(numberer, bytes(buffer[:whole]))
        del buffer[:whole]
        is_skipping = len(buffer) > max_line
        if is_skipping:
            numberer.skip(len(buffer))
            buffer.clear()
    if is_skipping:
        yield numberer.reject_skipped()
    elif buffer:
        yield numberer.number(bytes(buffer), torn=True)


def _number_lines(numberer: _ChunkNumberer, data: bytes) -> Iterator[NumberedChunk]:
    """Divide whole lines into chunks of not too many."""
    while data:
        end = end_of_few_lines(data, len(data))
        yield numberer.number(data[:end], torn=False)
        data = data[end:]


def read_document_chunks(
    name: str, read: Callable[[int], bytes], max_line: int
) -> Iterator[NumberedChunk]:
    """Read a stream of JSON documents to its end, as `read_chunks` reads lines.

    A last document that is not complete is torn.
    """
    numberer = _ChunkNumberer(Segment(0, "", name, 0, 0, 0), documents=True)
    source, chunker, start = _Stream(read), DocumentChunker(b""), 0
    for ending in (Ending.RESTING, Ending.FINAL):
        while span := chunker.cut(source, 0, start, max_line=max_line, ending=ending):
            if span.digest is None:
                yield numberer.number(span.data, torn=ending is Ending.FINAL)
            else:
                numberer.skip(span.end - start)
                yield numberer.reject_skipped()
            start = span.end


class _Stream:
    """A stream that is read at offsets. None may lie before the last one."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._start = 0
        self._held = bytearray()

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end."""
        if offset - self._start >= CHUNK_BYTES:
            del self._held[: offset - self._start]
            self._start = offset
        begin = offset - self._start
        while len(self._held) < begin + length and (block := self._read(CHUNK_BYTES)):
            self._held += block
        return bytes(self._held[begin : begin + length])

    def find_data(self, offset: int) -> int:
        """Return the offset: holes in a stream are read."""
        return offset


class _ChunkNumberer:
    def __init__(self, segment: Segment, *, documents: bool = False) -> None:
        self._segment = segment
        self._documents = documents
        self._start = 0
        self._skipped = 0
        self._line = 1

    def number(self, data: bytes, *, torn: bool) -> NumberedChunk:
        return self._next(
            Chunk(
                self._segment,
                self._start,
                self._start + len(data),
                data,
                BEGINNING,
                torn=torn,
                documents=self._documents,
            )
        )

    def skip(self, count: int) -> None:
        self._skipped += count

    def reject_skipped(self) -> NumberedChunk:
        end = self._start + self._skipped
        self._skipped = 0
        rejected = (Rejection(self._start, end, RejectionReason.TOO_LONG),)
        return self._next(
            Chunk(
                self._segment,
                self._start,
                end,
                b"",
                BEGINNING,
                rejected=rejected,
                documents=self._documents,
            )
        )

    def _next(self, chunk: Chunk) -> NumberedChunk:
        numbered = NumberedChunk(chunk, self._line)
        self._start = chunk.end
        self._line += numbered.lines
        return numbered
