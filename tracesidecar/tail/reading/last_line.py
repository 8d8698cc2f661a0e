"""Where the last whole line before a place in a file ends, found from that place backwards."""

from __future__ import annotations

from tracesidecar.tail.fingerprint import ByteSource

_BLOCK_BYTES = 64 << 10


def find_end_of_lines(source: ByteSource, start: int, end: int, *, max_line: int) -> int:
    """Return where the last whole line in [start, end) ends; `start` if there is none.

    The beginning of a line that is longer than allowed is not searched. Then the place is within
    that line, and more of it is behind the place than a line may have: it is rejected all the same.
    """
    lowest = max(start, end - max_line - 1)
    while lowest < end:
        begin = max(lowest, end - _BLOCK_BYTES)
        newline = source.pread(end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return lowest
