"""Files in, chunks out: the one door to everything in this package."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tracesidecar.model import Checkpoint, Chunk
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.walk import Discovery
from tracesidecar.tail.discovery.watcher import Watcher
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.poll_cycle import PollCycle
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.reading.reader import Reader
from tracesidecar.tail.segments import Scan, SegmentStore, SegmentView, State
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.scan_context import Parts, ScanContext
from tracesidecar.tail.tracking.segment_log import SegmentLog


def ignore(_: str) -> None:
    """Let a named moment pass."""


class Tailer:
    """Finds trace files, knows them again whatever happens to them, and reads them in chunks.

    Blocking, and for one thread. The caller gives the time; nothing here sleeps. Segments are in
    the store before they are reported.
    """

    def __init__(
        self,
        sources: Sequence[SourceOptions],
        store: SegmentStore,
        *,
        key: bytes,
        held_directory: str,
        held_limit: int,
        poll_interval: float = 1.0,
        notices: Watcher | None = None,
        at: Callable[[str], None] = ignore,
    ) -> None:
        """`key` keys all digests.

        After construction, call `settled` for each known segment: until then none of it counts as
        settled.
        """
        files = FileTable()
        access = OpenFiles(sources, files, held_directory=held_directory)
        hidden = [
            held_directory,
            *(source.hold_directory for source in sources if source.hold_directory),
        ]
        discovery = Discovery(sources, files, hidden=hidden)
        identity = Fingerprinter(key)
        pace = PollSchedule(files)
        takeovers = Continuations(sources, files, access, identity, pace.restless)
        ledger = SegmentLog(store, sources, access)
        self._parts = Parts(
            sources, files, access, discovery, identity, ledger, takeovers, pace, ScanContext(), at
        )
        self._admission = NewFiles(self._parts)
        self._survey = Changes(self._parts, self._admission)
        self._reader = Reader(self._parts)
        self._rounds = PollCycle(
            self._parts, self._admission, self._survey, notices, poll_interval=poll_interval
        )
        self._held_limit = held_limit
        self._is_first = True
        ledger.load(files, discovery.directory)
        for segment in access.held.segments():
            if segment not in files:
                access.held.release(segment)
        ledger.correct_protection(files)

    def scan(self, now: float, *, full: bool = False) -> Scan:
        """Take one turn of discovery.

        `full` looks at everything, whatever change notices say (the last scan before a drain).
        """
        parts, turn = self._parts, self._parts.turn
        turn.begin(now)
        parts.takeovers.begin_turn(now)
        if self._is_first:
            self._resume()
        is_searching = self._rounds.visit(now, full=full)
        self._survey.look_at_deleted()
        self._admission.decide()
        self._admission.expire(searched=is_searching)
        self._is_first = False
        parts.ledger.flush(now)
        return self._result()

    def read(
        self, segment: int, at: Checkpoint, *, final: bool = False, until: int | None = None
    ) -> Chunk | None:
        """Return the chunk at a checkpoint; None when nothing whole is there now, or what is there
        is no longer this segment.

        `final`: the writer is gone, so a last line without newline is taken too. `until` is where a
        line begins at which the chunk ends, if it would not end before.
        """
        file = self._parts.files.get(segment)
        return None if file is None else self._reader.read(file, at, final=final, until=until)

    def read_range(self, segment: int, start: int, end: int) -> Iterator[bytes] | None:
        """Return the bytes [start, end) again, in pieces of whole lines; None when they are gone.

        Lines that `read` passed over as too long are passed over again. The caller compares
        digests: a file may change under the reader, and then the pieces end early or differ.
        """
        file = self._parts.files.get(segment)
        return None if file is None else self._reader.read_range(file, start, end)

    def settled(self, segment: int, offset: int) -> None:
        """Every required sink has committed up to here: what only protected the bytes before is
        released; a loss reported is acknowledged.
        """
        file = self._parts.files.get(segment)
        if file is None:
            return
        file.settle(offset)
        if file.settled < file.length:
            return
        if file.state == "lost":
            self._acknowledge(file)
        elif file.state == "live" and self._reader.is_read_to_end(file):
            self._parts.access.release(file)

    def retain(self, segments: frozenset[int]) -> None:
        """Keep these readable beyond deletion where a link can be had, settled or not: refused
        lines in them may be asked for again.
        """
        access, files = self._parts.access, self._parts.files
        before, access.retained = access.retained, segments
        for segment in segments - before:
            file = files.get(segment)
            descriptor = access.descriptor(file) if file is not None else None
            if file is not None and descriptor is not None:
                access.protect(file, os.fstat(descriptor))
        for segment in before - segments:
            self.settled(segment, 0)

    def segments(self) -> Mapping[int, SegmentView]:
        """Return every segment as it is now; views are made when looked up."""
        return self._reader.views()

    def counts(self) -> Mapping[tuple[str, State], int]:
        """Return how many files each source has in each state."""
        return Counter(
            (self._parts.sources[file.source].name, file.state) for file in self._parts.files
        )

    def close(self) -> None:
        """Save what is known and close all files; links stay for the next run."""
        self._parts.access.close()
        self._parts.ledger.flush(0.0, everything=True)

    def _resume(self) -> None:
        """Report losses that nobody acknowledged, and look for the files that an earlier run could
        not find.
        """
        parts = self._parts
        for file in parts.files:
            if file.state == "lost":
                parts.turn.losses.append(parts.loss(file))
            elif file.state in ("ended", "missing", "deleted"):
                parts.takeovers.orphan(file, parts.turn.now)
            if file.state == "deleted" and parts.access.descriptor(file) is None:
                # nothing held it over the restart, so its inode may be another file's by now
                file.state = "missing"
            if file.state == "live" and file.compression != "none" and not file.is_whole:
                parts.turn.changed[file.id] = None  # how much is in it was not known yet
            parts.discovery.recall_rotation(file)
            if file.state in ("ended", "lost"):
                parts.files.detach(file)

    def _acknowledge(self, file: File) -> None:
        if file.loss in ("corrupt", "bomb"):
            file.state = "spent"  # it is still there, and still no trace
            self._parts.ledger.save(file)
        else:
            self._parts.forget(file)

    def _result(self) -> Scan:
        parts, turn = self._parts, self._parts.turn
        held_bytes = sum(
            orphan.file.size
            for orphan in parts.takeovers.orphans.values()
            if orphan.file.state == "deleted"
        )
        if held_bytes > self._held_limit:
            turn.warn(
                "held_limit",
                "",
                "deleted files that sinks have not finished take more space than held_limit; they are kept",
            )
        else:
            turn.warned.discard(("held_limit", ""))
        scan = Scan(
            tuple(turn.changed), tuple(turn.added), tuple(turn.losses), tuple(turn.warnings),
            len(parts.files), len(parts.takeovers.waiting), turn.refused, held_bytes,
        )  # fmt: skip
        turn.end()
        return scan
