"""A file that is not compressed, read at its offsets."""

from __future__ import annotations

import os

from tracesidecar.tail.reading.holes import find_data


class PlainFile:
    """An uncompressed file, read through a descriptor that its caller owns."""

    is_complete = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pread(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes at `offset`; fewer only at the end of the file."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        parts = [data]  # one pread gives at most 2 GiB, and less after a signal
        have = len(data)
        while have < length and (data := os.pread(self._descriptor, length - have, offset + have)):
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def find_data(self, offset: int) -> int:
        """Return where a hole at an offset ends, the offset itself if there is none."""
        return find_data(self._descriptor, offset)

    def status(self) -> os.stat_result:
        """Return the stat of the file as it is now."""
        return os.fstat(self._descriptor)

    def size(self) -> int:
        """Return how long the file is now."""
        return os.fstat(self._descriptor).st_size
