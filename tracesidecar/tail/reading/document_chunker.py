"""Where a chunk of JSON documents ends: with the last one that begins before the next whole MiB."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tracesidecar.json_documents import (
    Effort,
    EndFinder,
    Ending,
    next_document,
    skip_between,
)
from tracesidecar.model import CHUNK_BYTES, CHUNK_LINES, LONGEST_OPEN_BYTES, TAIL_BYTES
from tracesidecar.tail.fingerprint import ByteSource
from tracesidecar.tail.reading.chunker import LOOKAHEAD_BYTES, ChunkSpan
from tracesidecar.tail.reading.holes import LongDigest, is_zeros, may_become_zeros

_GROWTH_SHARE = 8
"""An unfinished document is looked at again when it has grown by this part, or ends in a bracket.
"""


@dataclass(slots=True)
class _LongDocument:
    """How far a document that is longer than allowed was followed."""

    scanned: int
    digest: LongDigest
    finder: EndFinder
    goes_on: bool = False


class DocumentChunker:
    """Divides files into chunks of whole documents, and the white space that follows them.

    It remembers how far unfinished documents were looked at, so that waiting for their ends costs
    little.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._unfinished: dict[int, tuple[int, int]] = {}
        self._long: dict[int, dict[int, _LongDocument]] = {}

    def cut(
        self,
        source: ByteSource,
        segment: int,
        start: int,
        *,
        max_line: int,
        ending: Ending,
        measured: int = sys.maxsize,
        objects: int = sys.maxsize,
    ) -> ChunkSpan | None:
        """Return the chunk at `start`, or None if no whole document is there now.

        It has at most so many JSON `objects`, unless it is one document. A document longer than
        `max_line` is a span of its own, without data. About so many bytes of it are `measured`; if
        it goes on, `is_measuring` is true then, and the next call goes on with it.
        """
        if start in self._long.get(segment, ()):
            return self._follow(source, segment, start, ending, measured)
        if ending is Ending.OPEN and self._has_hardly_grown(source, segment, start):
            return None
        to_grid = CHUNK_BYTES - start % CHUNK_BYTES
        if to_grid <= LONGEST_OPEN_BYTES:
            to_grid += CHUNK_BYTES
        window = to_grid + LOOKAHEAD_BYTES
        while True:
            data = source.pread(window, start)
            is_at_end = len(data) < window
            until = ending if is_at_end else Ending.OPEN
            whole = _end_of_documents(data, to_grid, max_line, until, objects)
            if whole:
                self._unfinished.pop(segment, None)
                span = data[:whole]
                return ChunkSpan(start + whole, span, torn=not span.endswith(b"\n"))
            if len(data) > max_line:
                self._unfinished.pop(segment, None)
                return self._follow(source, segment, start, ending, measured)
            if is_at_end:
                self._unfinished[segment] = start, len(data)
                return None
            window = max(min(2 * window, max_line), window) + 1

    def is_measuring(self, segment: int, start: int) -> bool:
        """Return whether more of the long document at `start` can be measured now."""
        long = self._long.get(segment, {}).get(start)
        return long is not None and long.goes_on

    def find_measured(self, segment: int, start: int) -> int:
        """Return how far the long document at `start` was followed, `start` if it was not."""
        long = self._long.get(segment, {}).get(start)
        return start if long is None else long.scanned

    def forget(self, segment: int) -> None:
        """Forget how far the documents of a segment were looked at."""
        self._unfinished.pop(segment, None)
        self._long.pop(segment, None)

    def _has_hardly_grown(self, source: ByteSource, segment: int, start: int) -> bool:
        known_start, known = self._unfinished.get(segment, (-1, 0))
        if known_start != start:
            return False
        share = known // _GROWTH_SHARE
        added = source.pread(share + 1, start + known)
        return 0 < len(added) <= share and added.rstrip()[-1:] not in (b"}", b"]")

    def _follow(
        self, source: ByteSource, segment: int, start: int, ending: Ending, measured: int
    ) -> ChunkSpan | None:
        """Follow a document that is too long, in pieces, to its end."""
        documents = self._long.setdefault(segment, {})
        long = documents.get(start)
        if long is None:
            long = documents[start] = _LongDocument(
                start,
                LongDigest(self._key),
                EndFinder(source.pread(TAIL_BYTES, start)),
            )
        read_bytes = 0
        long.goes_on = False
        while True:
            overlap = int(long.scanned > start)  # a newline may be the last byte of a piece
            to_grid = CHUNK_BYTES - long.scanned % CHUNK_BYTES
            piece = source.pread(to_grid + overlap, long.scanned - overlap)
            if len(piece) <= overlap:
                break
            if read_bytes >= measured:
                long.goes_on = True
                return None
            read_bytes += len(piece)
            added = piece[overlap:]
            if ending is not Ending.FINAL and may_become_zeros(added, long.scanned):
                break
            end = long.finder.feed(piece, overlap)
            taken = piece[overlap:end] if end >= 0 else added
            long.digest.add(taken)
            long.scanned += len(taken)
            if end >= 0:
                ending = Ending.FINAL
                break
            if is_zeros(taken):  # more of them is nothing new to the finder
                blocks = (source.find_data(long.scanned) - long.scanned) // CHUNK_BYTES
                long.digest.skip(blocks)
                long.scanned += blocks * CHUNK_BYTES
        if ending is not Ending.FINAL:
            return None
        del documents[start]
        return ChunkSpan(long.scanned, b"", digest=long.digest.digest(), torn=True)


def _end_of_documents(
    data: bytes, to_grid: int, max_line: int, ending: Ending, most_objects: int
) -> int:
    """Return where the documents end that begin before the grid line and are short enough.

    What is between documents goes along with the one before.
    """
    end, effort = skip_between(data, 0), Effort(data)
    documents = objects = 0
    while end < to_grid and documents < CHUNK_LINES:
        document = next_document(data, end, ending, effort)
        if document is None or document.end - document.start > max_line:
            break
        objects += data.count(b"{", document.start, document.end)
        if documents and objects > most_objects:
            break
        end = skip_between(data, document.end)
        documents += 1
    return end


def find_end_of_documents(source: ByteSource, start: int, end: int, *, max_line: int) -> int:
    """Return where the last whole document in [start, end) ends; `start` if there is none.

    There is one if more is left than one document may have.
    """
    if end - start > max_line:
        return end
    chunker = DocumentChunker(b"")
    while start < end and (
        span := chunker.cut(source, 0, start, max_line=max_line, ending=Ending.RESTING)
    ):
        start = span.end
    return start
