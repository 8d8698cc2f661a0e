"""Small archives that expand far take turns."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.reading.expansion import ExpansionLimit
from tracesidecar.tail.scan_context import ScanContext


class ExpandedArchives:
    """Has archives that wait for a turn read on."""

    def __init__(
        self, files: FileTable, limits: Sequence[ExpansionLimit], scan: ScanContext
    ) -> None:
        """`limits` are those of the sources, in their order."""
        self._files = files
        self._limits = limits
        self._scan = scan

    def recall(self) -> None:
        """Have the first one of each source read on, if the source has a turn for it."""
        recalled: set[int] = set()
        for segment, expansion in self._scan.expanded.items():
            file = self._files.get(segment) if expansion and expansion.is_postponed else None
            if file is None or file.source in recalled:
                continue
            recalled.add(file.source)
            if self._limits[file.source].has_turn:
                self._scan.changed[segment] = None
