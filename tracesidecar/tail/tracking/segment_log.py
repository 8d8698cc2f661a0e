"""What the journal knows of the files: loaded at start, saved in one transaction a scan."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from tracesidecar.errors import StateUnavailable
from tracesidecar.model import Checkpoint
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.segments import (
    MountIdentity,
    Rest,
    SegmentRecord,
    SegmentState,
    SegmentStore,
)
from tracesidecar.tail.tracking.file_records import record_file, revive_file

_LAZY_SECONDS = 30.0
"""How long a mere change of size or time may wait to be saved: it spares a verification at the next
start, nothing more.
"""

LAZY_AT_ONCE = 64
"""How many of these a scan saves: there may be as many as files."""

Adopt = Callable[[Mapping[int, SegmentRecord], Mapping[int, Checkpoint]], None]


class SegmentLog:
    """Saves the records that have changed, and removes those of segments that are over."""

    def __init__(self, store: SegmentStore, files: FileTable, held_files: HeldFiles) -> None:
        self._store = store
        self._files = files
        self._held_files = held_files
        self._urgent: dict[int, File] = {}
        self._lazy: dict[int, File] = {}
        self._over: set[int] = set()
        self._withheld: frozenset[int] = frozenset()
        self._successions: list[tuple[int, int, Checkpoint]] = []
        self._saved_at = 0.0

    def load(
        self,
        sources: Sequence[SourceOptions],
        directory: Callable[[str], Directory],
        adopt: Adopt,
        rest: Rest,
    ) -> None:
        """Bring back the files of the sources that still exist, and correct their protection.

        The descriptors of the earlier run ended with it, and somebody may have removed a link.
        `adopt` is called with the records of other sources, and with what sinks have committed.
        `rest` says which segments are left in the journal.
        """
        names = [source.name for source in sources]
        records = self._store.load(rest)
        frontier = self._store.load_frontier([record.id for record in records])
        mounts: dict[MountIdentity, MountIdentity] = {}
        unloaded: dict[int, SegmentRecord] = {}
        for record in records:
            if record.source in names:
                parent = directory(os.path.dirname(record.path))
                source = names.index(record.source)
                file = revive_file(record, source, parent, frontier.get(record.id))
                if file.place is not None:  # very many are equal
                    file.note_place(mounts.setdefault(file.place, file.place))
                self._files.add(file)
            else:
                unloaded[record.id] = record
        adopt(unloaded, frontier)
        for file in self._files:
            if self._held_files.protection(file) != file.recorded_protection:
                self.save(file)
        with suppress(StateUnavailable):  # the first scan saves what cannot be saved now
            self._save_urgent()

    def new_id(self) -> int:
        """Return an id that no segment has had.

        It is drawn by lot, because the ids of forgotten segments live on in the quarantine.
        """
        while (drawn := secrets.randbits(53)) in self._files or not drawn:
            pass
        return drawn

    def save(self, file: File) -> None:
        """Have the file's record saved at the end of this scan."""
        if file.state is not SegmentState.NEW:
            self._urgent[file.id] = file

    def save_lazily(self, file: File) -> None:
        """Have the file's record saved within half a minute.

        This includes a file that is still empty: if it is rotated while the daemon is down, it is
        recognized.
        """
        self._lazy[file.id] = file

    def save_new(self, file: File) -> None:
        """Have the record of a file that is not taken yet saved at the end of this scan."""
        self._urgent[file.id] = file

    def save_undecided(self, file: File) -> None:
        """Save the record of a file that is not taken yet, now."""
        self._urgent[file.id] = file
        self._save_urgent()

    def withhold(self, segments: frozenset[int]) -> None:
        """Leave the records of these segments as they are, and save those of the former ones.

        After a crash, the next run finds out by itself what has become of their files.
        """
        self._withheld = segments

    def forget(self, file: File) -> None:
        """Have the file's record removed at the end of this scan."""
        self._urgent.pop(file.id, None)
        self._lazy.pop(file.id, None)
        self._over.add(file.id)

    def forget_resting(self, segment: int) -> None:
        """Have the record of a segment that was never loaded removed at the end of this scan."""
        self._over.add(segment)

    def is_over(self, segment: int) -> bool:
        """Return whether the record of a segment is about to be removed."""
        return segment in self._over

    def replace_segment(self, former: int, segment: int, limit: Checkpoint) -> None:
        """Have each sink go on in another segment where it is in the former, at `limit` at most."""
        self._successions.append((former, segment, limit))

    def flush(self, now: float, *, everything: bool = False) -> None:
        """Save the urgent records, and the others with them when their time has come.

        What cannot be saved stays for the next call.
        """
        if everything:
            self._urgent |= self._lazy
            self._lazy = {}
        elif now - self._saved_at >= _LAZY_SECONDS:
            for segment in list(islice(self._lazy, LAZY_AT_ONCE)):
                self._urgent[segment] = self._lazy.pop(segment)
            if not self._lazy:
                self._saved_at = now
        # A link before its row: a link without a row is taken up again, from what its name says.
        # A removal before the row's: what is delivered is not taken up again.
        self._held_files.sync()
        for file in self._held_files.find_changed_protection():
            self.save(file)
        # A segment must not be found at the next start without the offsets that it begins with.
        while self._successions:
            self._store.copy_offsets(*self._successions[0])
            del self._successions[0]
        # First what is over: a copy that was saved while it was empty must not be found beside the
        # segment that goes on in it, as a file of its own.
        over = {segment for segment in self._over if self._held_files.may_forget(segment)}
        if over:
            self._store.forget(sorted(over))
            self._over -= over
        self._save_urgent()

    def _save_urgent(self) -> None:
        files = [file for segment, file in self._urgent.items() if segment not in self._withheld]
        if not files:
            return
        records = [
            record_file(file, self._files.options(file).name, self._held_files.protection(file))
            for file in files
        ]
        self._store.save(records)
        for file, record in zip(files, records, strict=True):
            file.note_recorded(record.protection)
            del self._urgent[file.id]
