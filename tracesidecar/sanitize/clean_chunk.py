"""Clean chunks that need no redaction, and what is added to a clean chunk once it is accepted.

Besides the sanitizer, only these functions make a `CleanChunk`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from tracesidecar.byte_count import count_byte
from tracesidecar.model import (
    Checkpoint,
    Chunk,
    CleanChunk,
    LinePosition,
    Rejection,
    Segment,
)


def complete_chunk(
    clean: CleanChunk,
    chunk: Chunk,
    *,
    digest: bytes,
    rejected: tuple[Rejection, ...],
    with_positions: bool,
) -> CleanChunk:
    """Return the clean chunk with what its reader knows once it is accepted for delivery.

    `chunk` is the source of `clean` and ends at the same offset; `digest` is the keyed digest of
    its bytes. `rejected` are the same rejections, perhaps with the location of their sealed bytes.
    """
    positions, source_lines = (
        (line_positions(clean, chunk.data), _count_lines(chunk)) if with_positions else ((), 0)
    )
    return replace(
        clean,
        next=chunk.next,
        digest=digest,
        rejected=rejected,
        positions=positions,
        source_lines=source_lines,
    )


def reject_unread_line(segment: Segment, rejection: Rejection) -> CleanChunk:
    """Return the clean chunk of a line that was not read because it is too long."""
    end = Checkpoint(rejection.end, b"")
    return CleanChunk(segment, rejection.start, rejection.end, b"", end, 0, (rejection,))


def reject_fragment(clean: CleanChunk, rejection: Rejection) -> CleanChunk:
    """Return the clean chunk of a fragment of a streamed message, with that line rejected.

    Redaction needs the other fragments, so nothing of the line may leave.
    """
    return replace(clean, end=rejection.end, data=b"", lines=0, rejected=(rejection,))


def line_positions(clean: CleanChunk, data: bytes) -> tuple[LinePosition, ...]:
    """Return the position of every accepted line in the segment, in order.

    `data` are the source bytes of `clean`. Rejected and blank lines have no position.
    """
    if clean.documents:
        return _document_positions(clean, data)
    rejected = {rejection.end - clean.start for rejection in clean.rejected}
    parts = deque((first - clean.start, end - clean.start) for first, end in clean.parts)
    found, number, start, last = [], 0, 0, len(data)
    while start < last:
        newline = data.find(b"\n", start)
        end = newline if newline >= 0 else last
        if parts and parts[0][0] < end:
            while parts and parts[0][0] < end:
                first, until = parts.popleft()
                if until not in rejected:
                    found.append(LinePosition(number, clean.start + first, until - first))
            number, start = number + 1, end + 1
            continue
        is_blank = end == start or (data[start] in b" \t\r" and not data[start:end].strip(b" \t\r"))
        if not is_blank and end not in rejected:
            found.append(LinePosition(number, clean.start + start, end - start))
        number, start = number + 1, end + 1
    return tuple(found)


def _document_positions(clean: CleanChunk, data: bytes) -> tuple[LinePosition, ...]:
    rejected = {rejection.end for rejection in clean.rejected}
    found, number, counted = [], 0, 0
    for start, end in clean.parts:
        number += data.count(b"\n", counted, start - clean.start)
        counted = start - clean.start
        if end not in rejected:
            found.append(LinePosition(number, start, end - start))
    return tuple(found)


def _count_lines(chunk: Chunk) -> int:
    """Count the lines in the source, including an unfinished last one.

    A document may be followed by its newline in the next chunk. Without data it is 1: the chunk
    represents one line that was too long to be read.
    """
    data = chunk.data
    if not data:
        return 1
    return count_byte(data, b"\n") + (not chunk.documents and not data.endswith(b"\n"))
