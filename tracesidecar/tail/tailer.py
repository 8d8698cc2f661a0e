"""Files in, chunks out: the one way into this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tracesidecar.json_documents import Ending
from tracesidecar.model import BEGINNING, Checkpoint, Chunk
from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.own_places import OwnPlaces
from tracesidecar.tail.discovery.owners import Owners
from tracesidecar.tail.discovery.places import Places
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.rotated_names import RotatedNames
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.discovery.walk import Discovery
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.hard_links import HardLinks
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.holding.link_folder import list_own_folders
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.poll_cycle import PollCycle
from tracesidecar.tail.reading.descriptors import descriptor_limit
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.reading.reader import SegmentReader
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import (
    READABLE_STATES,
    Loss,
    Protection,
    Scan,
    SegmentRecord,
    SegmentState,
    SegmentStore,
    SegmentView,
    SkipReason,
    SourceSummary,
    UndecidedFile,
    UnreadablePlace,
    WarningKind,
    observe_protection,
)
from tracesidecar.tail.tracking.adoption import Adoption
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.identification import Identification
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.new_files import CandidateOpener, NewFiles
from tracesidecar.tail.tracking.resting import RestingSegments
from tracesidecar.tail.tracking.segment_log import SegmentLog
from tracesidecar.tail.tracking.verification import Verification

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher


def ignore(_: str) -> None:
    """Do nothing at a named point; tests pass a function that is called there."""


class Tailer:
    """Finds trace files, recognizes them whatever happens to them, and reads them in chunks.

    All calls block and must come from one thread. The caller gives the time; nothing here sleeps. A
    segment is in the store before it is reported.
    """

    def __init__(
        self,
        sources: Sequence[SourceOptions],
        store: SegmentStore,
        *,
        key: bytes,
        link_directory: str,
        held_limit: int,
        own_paths: Sequence[str] = (),
        poll_interval: float = 1.0,
        watcher: Watcher | None = None,
        progress: Progress | None = None,
        at: Callable[[str], None] = ignore,
    ) -> None:
        """Load the known segments from the store.

        `key` keys all digests. `link_directory` is where hard links are made, unless a source has a
        directory of its own. `own_paths` are directories and files that this program writes:
        nothing in them is read as traces. More than `held_limit` bytes of deleted files cause a
        warning. `at` is called before something irreversible is saved. Each piece of work is noted
        in `progress`, which may end a scan with Interrupted.

        Call `acknowledge` for each known segment next: until then, no sink counts as having any of
        it.
        """
        own_directories = [
            source.hold_directory for source in sources if source.hold_directory is not None
        ]
        fingerprinter = Fingerprinter(key)
        self._sources = sources
        self._scan = ScanContext(progress or Progress())
        self._files = files = FileTable(sources)
        globs = SourceGlobs(sources)
        self._tree = tree = Tree(sources, most_kept=descriptor_limit() // 8)
        # first: it gives the links that are no arrivals any more the name of the others
        self._own = own = OwnPlaces(
            [*own_paths, link_directory], folders=list_own_folders(own_directories)
        )
        owners = Owners(sources)
        self._arrivals = arrivals = Arrivals(globs, sources, link_directory, owners=owners, own=own)
        hard_links = HardLinks(link_directory, own_directories)
        self._open_files = OpenFiles(files, hard_links, arrivals, tree=tree, owners=owners, own=own)
        self._held_files = HeldFiles(
            files,
            self._open_files,
            hard_links,
            arrivals,
            self._scan,
            tree=tree,
            limit_bytes=held_limit,
        )
        self._log = SegmentLog(store, files, self._held_files)
        self._places = Places(globs, tree)
        self._discovery = Discovery(
            tree,
            globs,
            RotatedNames(globs, tree),
            files,
            self._places,
            own=self._own,
            progress=self._scan.progress,
        )
        schedule = PollSchedule(files, self._discovery, tree)
        self._continuations = Continuations(files, self._open_files, fingerprinter, schedule)
        self._lifecycle = Lifecycle(
            files=files,
            places=self._places,
            held_files=self._held_files,
            schedule=schedule,
            continuations=self._continuations,
            log=self._log,
            scan=self._scan,
            at=at,
        )
        opener = CandidateOpener(
            self._open_files,
            arrivals,
            fingerprinter,
            tree=tree,
            log=self._log,
            scan=self._scan,
        )
        self._new_files = NewFiles(
            files,
            self._discovery,
            opener,
            self._continuations,
            self._lifecycle,
            tree=tree,
            progress=self._scan.progress,
        )
        self._landmarks = LandmarkKeeper(self._open_files, fingerprinter, store)
        verification = Verification(self._open_files, fingerprinter, self._landmarks)
        self._changes = Changes(
            tree=tree,
            files=files,
            discovery=self._discovery,
            places=self._places,
            open_files=self._open_files,
            verification=verification,
            lifecycle=self._lifecycle,
            new_files=self._new_files,
            scan=self._scan,
        )
        self._reader = SegmentReader(
            files,
            self._open_files,
            fingerprinter,
            schedule,
            self._scan,
            save=self._log.save_lazily,
        )
        self._poll_cycle = PollCycle(
            self._discovery,
            schedule,
            self._changes,
            Identification(
                files, verification, self._changes, self._lifecycle, self._new_files, tree=tree
            ),
            self._scan,
            new_files=self._new_files,
            arrivals=arrivals,
            lifecycle=self._lifecycle,
            files=files,
            watcher=watcher,
            poll_interval=poll_interval,
        )
        if watcher is not None:
            watcher.announce_to(arrivals)
        self._held_limit = held_limit
        self._remarked: set[tuple[WarningKind, str]] = set()
        self._not_regular = 0
        self._is_first = True
        adoption = Adoption(
            tree=tree,
            sources=sources,
            globs=globs,
            files=files,
            hard_links=hard_links,
            opener=opener,
            lifecycle=self._lifecycle,
            log=self._log,
            scan=self._scan,
            directory=self._discovery.directory,
        )
        self._resting = RestingSegments(
            tree=tree,
            store=store,
            log=self._log,
            sources=sources,
            globs=globs,
            places=self._places,
            files=files,
            schedule=schedule,
            continuations=self._continuations,
            lifecycle=self._lifecycle,
            fingerprinter=fingerprinter,
            linked=frozenset(hard_links.segments()),
            directory=self._discovery.directory,
        )

        def adopt(
            unloaded: Mapping[int, SegmentRecord], frontier: Mapping[int, Checkpoint]
        ) -> None:
            self._resting.begin()
            adoption.adopt(unloaded, frontier)

        self._log.load(sources, self._discovery.directory, adopt, self._resting.choose())

    def scan(self, now: float, *, full: bool = False) -> Scan:
        """Poll the files and return the findings.

        `full` looks at everything, whatever change notices say (the last scan before a drain). If
        saving fails, the error is raised, and the next scan returns these findings too.
        """
        self._tree.begin_scan()
        self._own.refresh()
        try:
            return self._scan_files(now, full=full)
        finally:
            self._tree.end_scan()

    def _scan_files(self, now: float, *, full: bool) -> Scan:
        self._scan.now = now
        self._places.begin_scan(now)
        self._continuations.begin_scan(now)
        if self._is_first:
            self._lifecycle.resume()
            self._discovery.recall_rotations()
        self._lifecycle.recall_suspended()
        searched = self._poll_cycle.visit(now, full=full or self._lifecycle.must_search())
        self._verify_suspects(is_scan=True)
        while self._new_files.take_expects_copies():
            self._poll_cycle.search()
        self._new_files.search_continuations()
        while self._changes.compare_namesakes(self._new_files.undecided):
            self._new_files.search_continuations()
        self._new_files.decide()
        self._lifecycle.expire(searched=searched)
        self._resting.expire()
        self._held_files.close_finished(self._lifecycle.is_finished)
        self._held_files.maintain(now)
        self._lifecycle.end_first_scan()
        self._is_first = False
        self._log.flush(now)
        self._landmarks.flush()
        return self._result()

    def find_losses(self) -> tuple[Loss, ...]:
        """Return the losses that reading has shown since the last scan, without a scan.

        If saving fails, the error is raised, and the next scan returns them too.
        """
        self._verify_suspects(is_scan=False)
        self._log.flush(self._scan.now)
        losses = tuple(self._scan.losses)
        self._scan.losses.clear()
        return losses

    def read(
        self,
        segment: int,
        at: Checkpoint,
        *,
        final: bool = False,
        resting: bool = False,
        until: int | None = None,
    ) -> Chunk | None:
        """Return the chunk at a checkpoint.

        None if no whole line is there now, or if the file is no longer this segment. `final`: the
        writer is gone, so a last line without newline is returned too. `resting`: nothing was
        written for a while, so of documents a last one is returned that is complete or beyond
        repair. `until` is the beginning of a line at which the chunk ends, if it would not end
        before.
        """
        ending = Ending.FINAL if final else Ending.RESTING if resting else Ending.OPEN
        file = self._files.get(segment)
        if file is None:
            return None
        chunk = self._reader.read(file, at, ending=ending, until=until)
        if chunk is not None and not self._files.options(file).documents:
            self._landmarks.note_reading(file)  # lines mean nothing in a document
        return chunk

    def is_unfinished(self, segment: int, start: int, end: int) -> bool:
        """Return whether [start, end) is the beginning of one line or document, and can be read."""
        file = self._files.get(segment)
        return file is not None and self._reader.is_unfinished(file, start, end)

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

    def find_checkpoint(self, segment: int, offset: int) -> Checkpoint:
        """Return the checkpoint at an offset of a segment's file as it is now.

        If the file cannot be read, the checkpoint proves nothing: it only says how far one was.
        """
        file = self._files.get(segment)
        found = None if file is None else self._reader.find_checkpoint(file, offset)
        return found or Checkpoint(offset, b"")

    def find_end(self, segment: int) -> Checkpoint:
        """Return the end of the last whole line of a file that waits because it may be a copy.

        The file is recorded at once, so that it is the same segment after a restart. Documents end
        where the file does. If the file cannot be read, the checkpoint proves nothing.
        """
        file = self._files.get(segment)
        if file is None:
            return BEGINNING
        self._log.save_undecided(file)
        return self._reader.find_end(file)

    def list_known(self) -> list[int]:
        """Return the ids of all files, also of those that are no segments yet."""
        return [file.id for file in self._files]

    def acknowledge(self, segment: int, offset: int) -> None:
        """Note that every required sink has committed a segment up to an offset.

        What only protected the bytes before it is released. A reported loss is acknowledged by the
        segment's size.
        """
        file = self._files.get(segment)
        if file is None:
            return
        file.acknowledge(offset)
        self._landmarks.renew(file)
        if not file.is_acknowledged:
            return
        if file.state is SegmentState.LOST:
            self._lifecycle.acknowledge_loss(file)
        elif file.damage is not None:
            self._scan.broken[segment] = file.damage.reason  # what is left of it is lost
        elif file.state is SegmentState.LIVE and file.is_read_to_end:
            self._held_files.settle(file)

    def retain(self, segments: frozenset[int]) -> None:
        """Keep these segments readable after deletion where a link is possible, even if finished.

        Rejected lines in them may be redriven. Segments retained before are released.
        """
        before = self._held_files.retain(segments)
        for segment in segments - before:
            file = self._files.get(segment)
            if file is not None:
                self._held_files.pin(file)
        for segment in before - segments:
            self.acknowledge(segment, 0)

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
        names = [source.name for source in self._sources]
        counts = Counter[tuple[str, SkipReason]]()
        for source, links in self._discovery.count_skipped_links().items():
            counts[names[source], "link"] += links
        for segment, kind in self._scan.withheld.items():
            if (file := self._files.get(segment)) is not None:
                counts[names[file.source], "own" if kind == "own_output" else "owner"] += 1
        return counts

    def segments(self) -> Mapping[int, SegmentView]:
        """Return a view of every segment, made when it is looked up."""
        return _SegmentViews(self._files, self._held_files)

    def list_undecided(self) -> list[UndecidedFile]:
        """Return the files that wait because they may be copies in progress.

        What is in them is undelivered as long as nobody knows better.
        """
        waiting = self._continuations.waiting
        return [
            UndecidedFile(
                self._files.segment(file),
                file.length or file.size,
                self._continuations.waits_since(file),
            )
            for file in waiting
        ]

    def counts(self) -> Mapping[tuple[str, SegmentState], int]:
        """Return how many files each source has in each state."""
        return Counter((self._files.options(file).name, file.state) for file in self._files)

    def summarize(self) -> dict[str, SourceSummary]:
        """Return what each source has on disk, and how its files are protected."""
        files, sizes = Counter[str](), Counter[str]()
        protections: dict[str, Counter[Protection]] = {}
        for file in self._files:
            source = self._files.options(file).name
            files[source] += file.state is SegmentState.LIVE
            sizes[source] += file.size
            kind = observe_protection(
                self._held_files.protection(file),
                can_link=file.can_link,
                is_finished=file.is_acknowledged,
            )
            counted = protections.setdefault(source, Counter())
            if kind is not None and file.state in READABLE_STATES:
                counted[kind] += 1
        return {
            source: SourceSummary(files[source], sizes[source], counted)
            for source, counted in protections.items()
        }

    def list_unreadable(self) -> list[UnreadablePlace]:
        """Return what exists and cannot be read now: directories first, then files."""
        names = [source.name for source in self._sources]
        directories = [
            UnreadablePlace(names[source], path, problem, is_directory=True)
            for path, (source, problem) in self._discovery.unreadable.items()
        ]
        files = [
            UnreadablePlace(names[file.source], file.path, problem, is_directory=False)
            for segment, problem in self._scan.unreadable.items()
            if (file := self._files.get(segment)) is not None
        ]
        return directories + files

    def close(self, *, releases_delivered: bool = False) -> None:
        """Close all files and save what is known; links stay for the next run.

        `releases_delivered`: those of files that every sink has do not, because nobody knows when
        there will be a next run.
        """
        if releases_delivered:
            self._held_files.release_delivered()
            self._arrivals.release_empty()
        else:
            self._held_files.sweep()
        self._arrivals.close()
        self._open_files.close()
        self._log.flush(0.0, everything=True)
        self._landmarks.flush()

    def _verify_suspects(self, *, is_scan: bool) -> None:
        """Verify what readers found broken, and see whether deleted files have grown."""
        broken = [self._files.get(segment) for segment in self._scan.broken]
        suspects = {file.id: file for file in [*broken, *self._continuations.deleted] if file}
        for file in suspects.values():
            if file.state in (SegmentState.LIVE, SegmentState.DELETED):
                self._changes.verify(file, is_scan=is_scan)
        self._scan.broken.clear()

    def _result(self) -> Scan:
        held_bytes = self._held_files.set_aside_bytes + sum(
            file.size for file in self._continuations.deleted
        )
        if held_bytes > self._held_limit:
            self._scan.warn(
                "held_limit",
                "",
                "deleted files that sinks have not finished take more space than held_limit; "
                "they are kept",
            )
        else:
            self._remarked.discard(("held_limit", ""))
        if ("notices", "") not in self._scan.remarks:
            self._remarked.discard(("notices", ""))
        remarks = [
            remark for key, remark in self._scan.remarks.items() if key not in self._remarked
        ]
        self._remarked.update(self._scan.remarks)
        remarks += self._scan.announcements
        self._not_regular += sum(remark.kind == "refused" for remark in remarks)
        scan = Scan(
            tuple(self._scan.changed),
            tuple(self._scan.added),
            tuple(self._scan.losses),
            tuple(self._scan.recovered),
            tuple(self._scan.rewrites),
            tuple(remarks),
            files=len(self._files),
            waiting=len(self._continuations.waiting) + self._lifecycle.unseen_ends,
            not_regular=self._not_regular,
            held_bytes=held_bytes,
        )
        self._scan.clear()
        return scan


class _SegmentViews(Mapping[int, SegmentView]):
    def __init__(self, files: FileTable, held_files: HeldFiles) -> None:
        self._files = files
        self._held_files = held_files

    def __getitem__(self, segment: int) -> SegmentView:
        file = self._files.get(segment)
        if file is None or file.state is SegmentState.NEW:
            raise KeyError(segment)
        return self._view(file)

    def __iter__(self) -> Iterator[int]:
        return (file.id for file in self._files if file.state is not SegmentState.NEW)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _view(self, file: File) -> SegmentView:
        return SegmentView(
            self._files.segment(file),
            file.state,
            file.length,
            is_writer_gone=file.is_writer_gone,
            protection=self._held_files.protection(file),
            compression=file.compression,
        )
