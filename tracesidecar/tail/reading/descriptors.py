"""Open files, as many as the process may have; the least recently used are closed first."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from collections.abc import Callable

_OTHERS = 40
"""Descriptors that the rest of the process needs: journal, sockets, log."""

_MOST = 1024

_RESERVE = 12
"""Descriptors that are left for what sinks and the journal open for a moment."""


def descriptor_limit() -> int:
    """Return how many files may be kept open under this process's RLIMIT_NOFILE."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(_MOST, (soft - _OTHERS) // 2))


class Descriptors:
    """Descriptors by segment, up to a limit."""

    def __init__(
        self, limit: int, may_close: Callable[[int], bool], closed: Callable[[int], None]
    ) -> None:
        """`may_close` returns whether a segment could be opened again.

        `closed` is called before its descriptor is closed.
        """
        self._limit = limit
        self._may_close = may_close
        self._closed = closed
        self._open: OrderedDict[int, int] = OrderedDict()

    def __contains__(self, segment: int) -> bool:
        return segment in self._open

    def segments(self) -> list[int]:
        """Return the segments whose files are open."""
        return list(self._open)

    def get(self, segment: int) -> int | None:
        """Return the segment's descriptor if it is open."""
        descriptor = self._open.get(segment)
        if descriptor is not None:
            self._open.move_to_end(segment)
        return descriptor

    def open(self, opens: Callable[[], int]) -> int:
        """Open a file by this, for the caller to `keep` or close.

        If the process has no descriptor left, another file is closed.
        """
        while True:
            try:
                return opens()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._close_one():
                    raise

    def keep(self, segment: int, descriptor: int) -> None:
        """Take over a descriptor, in place of the segment's former one.

        Others are closed if they are too many, or if the process has hardly any left: the kernel
        gives the lowest number that is free, and the limit may change while the process runs.
        """
        self.close(segment)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        excess = max(len(self._open) + 1 - self._limit, descriptor + 1 - (soft - _RESERVE))
        while excess > 0 and self._close_one():
            excess -= 1
        self._open[segment] = descriptor

    def hand_over(self, segment: int, successor: int) -> None:
        """Let another segment have the descriptor of this one, if it is open."""
        descriptor = self._open.pop(segment, None)
        if descriptor is not None:
            self._closed(segment)
            self.keep(successor, descriptor)

    def close(self, segment: int) -> None:
        """Close the segment's descriptor if it is open."""
        descriptor = self._open.pop(segment, None)
        if descriptor is not None:
            self._closed(segment)
            os.close(descriptor)

    def close_all(self) -> None:
        """Close them all."""
        for segment in list(self._open):
            self.close(segment)

    def _close_one(self) -> bool:
        oldest = next((segment for segment in self._open if self._may_close(segment)), None)
        if oldest is not None:
            self.close(oldest)
        return oldest is not None
