"""Files in, chunks out: the one way into this package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from tracesidecar.json_documents import Ending
from tracesidecar.model import BEGINNING, Checkpoint, Chunk
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.link_maintenance import LinkMaintenance
from tracesidecar.tail.inventory import Inventory
from tracesidecar.tail.limits import ReachedLimit
from tracesidecar.tail.reading.chunker import USUAL_LIMITS, ReadLimits
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.reading.reader import SegmentReader
from tracesidecar.tail.scan_sequence import ScanSequence
from tracesidecar.tail.segments import (
    Loss,
    Scan,
    SegmentState,
    SegmentView,
    SkipReason,
    SourceSummary,
    UndecidedFile,
    UnreadablePath,
    UnreadFile,
)
from tracesidecar.tail.tracking.acknowledgement import Acknowledgements
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.resting import RestingSegments
from tracesidecar.tail.tracking.segment_log import SegmentLog


class Tailer:
    """Finds trace files, recognizes them whatever happens to them, and reads them in chunks.

    All calls block and must come from one thread. The caller gives the time; nothing here sleeps. A
    segment is in the store before it is reported. `tail.build.build_tailer` makes one.
    """

    def __init__(
        self,
        *,
        files: FileTable,
        scan_sequence: ScanSequence,
        reader: SegmentReader,
        landmarks: LandmarkKeeper,
        log: SegmentLog,
        acknowledgements: Acknowledgements,
        inventory: Inventory,
        resting: RestingSegments,
        lifecycle: Lifecycle,
        own: OwnPaths,
        arrivals: Arrivals,
        link_maintenance: LinkMaintenance,
        open_files: OpenFiles,
    ) -> None:
        self._files = files
        self._scan_sequence = scan_sequence
        self._reader = reader
        self._landmarks = landmarks
        self._log = log
        self._acknowledgements = acknowledgements
        self._inventory = inventory
        self._resting = resting
        self._lifecycle = lifecycle
        self._own = own
        self._arrivals = arrivals
        self._link_maintenance = link_maintenance
        self._open_files = open_files

    def scan(self, now: float, *, full: bool = False) -> Scan:
        """Poll the files and return the findings.

        `full` looks at everything, whatever change events say (the last scan before a drain). If
        saving fails, the error is raised, and the next scan returns these findings too.
        """
        return self._scan_sequence.scan(now, full=full)

    def find_losses(self, ending: Collection[int] = ()) -> tuple[Loss, ...]:
        """Return the losses that reading has shown since the last scan, without a scan.

        So are the rests of the segments in `ending`: nobody will read them before this process
        ends. If saving fails, the error is raised, and the next scan returns them too.
        """
        return self._scan_sequence.find_losses(ending)

    def list_ending(self) -> frozenset[int]:
        """Return the segments with undelivered bytes that only this process has open.

        Their files were deleted, and no link of ours could be made.
        """
        return self._lifecycle.list_ending()

    def copy_descriptors(self) -> dict[int, int]:
        """Return new descriptors of the files that only this process can read, by segment.

        The next tailer of this process inherits them.
        """
        return self._open_files.copy_unreachable()

    def read(
        self,
        segment: int,
        at: Checkpoint,
        *,
        final: bool = False,
        resting: bool = False,
        until: int | None = None,
        limits: ReadLimits = USUAL_LIMITS,
    ) -> Chunk | None:
        """Return the chunk at a checkpoint.

        None if no whole line is there now, or if the file is no longer this segment. `final`: the
        writer is gone, so a last line without newline is returned too. `resting`: nothing was
        written for a while, so of documents a last one is returned that is complete or beyond
        repair, and a last line if it is UTF-16. `until` is the beginning of a line at which the
        chunk ends, if it would not end before. If a line or document is too long to be measured
        within the `limits`: None, and `is_measuring`, until it is done.
        """
        ending = Ending.FINAL if final else Ending.RESTING if resting else Ending.OPEN
        file = self._files.get(segment)
        if file is None:
            return None
        chunk = self._reader.read(file, at, ending=ending, until=until, limits=limits)
        if chunk is not None and not self._files.options(file).documents:
            self._landmarks.note_reading(file)  # lines mean nothing in a document
        return chunk

    def is_measuring(self, segment: int, offset: int) -> bool:
        """Return whether more of the long line or document at an offset can be measured now."""
        file = self._files.get(segment)
        return file is not None and self._reader.is_measuring(file, offset)

    def is_queued(self, segment: int) -> bool:
        """Return whether an archive was not read, because others are to be read first."""
        file = self._files.get(segment)
        return file is not None and self._reader.is_queued(file)

    def is_unfinished(self, segment: int, start: int, end: int) -> bool:
        """Return whether [start, end) is the beginning of one line or document, and can be read."""
        file = self._files.get(segment)
        return file is not None and self._reader.is_unfinished(file, start, end)

    def is_utf16(self, segment: int, offset: int) -> bool:
        """Return whether what is at an offset, if it can be read, begins as JSON in UTF-16 does."""
        file = self._files.get(segment)
        return file is not None and self._reader.is_utf16(file, offset)

    def is_writer_gone(self, segment: int) -> bool:
        """Return whether no byte will be added to a segment: read it with `final=True`."""
        file = self._files.get(segment)
        return file is not None and file.is_writer_gone

    def read_range(self, segment: int, start: int, end: int) -> Iterator[bytes] | None:
        """Return the bytes [start, end) again, in pieces of whole lines; None if they are gone.

        Documents come in pieces of any size. Lines that `read` skipped as too long are skipped
        again. The caller compares digests: a file may change while it is read, and then the pieces
        end early or differ.
        """
        file = self._files.get(segment)
        return None if file is None else self._reader.read_range(file, start, end)

    def count_newlines(
        self, segment: int, start: int, end: int, most_bytes: int
    ) -> tuple[int, int] | None:
        """Return how many newlines are in [start, end) of a file, and how far that was read.

        About `most_bytes` are read. None if the file cannot be read up to `end`.
        """
        file = self._files.get(segment)
        if file is None:
            return None
        return self._reader.count_newlines(file, start, end, most_bytes)

    def find_checkpoint(self, segment: int, offset: int) -> Checkpoint:
        """Return the checkpoint at an offset of a segment's file as it is now.

        If the file cannot be read, the checkpoint proves nothing: it only says how far one was.
        """
        file = self._files.get(segment)
        found = None if file is None else self._reader.find_checkpoint(file, offset)
        return found or Checkpoint(offset, b"")

    def find_successor(self, segment: int) -> tuple[int, int] | None:
        """Return where a segment goes on whose file was shortened or rewritten; None if nowhere.

        That is the segment which has its unchanged beginning now, and how many bytes these are.
        """
        return self._files.find_successor(segment)

    def mark(self, segments: Iterable[int]) -> dict[int, bytes]:
        """Return the landmarks of segments, for `SegmentStore.save_landmarks`.

        They are made as far as the files were read, and only if that was since the last time: save
        them before what was read is sent. What is not saved then is saved after the next scan.
        """
        files = (self._files.get(segment) for segment in segments)
        marks = {file.id: self._landmarks.mark(file) for file in files if file is not None}
        return {segment: mark for segment, mark in marks.items() if mark is not None}

    def find_end(self, segment: int, limit: int | None = None) -> Checkpoint:
        """Return the end of the last whole line of a file in any state, before `limit` if given.

        The file is recorded at once, so that it is the same segment after a restart. Documents end
        where the file does. If the file cannot be read, the checkpoint proves nothing: its digest
        is empty.
        """
        file = self._files.get(segment)
        if file is None:
            return BEGINNING
        self._log.save_undecided(file)
        return self._reader.find_end(file, limit)

    def list_known(self) -> list[int]:
        """Return the ids of all files, also of those that are no segments yet."""
        return [file.id for file in self._files]

    def acknowledge(self, segment: int, offset: int) -> None:
        """Note that every required sink has committed a segment up to an offset.

        What only protected the bytes before it is released. A reported loss is acknowledged by the
        segment's size.
        """
        self._acknowledgements.acknowledge(segment, offset)

    def retain(self, segments: frozenset[int]) -> None:
        """Keep these segments readable after deletion where a link is possible, even if finished.

        Rejected lines in them may be redriven. Segments retained before are released.
        """
        self._acknowledgements.retain(segments)

    def measure_retained(self) -> Mapping[int, int]:
        """Return the size of each retained file that is deleted: only we keep it."""
        return self._inventory.measure_retained()

    def announce_recalls(self, announce: Callable[[Collection[int]], object]) -> None:
        """Call this with segments that were at rest, before they are known again.

        If it raises an error, they stay at rest, and the scan fails.
        """
        self._resting.announce_by(announce)

    def note_own_paths(self, paths: Iterable[str]) -> None:
        """Note further directories and files that this program writes."""
        self._own.add(paths)

    def count_skipped(self) -> Mapping[tuple[str, SkipReason], int]:
        """Return how much each source does not read that its patterns match, by reason."""
        return self._inventory.count_skipped()

    def segments(self) -> Mapping[int, SegmentView]:
        """Return a view of every segment, made when it is looked up."""
        return self._inventory.segments()

    def list_undecided(self) -> list[UndecidedFile]:
        """Return the files that wait because they may be copies in progress.

        What is in them is undelivered as long as nobody knows better.
        """
        return self._inventory.list_undecided()

    def list_unread(self) -> list[UnreadFile]:
        """Return the files that cannot be read now; sinks may lack something of them."""
        return self._inventory.list_unread()

    def is_unreadable(self, segment: int) -> bool:
        """Return whether a file could not be read when that was last tried."""
        return self._inventory.is_unreadable(segment)

    def counts(
        self, segments: Iterable[int] | None = None
    ) -> Mapping[tuple[str, SegmentState], int]:
        """Return how many files, of these or of all, each source has in each state."""
        return self._inventory.counts(segments)

    def summarize(self) -> dict[str, SourceSummary]:
        """Return what each source has on disk, and how its files are protected."""
        return self._inventory.summarize()

    def list_reached_limits(self) -> tuple[ReachedLimit, ...]:
        """Return the budgets at which sources wait, in the order of the sources."""
        return self._inventory.list_reached_limits()

    def list_unreadable(self) -> list[UnreadablePath]:
        """Return what exists and cannot be read now: directories first, then files."""
        return self._inventory.list_unreadable()

    def close(self, *, releases_delivered: bool = False) -> None:
        """Close all files and save what is known; links stay for the next run.

        `releases_delivered`: those of files that every sink has do not, because nobody knows when
        there will be a next run.
        """
        if releases_delivered:
            self._link_maintenance.release_delivered()
            self._arrivals.release_empty()
        else:
            self._link_maintenance.sweep()
        self._arrivals.close()
        self._open_files.close()
        self._landmarks.flush()
        self._log.flush(0.0, everything=True)
