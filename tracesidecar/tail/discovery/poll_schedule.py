"""Which files are looked at in a turn: all of them by polling; with change notices those announced,
and the quiet ones in turns.
"""

from __future__ import annotations

import time

from tracesidecar.tail.file_table import File, FileTable

ROUND_SECONDS = 30.0
"""How long a quiet file may go without a look while change notices work."""

DISTRUST_SECONDS = 300.0
_LATE_NS = 3_000_000_000
"""A change this old must have been announced."""


class PollSchedule:
    """Chooses the quiet files of a turn, and judges whether notices can be trusted.

    `restless` files are looked at every turn.
    """

    def __init__(self, files: FileTable) -> None:
        self._files = files
        self._round: list[File] = []
        self._share = 0.0
        self._last = float("-inf")
        self._distrusted_until = float("-inf")
        self.restless: dict[int, File] = {}

    def trusts(self, now: float) -> bool:
        """Tell whether notices have lately missed nothing."""
        return now >= self._distrusted_until

    def distrust(self, now: float, changed_ns: int) -> None:
        """Note a change that no notice announced; one that is very young is not held against them."""
        if time.time_ns() - changed_ns > _LATE_NS:
            self._distrusted_until = now + DISTRUST_SECONDS

    def rest(self, file: File) -> None:
        """Count a file among the quiet ones."""
        self.restless.pop(file.id, None)
        if not self.restless:
            # gives back the table that a first scan of very many files has left
            self.restless.clear()

    def share(self, now: float) -> list[File]:
        """Return the part of the files whose turn it is: all of them once in `ROUND_SECONDS`."""
        elapsed = min(now - self._last, ROUND_SECONDS)
        self._last = now
        if not self._round:
            self._round = list(self._files)
            self._share = len(self._round) / ROUND_SECONDS
        count = int(self._share * elapsed) + 1
        share = self._round[-count:]
        del self._round[-count:]
        return [file for file in share if file.id in self._files]
