"""What each sink has delivered and has still to get, and what each source has at risk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import msgspec

from tracesidecar.config import Configuration
from tracesidecar.introspect.lag import (
    Backlog,
    Lag,
    LagReport,
    Remainder,
    estimate_since,
    measure_lag,
)
from tracesidecar.introspect.resting import let_finished_rest
from tracesidecar.journal import Journal, LostBytes, Notice, SinkRow, is_locked
from tracesidecar.sanitize import printable
from tracesidecar.sinks import SinkOptions, deciding_sinks, destination_of, promise_of
from tracesidecar.tail import (
    READABLE_STATES,
    LimitName,
    LinkedFiles,
    PlainFile,
    Protection,
    ReachedLimit,
    SegmentRecord,
    SegmentState,
    SourceSummary,
    Tree,
    find_end_of_documents,
    find_end_of_lines,
    find_links,
    find_rest,
    is_protected,
    link_folders,
    measure_arrivals,
    measure_links,
    observe_protection,
    set_aside_folders,
)

NO_DAEMON = "no daemon runs with this state directory"

LONGEST_BYTES = 64 << 20
"""How long the lines of a source may be that is no longer configured."""

_PROTECTIONS: dict[Protection, str] = {
    "none": "not kept",
    "descriptor": "kept while running only",
    "link": "kept by hard link",
}
"""From the weakest to the strongest."""


class SinkReport(msgspec.Struct, frozen=True):
    """One sink. All counts are since it first ran with this state directory.

    `lag_bytes` and `lag_seconds` are defined by `introspect.lag.Lag`. `trouble` is why the last
    attempt failed; only the daemon knows it, and it is empty while all is well. `repeated_bytes`
    had arrived and were sent again, because they follow a gap.
    """

    name: str
    type: str
    promise: str
    destination: str
    state: str
    delivered_lines: int
    delivered_bytes: int
    batches: int
    retries: int
    quarantined: int
    lag_bytes: int
    lag_seconds: float
    trouble: str = ""
    repeated_bytes: int = 0


class LimitReport(msgspec.Struct, frozen=True):
    """A budget at which a source waits; the fields are those of `tail.ReachedLimit`."""

    source: str
    limit: LimitName
    used: int
    allowed: int
    waiting: int
    path: str
    reason: str


class SourceReport(msgspec.Struct, frozen=True):
    """One source: its files that have a name, and their bytes on disk.

    `at_risk_bytes` is defined by `introspect.lag.LagReport`. `protection` is the weakest that the
    daemon could give a file, "unknown" before it has taken the first one. `protections` counts the
    files by kind, for people; the document leaves it out. `lost_files_uncounted` are the files that
    lost a number of bytes that nobody knows. `limits` are the budgets at which it waits; only the
    daemon knows them.
    """

    name: str
    files: int
    bytes: int
    at_risk_bytes: int
    quarantined: int
    lost_bytes: int
    lost_files_uncounted: int
    protection: Protection | Literal["unknown"]
    protections: dict[Protection, int]
    rewritten: int = 0
    limits: tuple[LimitReport, ...] = ()


class HeldReport(msgspec.Struct, frozen=True):
    """The hard links that keep files which may be deleted, in `directories`.

    `bytes` are those of deleted files, also where a descriptor keeps one, or a backup has linked
    it. What was `set_aside` belongs to no source of the configuration, and stays until a person
    decides; its bytes are those of files without another name. The sum of both is `held_bytes` of
    `/status` and of the metrics.
    """

    directories: tuple[str, ...]
    files: int
    bytes: int
    set_aside_files: int
    set_aside_bytes: int


class RejectedReload(msgspec.Struct, frozen=True):
    """The last reload, if it was rejected: when, in seconds since the epoch, and why."""

    at: float
    reason: str


class StatusReport(msgspec.Struct, frozen=True):
    """What `status` shows. `running` is None where that cannot be known.

    `figures_from` says who counted: the running daemon, or whoever read its journal. `ready` is
    what /readyz says, and `why_not` its reasons; None if only the daemon could say.
    """

    state_directory: str
    running: bool | None
    sinks: tuple[SinkReport, ...]
    sources: tuple[SourceReport, ...]
    held: HeldReport
    notices: tuple[Notice, ...] = ()
    ready: bool | None = None
    why_not: tuple[str, ...] = ()
    rejected_reload: RejectedReload | None = None
    figures_from: Literal["daemon", "journal"] = "daemon"

    def document(self) -> dict[str, object]:
        """Return the document of `status --json`; scripts rely on its keys."""
        document: dict[str, object] = msgspec.to_builtins(self)
        document["sources"] = [
            {
                name: value
                for name, value in msgspec.to_builtins(source).items()
                if name != "protections"
            }
            for source in self.sources
        ]
        return document


@dataclass(frozen=True, slots=True)
class Figures:
    """What the running daemon knows better than the journal. Mappings are by sink or by source.

    `deleted_bytes` and `set_aside` are those of a `Scan`.
    """

    lag: LagReport
    states: Mapping[str, str]
    retries: Mapping[str, int]
    sources: Mapping[str, SourceSummary]
    deleted_bytes: int
    set_aside: LinkedFiles
    limits: Sequence[ReachedLimit] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)


def build_report(
    configuration: Configuration, journal: Journal, figures: Figures, *, running: bool | None
) -> StatusReport:
    """Put the figures together with what only the journal counts. Blocks; any thread may call."""
    counts = _JournalCounts.load(journal, configuration.sink)
    sources = dict.fromkeys([*(source.name for source in configuration.source), *figures.sources])
    return StatusReport(
        configuration.state_directory,
        running,
        tuple(counts.report_sink(options, figures) for options in configuration.sink),
        tuple(counts.report_source(name, figures) for name in sources),
        _report_held(configuration, figures),
        tuple(journal.notices.load()),
    )


@dataclass(frozen=True, slots=True)
class _JournalCounts:
    """What only the journal counts: deliveries, rejected lines, losses, rewrites and repeats."""

    rows: Mapping[str, SinkRow]
    quarantined: Mapping[tuple[str, str, str], int]
    losses: Sequence[LostBytes]
    rewritten: Mapping[str, int]
    repeated: Mapping[str, int]

    @classmethod
    def load(cls, journal: Journal, sinks: Sequence[SinkOptions]) -> _JournalCounts:
        """Load the counts that concern these sinks."""
        return cls(
            {row.name: row for row in journal.sinks.load()},
            journal.quarantine.count(),
            [loss for loss in journal.losses.load() if concerns(loss, sinks)],
            journal.rewrites.load(),
            journal.repeats.load_totals(),
        )

    def report_sink(self, options: SinkOptions, figures: Figures) -> SinkReport:
        row = self.rows.get(options.name)
        lag = figures.lag.sinks.get(options.name, Lag())
        return SinkReport(
            name=options.name,
            type=options.type,
            promise=promise_of(options),
            destination=destination_of(options),
            state=figures.states.get(options.name) or "not started",
            delivered_lines=row.lines if row else 0,
            delivered_bytes=row.bytes if row else 0,
            batches=row.batches if row else 0,
            retries=figures.retries.get(options.name, 0),
            quarantined=sum(
                lines
                for (source, sink, _), lines in self.quarantined.items()
                if sink in ("", options.name) and options.takes(source)
            ),
            lag_bytes=lag.bytes,
            lag_seconds=lag.seconds,
            trouble=figures.troubles.get(options.name, ""),
            repeated_bytes=self.repeated.get(options.name, 0),
        )

    def report_source(self, name: str, figures: Figures) -> SourceReport:
        summary = figures.sources.get(name, SourceSummary())
        return SourceReport(
            name=name,
            files=summary.files,
            bytes=summary.bytes,
            at_risk_bytes=figures.lag.at_risk_bytes.get(name, 0),
            quarantined=sum(
                lines for (source, _, _), lines in self.quarantined.items() if source == name
            ),
            lost_bytes=sum(loss.bytes for loss in self.losses if loss.source == name),
            lost_files_uncounted=sum(
                not loss.is_counted for loss in self.losses if loss.source == name
            ),
            protection=weakest(summary.protections),
            protections=dict(summary.protections),
            rewritten=self.rewritten.get(name, 0),
            limits=report_limits(each for each in figures.limits if each.source == name),
        )


def report_limits(reached: Iterable[ReachedLimit]) -> tuple[LimitReport, ...]:
    """Return reached limits as a document shows them: paths are printable."""
    return tuple(
        LimitReport(
            each.source,
            each.limit,
            each.used,
            each.allowed,
            each.waiting,
            printable(each.path),
            each.reason,
        )
        for each in reached
    )


def _report_held(configuration: Configuration, figures: Figures) -> HeldReport:
    folders = link_folders(configuration.state_directory, configuration.source)
    return HeldReport(
        tuple(
            folder for folder in (*folders, *set_aside_folders(folders)) if os.path.isdir(folder)
        ),
        len(find_links(folders)),
        figures.deleted_bytes,
        figures.set_aside.files,
        figures.set_aside.bytes,
    )


def concerns(loss: LostBytes, sinks: Sequence[SinkOptions]) -> bool:
    """Return whether a loss is one of these sinks': others may be configured again some day."""
    return not loss.sink or any(
        sink.name == loss.sink and sink.takes(loss.source) for sink in sinks
    )


def weakest(protections: Collection[Protection]) -> Protection | Literal["unknown"]:
    """Return the weakest of some protections."""
    return next((kind for kind in _PROTECTIONS if kind in protections), "unknown")


def describe_protections(protections: Mapping[Protection, int], *, has_files: bool) -> str:
    """Return a phrase for people that completes "unsent files are".

    A source whose files all sinks have can have no protection on record: after an upgrade, say.
    """
    if not protections and has_files:
        return "not known: no file has needed protection since this is recorded"
    if not protections:
        return "not known: there are no files yet"
    kinds = [kind for kind in _PROTECTIONS if kind in protections]
    phrase = ", ".join(
        f"{protections[kind]} {_PROTECTIONS[kind]}" if len(kinds) > 1 else _PROTECTIONS[kind]
        for kind in kinds
    )
    if "descriptor" in kinds:
        phrase += (
            "; a hold_directory on the same mount, and being the files' owner or allowed to read "
            "and write them, would allow hard links"
        )
    return phrase


def summarize_sources(configuration: Configuration) -> dict[str, SourceSummary]:
    """Return the files of each source, and how they are protected, by the journal.

    Raise JournalMissing before the first run, and StateError if the journal cannot be read.
    """
    with closing(Journal.open_to_read(configuration.state_directory)) as journal:
        running = is_locked(configuration.state_directory)
        return _JournalFigures(configuration, journal, running=running).summarize()


def report_from_journal(configuration: Configuration, journal: Journal, now: float) -> StatusReport:
    """Report without asking a daemon.

    From the journal and the files as they are at `now`, in seconds since the epoch.
    """
    running = is_locked(configuration.state_directory)
    rows = journal.sinks.load()
    measured = _JournalFigures(configuration, journal, running=running)
    figures = Figures(
        measure_lag(measured.find_backlogs(), configuration.sink, now),
        states={row.name: "stopped" if running is False else row.state for row in rows},
        retries={row.name: row.retries for row in rows},
        sources=measured.summarize(),
        deleted_bytes=measured.measure_deleted(),
        set_aside=measured.measure_set_aside(),
    )
    report = msgspec.structs.replace(
        build_report(configuration, journal, figures, running=running), figures_from="journal"
    )
    if running is False:
        report = msgspec.structs.replace(report, ready=False, why_not=(NO_DAEMON,))
    return report


def measure_content(segment: SegmentRecord, link: str | None) -> int:
    """Return how long the segment's content is: of an archive, decompressed, as far as is known.

    `link` is the segment's hard link.
    """
    return measure_segment(segment, link) if segment.compression == "none" else segment.length


def measure_segment(segment: SegmentRecord, link: str | None) -> int:
    """Return the segment's length on disk.

    Of the file as it is now, by its name or by its hard `link`; else as the journal knows it.
    """
    if segment.compression != "none":
        return segment.size
    status = None
    if segment.state is SegmentState.LIVE or (
        segment.state is SegmentState.NEW and segment.is_unread
    ):
        status = _stat_file(segment, segment.path)
    if status is None and link is not None and segment.state in READABLE_STATES:
        status = _stat_file(segment, link)
    return max(segment.size, segment.length) if status is None else status.st_size


class _Known(NamedTuple):
    """A segment, and how far each sink has it; a sink that has not begun it is left out."""

    segment: SegmentRecord
    reached: Mapping[str, int]


class _JournalFigures:
    """Works out from the journal what the daemon knows while it runs.

    As at a start of the daemon, what every sink has of files that are gone is not read: there may
    be years of it.
    """

    def __init__(
        self, configuration: Configuration, journal: Journal, *, running: bool | None
    ) -> None:
        self._sinks = configuration.sink
        self._journal = journal
        self._committed = {row.name: row.committed_at for row in journal.sinks.load()}
        self._is_daemon_running = running is not False
        self._sources = {source.name: source for source in configuration.source}
        self._folders = link_folders(configuration.state_directory, configuration.source)
        self._links = find_links(self._folders)
        self._tree = Tree(configuration.source)
        let_finished_rest(configuration, journal)
        folders = journal.segments.resting.list_folders()
        self._rest = find_rest(configuration.source, folders, frozenset(self._links))

    def _read(self) -> Iterator[_Known]:
        positions = self._journal.sinks.load_positions
        for segments in self._journal.segments.read_some(self._rest):
            ids = [segment.id for segment in segments]
            reached = {sink.name: positions(sink.name, ids) for sink in self._sinks}
            for each in segments:
                of_sinks = {name: at[each.id] for name, at in reached.items() if each.id in at}
                yield _Known(each, of_sinks)

    def find_backlogs(self) -> Iterator[Backlog]:
        """Find what some sink has still to get."""
        for known in self._read():
            if (backlog := self._find_backlog(known)) is not None:
                yield backlog

    def _find_backlog(self, known: _Known) -> Backlog | None:
        segment = known.segment
        is_awaited = segment.state is SegmentState.NEW and segment.is_unread
        if segment.state not in READABLE_STATES and not segment.is_undecided and not is_awaited:
            return None
        length = measure_content(segment, self._links.get(segment.id))
        reached = {
            sink.name: known.reached.get(sink.name, 0)
            for sink in self._sinks
            if sink.takes(segment.source)
        }
        first = min(reached.values(), default=length)
        end = self._end_of_whole_lines(segment, first, length) if first < length else first
        is_unread = segment.is_unread or end is None
        end = length if end is None else end
        behind = {
            sink: Remainder(
                length - offset,
                estimate_since(
                    self._find_modified_time(segment, offset), self._committed.get(sink)
                ),
            )
            for sink, offset in reached.items()
            if offset < end
        }
        if not behind:
            return None
        protection = segment.find_current_protection(is_daemon_running=self._is_daemon_running)
        return Backlog(segment.source, is_protected(protection) and not is_unread, behind)

    def summarize(self) -> dict[str, SourceSummary]:
        """Return what each source has on disk, and how its files are protected."""
        files, sizes = Counter[str](), Counter[str]()
        protections: dict[str, Counter[Protection]] = {}
        for known in self._read():
            segment = known.segment
            files[segment.source] += segment.state is SegmentState.LIVE
            sizes[segment.source] += measure_segment(segment, self._links.get(segment.id))
            counted = protections.setdefault(segment.source, Counter())
            if segment.state in READABLE_STATES and (kind := self._find_protection(known)):
                counted[kind] += 1
        return {
            source: SourceSummary(files[source], sizes[source], counted)
            for source, counted in protections.items()
        }

    def measure_deleted(self) -> int:
        """Return the bytes of deleted files that are kept, also if nobody knows yet that one is."""
        deleted = {
            segment.id: measure_segment(segment, self._links.get(segment.id))
            for segment, _ in self._read()
            if segment.state is SegmentState.DELETED
            and is_protected(
                segment.find_current_protection(is_daemon_running=self._is_daemon_running)
            )
        }
        for segment_id in self._links.keys() - deleted.keys():
            with suppress(OSError):  # removed in this moment, or not for this user to see
                status = os.lstat(self._links[segment_id])
                if status.st_nlink == 1:
                    deleted[segment_id] = status.st_size
        return sum(deleted.values()) + measure_arrivals(self._folders)

    def measure_set_aside(self) -> LinkedFiles:
        """Return the links that belong to no source."""
        return measure_links(set_aside_folders(self._folders))

    def _find_protection(self, known: _Known) -> Protection | None:
        segment = known.segment
        offsets = (
            known.reached.get(sink.name, 0) for sink in deciding_sinks(self._sinks, segment.source)
        )
        length = measure_content(segment, self._links.get(segment.id))
        return observe_protection(
            segment.find_current_protection(is_daemon_running=self._is_daemon_running),
            can_link=segment.can_link,
            is_finished=min(offsets, default=length) >= length,
        )

    def _find_modified_time(self, segment: SegmentRecord, offset: int) -> float:
        """Return when the bytes from an offset on were on disk already, in seconds since the epoch.

        Bytes that the journal knows of are as old as it says. All others are not known to be older
        than the last modification of the file.
        """
        known = segment.size if segment.compression == "none" else segment.length
        status = _stat_file(segment, segment.path)
        return segment.modified_ns / 1e9 if status is None or offset < known else status.st_mtime

    def _end_of_whole_lines(self, segment: SegmentRecord, start: int, end: int) -> int | None:
        """Return where the last whole line or document in [start, end) ends; `start` if none does.

        None if the file cannot be read: then it is taken to hold whole lines.
        """
        if segment.compression != "none":
            return end
        if segment.state is SegmentState.NEW and segment.is_unread:
            return None  # whether it is an archive is not known either
        ways = [partial(self._tree.open_file, segment.path)]
        if (link := self._links.get(segment.id)) is not None:
            ways.append(partial(self._tree.open_file, link))
        for way in ways:
            try:
                with open(way(), "rb", buffering=0) as file:
                    status = os.fstat(file.fileno())
                    if (status.st_dev, status.st_ino) != (segment.device, segment.inode):
                        continue
                    options = self._sources.get(segment.source)
                    find = (
                        find_end_of_documents
                        if options is not None and options.documents
                        else find_end_of_lines
                    )
                    longest = LONGEST_BYTES if options is None else options.max_line
                    return find(PlainFile(file.fileno()), start, end, max_line=longest)
            except OSError:
                continue  # deleted, moved, or not for this user to read
        return None


def _stat_file(segment: SegmentRecord, path: str) -> os.stat_result | None:
    """Return the status of the segment's file, None if a path does not lead to it."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    is_same = (status.st_dev, status.st_ino) == (segment.device, segment.inode)
    return status if is_same else None
