"""What the journal knows of the files: loaded at start, saved in one transaction a turn."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence

from tracesidecar.model import Checkpoint
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.segments import SegmentRecord, SegmentStore

_LAZY_SECONDS = 30.0
"""How long a mere change of size or time may wait: it saves a verification at the next start,
nothing more.
"""


class SegmentLog:
    """Saves what has changed, and forgets what is over."""

    def __init__(
        self, store: SegmentStore, sources: Sequence[SourceOptions], access: OpenFiles
    ) -> None:
        self._store = store
        self._access = access
        self._names = [source.name for source in sources]
        self._urgent: dict[int, File] = {}
        self._lazy: dict[int, File] = {}
        self._over: set[int] = set()
        self._saved_at = 0.0

    def load(self, files: FileTable, directory: Callable[[str], Directory]) -> None:
        """Bring back the files of the sources that still exist."""
        frontier = self._store.frontier()
        for record in self._store.load_segments():
            if record.source in self._names:
                place = directory(os.path.dirname(record.path))
                files.add(
                    _revived(
                        record, self._names.index(record.source), place, frontier.get(record.id)
                    )
                )

    def correct_protection(self, files: FileTable) -> None:
        """Record, at start, what protects each file now: the descriptors of the earlier run ended
        with it, and somebody may have removed a link.
        """
        for file in files:
            if self._access.protection(file) != file.recorded_protection:
                self.save(file)
        self._save_urgent()

    def new_id(self, files: FileTable) -> int:
        """Return an id that no segment has had: drawn, because ids of forgotten segments live on in
        quarantine.
        """
        while (drawn := secrets.randbits(53)) in files or not drawn:
            pass
        return drawn

    def save(self, file: File) -> None:
        """Have the file's record saved at the end of this turn."""
        if file.state != "new":
            self._urgent[file.id] = file

    def save_lazily(self, file: File) -> None:
        """Have the file's record saved some time: of a file that is still empty too, so that it is
        known should it be rotated while we are down.
        """
        self._lazy[file.id] = file

    def forget(self, file: File) -> None:
        """Have the file's record removed at the end of this turn."""
        self._urgent.pop(file.id, None)
        self._lazy.pop(file.id, None)
        self._over.add(file.id)

    def flush(self, now: float, *, everything: bool = False) -> None:
        """Save: urgent records now, the others with them or when their time has come."""
        if everything or now - self._saved_at >= _LAZY_SECONDS:
            self._urgent |= self._lazy
            self._lazy = {}
            self._saved_at = now
        for file in self._access.newly_protected():
            self.save(file)
        self._save_urgent()
        if self._over:
            self._store.forget_segments(sorted(self._over))
            self._over = set()

    def _save_urgent(self) -> None:
        if not self._urgent:
            return
        records = [
            file.record(self._names[file.source], self._access.protection(file))
            for file in self._urgent.values()
        ]
        self._store.save_segments(records)
        for file, record in zip(self._urgent.values(), records, strict=True):
            file.recorded_protection = record.protection
        self._urgent = {}


def _revived(
    record: SegmentRecord, source: int, directory: Directory, reach: Checkpoint | None
) -> File:
    file = File(
        record.id,
        source,
        directory,
        os.path.basename(record.path),
        record.device,
        record.inode,
        record.generation,
    )
    file.size, file.modified_ns, file.changed_ns = (
        record.size,
        record.modified_ns,
        record.changed_ns,
    )
    file.prefix_length, file.prefix_digest = record.prefix_length, record.prefix_digest
    file.state, file.compression, file.loss = record.state, record.compression, record.loss
    file.origin = record.origin
    file.recorded_protection, file.can_link = record.protection, record.can_link
    file.length, file.is_whole = (
        record.size if record.compression == "none" else record.length,
        record.is_whole,
    )
    if reach is not None:
        file.advance(reach)
    return file
