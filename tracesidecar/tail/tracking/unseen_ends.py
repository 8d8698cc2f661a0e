"""Files that went while nobody looked, and may yet be found elsewhere."""

from __future__ import annotations

import time

from tracesidecar.tail.file_table import File
from tracesidecar.tail.segments import IN_USE_NS, SegmentState


class UnseenEnds:
    """The segments to which more may have been written, unseen, before their files went."""

    def __init__(self) -> None:
        self._segments: set[int] = set()
        self._is_first_scan = True

    def __contains__(self, file: File) -> bool:
        return file.id in self._segments

    def __len__(self) -> int:
        return len(self._segments)

    def note(self, file: File) -> None:
        """Note that a file is gone, if it went before the first scan and was in use then."""
        if self._is_first_scan and _was_in_use(file):
            self._segments.add(file.id)

    def discard(self, file: File) -> None:
        """Note that a file is found, or its end reported."""
        self._segments.discard(file.id)

    def end_first_scan(self) -> None:
        """Note that what goes from now on goes while somebody looks."""
        self._is_first_scan = False


def _was_in_use(file: File) -> bool:
    """Return whether a file was written so lately that more may have followed unseen."""
    return file.state is SegmentState.LIVE and time.time_ns() - file.modified_ns < IN_USE_NS
