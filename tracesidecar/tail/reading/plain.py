"""An uncompressed file, read at offsets."""

from __future__ import annotations

import os


class PlainFile:
    """Reads through a descriptor that somebody else owns."""

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

    def size(self) -> int:
        """Return how long the file is now."""
        return os.fstat(self._descriptor).st_size
