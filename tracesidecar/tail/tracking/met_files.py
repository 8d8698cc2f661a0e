"""Which files scans have met lately, and when: a notice of a file may be late."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

from tracesidecar.tail.file_table import File

_REPLACED_SECONDS = 10.0
"""How late a notice of a file may be that scans have met, and no longer know."""

_MOST_REPLACED = 1000

_NOTICE_SECONDS = 0.1
"""A scan may have met a file this much earlier than the notice of it was read."""

_MOST_MET = 10_000


class MetFiles:
    """Tells a notice of a file that a scan has met from one of a file that nobody has seen.

    All times are of the monotonic clock.
    """

    def __init__(self) -> None:
        self._met: dict[tuple[int, int], float] = {}
        self._replaced: dict[tuple[int, int], tuple[str, float, float]] = {}

    def note(self, status: os.stat_result) -> None:
        """Note that a scan meets a file for the first time."""
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met[status.st_dev, status.st_ino] = time.monotonic()

    def note_replaced(self, file: File) -> None:
        """Note that a file is known no longer under its inode and path."""
        if len(self._replaced) >= _MOST_REPLACED:
            self._replaced.clear()
        if file.inode:
            inode = file.device, file.inode
            met = self._met.get(inode, float("-inf"))
            self._replaced[inode] = file.path, time.monotonic(), met

    def is_met_between(self, file: File, noticed: float, until: float) -> bool:
        """Return whether a scan first met a file after, or just before, a notice was read.

        And before `until`.
        """
        met = self._met.get((file.device, file.inode), float("-inf"))
        return noticed - _NOTICE_SECONDS <= met <= until

    def take_replaced(
        self, path: str, seen: Collection[tuple[int, int]], noticed: float, until: float
    ) -> bool:
        """Return whether scans met a file at a path that they no longer know; once for each file.

        It was replaced in the last seconds, first met as `is_met_between` says, and has none of the
        inodes in `seen`.
        """
        oldest = time.monotonic() - _REPLACED_SECONDS
        for inode, (met_at, since, met) in list(self._replaced.items()):
            if since < oldest:
                del self._replaced[inode]
            elif met_at == path and inode not in seen and noticed - _NOTICE_SECONDS <= met <= until:
                del self._replaced[inode]
                return True
        return False
