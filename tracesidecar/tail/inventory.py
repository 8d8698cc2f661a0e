"""What is known of all files at present: their states, protection, and what is not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tracesidecar.tail.discovery.admission import Admission
from tracesidecar.tail.discovery.symbolic_links import SymbolicLinks
from tracesidecar.tail.discovery.walked_directories import WalkedDirectories
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.holding.link_budget import LinkBudget
from tracesidecar.tail.limits import ReachedLimit
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.expansion import Expansion
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import (
    READABLE_STATES,
    Protection,
    SegmentState,
    SegmentView,
    SkipReason,
    SourceSummary,
    UndecidedFile,
    UnreadablePath,
    UnreadFile,
    observe_protection,
)
from tracesidecar.tail.tracking.continuation import Continuations


class Inventory:
    """Answers questions about all files, and changes nothing."""

    def __init__(
        self,
        sources: Sequence[SourceOptions],
        files: FileTable,
        directories: WalkedDirectories,
        held_files: HeldFiles,
        continuations: Continuations,
        *,
        links: SymbolicLinks,
        admission: Admission,
        link_budget: LinkBudget,
        scan: ScanContext,
    ) -> None:
        self._sources = sources
        self._source_names = [source.name for source in sources]
        self._files = files
        self._directories = directories
        self._links = links
        self._held_files = held_files
        self._continuations = continuations
        self._admission = admission
        self._link_budget = link_budget
        self._scan = scan

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

    def list_unread(self) -> list[UnreadFile]:
        """Return the files that cannot be read now; sinks may lack something of them.

        What may be a copy in progress is among the undecided files instead.
        """
        return [
            UnreadFile(
                self._files.segment(file),
                file.length,
                failure.since,
                failure.problem,
                is_new=file.state is SegmentState.NEW,
            )
            for segment, failure in self._scan.unreadable.items()
            if (file := self._files.get(segment)) is not None
            and (file.state in READABLE_STATES or file.state is SegmentState.NEW)
            and not file.is_undecided
        ]

    def is_unreadable(self, segment: int) -> bool:
        """Return whether a file could not be read when that was last tried."""
        return segment in self._scan.unreadable

    def counts(
        self, segments: Iterable[int] | None = None
    ) -> Mapping[tuple[str, SegmentState], int]:
        """Return how many files, of these or of all, each source has in each state."""
        known = self._files if segments is None else map(self._files.get, segments)
        return Counter(
            (self._source_names[file.source], file.state) for file in known if file is not None
        )

    def summarize(self) -> dict[str, SourceSummary]:
        """Return what each source has on disk, and how its files are protected."""
        files, sizes = Counter[str](), Counter[str]()
        protections: dict[str, Counter[Protection]] = {}
        for file in self._files:
            source = self._files.options(file).name
            files[source] += file.state is SegmentState.LIVE
            sizes[source] += file.disk_bytes
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

    def measure_retained(self) -> Mapping[int, int]:
        """Return the size of each retained file that is deleted: only we keep it."""
        return {
            segment: file.size
            for segment in self._held_files.retained
            if (file := self._files.get(segment)) is not None
            and file.state is SegmentState.DELETED
            and file.is_acknowledged
        }

    def count_skipped(self) -> Mapping[tuple[str, SkipReason], int]:
        """Return how much each source does not read that its patterns match, by reason."""
        names = self._source_names
        counts = Counter[tuple[str, SkipReason]]()
        for source, links in self._links.count_skipped().items():
            counts[names[source], "link"] += links
        for segment, kind in self._scan.withheld.items():
            if (file := self._files.get(segment)) is not None:
                counts[names[file.source], "own" if kind == "own_output" else "owner"] += 1
        return counts

    def list_reached_limits(self) -> tuple[ReachedLimit, ...]:
        """Return the budgets at which sources wait, in the order of the sources."""
        expanded: dict[int, list[tuple[File, Expansion]]] = {}
        for segment, expansion in self._scan.expanded.items():
            file = self._files.get(segment)
            if expansion and file is not None and file.state in READABLE_STATES:
                expanded.setdefault(file.source, []).append((file, expansion))
        ratios = (
            ReachedLimit(
                self._source_names[source],
                "ratio",
                max(expansion.times for _, expansion in archives),
                self._sources[source].limits.ratio,
                len(archives),
                archives[0][0].path,
            )
            for source, archives in sorted(expanded.items())
        )
        return (*self._admission.list_reached(), *self._link_budget.list_reached(), *ratios)

    def list_unreadable(self) -> list[UnreadablePath]:
        """Return what exists and cannot be read now: directories first, then files."""
        names = self._source_names
        directories = [
            UnreadablePath(names[source], path, problem, is_directory=True)
            for path, (source, problem) in self._directories.unreadable.items()
        ]
        files = [
            UnreadablePath(names[file.source], file.path, failure.problem, is_directory=False)
            for segment, failure in self._scan.unreadable.items()
            if (file := self._files.get(segment)) is not None
        ]
        return directories + files


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
