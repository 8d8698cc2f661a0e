"""Which known files have to be looked at before it is decided what a new one is.

A scan looks at a share of the known files, so a new file may be met before the one that it was made
of is known to be truncated, replaced or gone. Taken for a file of its own, it would be read beside
that one.
"""

from __future__ import annotations

from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.verification import Verification

_MOST_ROUNDS = 64
"""How often a new file waits for others: an agent may rewrite very many that begin like it."""


class Originals:
    """Finds the files that begin as a new one does, and have changed since they were looked at.

    Each is looked at once for a new file that waits for it, in this scan or, if there is no time,
    in a later one.
    """

    def __init__(
        self,
        files: FileTable,
        continuations: Continuations,
        verification: Verification,
        fingerprinter: Fingerprinter,
        scan: ScanContext,
    ) -> None:
        self._files = files
        self._continuations = continuations
        self._verification = verification
        self._fingerprinter = fingerprinter
        self._turns = scan.turns
        self._round = 0
        self._waiting: dict[int, int] = {}  # new files, and since which round
        self._compared: dict[int, int] = {}  # known files, and in which round
        self._outdated: dict[int, File] = {}
        self._verified: dict[int, bool] = {}  # whether known ones are outdated

    def await_comparison(self, file: File, head: bytes) -> bool:
        """Return whether a decision about a new file waits until others were looked at.

        `head` are its first bytes.
        """
        since = self._waiting.get(file.id, self._round)
        outdated: list[File] = []
        if self._round - since < _MOST_ROUNDS:
            digests: dict[int, bytes] = {}
            outdated = [
                known
                for known in self._continuations.find_similar(file, head)
                if self._compared.get(known.id, 0) <= since
                and self._begins_alike(known, head, digests)
                and self._is_outdated(known)
            ]
        if not outdated:
            self._waiting.pop(file.id, None)
            return False
        self._waiting[file.id] = since
        self._outdated |= {known.id: known for known in outdated}
        return True

    def take_outdated(self) -> list[File]:
        """Return the files to look at now, those for which there is time in this scan."""
        self._verified.clear()
        if not self._waiting:
            self._compared.clear()
            return []
        self._round += 1
        chosen = [
            known for known in self._outdated.values() if self._turns.take(known.source, "original")
        ]
        self._compared |= dict.fromkeys((known.id for known in chosen), self._round)
        self._outdated = {}
        self._waiting = {
            waiting: since for waiting, since in self._waiting.items() if waiting in self._files
        }
        return chosen

    def _begins_alike(self, known: File, head: bytes, digests: dict[int, bytes]) -> bool:
        """Return whether a file began as a new one does, as far as that has been written.

        `digests` has those of the beginnings of `head` that were needed before, by length.
        """
        length = known.prefix_length
        if length > len(head):
            return True
        if length not in digests:
            digests[length] = self._fingerprinter.digest(head[:length])
        return digests[length] == known.prefix_digest

    def _is_outdated(self, known: File) -> bool:
        """Verify a file once for all new ones that begin like it."""
        if known.id not in self._verified:
            self._verified[known.id] = self._verification.is_outdated(known)
        return self._verified[known.id]
