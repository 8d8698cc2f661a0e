"""Build everything that follows the files, and connect it: the only module that knows all of it.

Group by group, each of what the groups before it hold: what finds files, what keeps them readable,
what tracks what becomes of them. Then the known ones are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tracesidecar.model import Checkpoint
from tracesidecar.progress import Progress
from tracesidecar.tail.discovery.build import Discovery, build_discovery
from tracesidecar.tail.discovery.own_paths import OwnPaths
from tracesidecar.tail.discovery.owners import Owners
from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import FileTable
from tracesidecar.tail.findings import Findings
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.holding.arrivals import Arrivals
from tracesidecar.tail.holding.hard_links import HardLinks
from tracesidecar.tail.holding.held_files import HeldFiles
from tracesidecar.tail.holding.link_budget import LinkBudget
from tracesidecar.tail.holding.link_folder import list_own_folders
from tracesidecar.tail.holding.link_maintenance import LinkMaintenance
from tracesidecar.tail.holding.new_file_notices import NewFileNotices
from tracesidecar.tail.inventory import Inventory
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.poll_cycle import PollCycle
from tracesidecar.tail.reading.descriptors import descriptor_limit
from tracesidecar.tail.reading.expanded_archives import ExpandedArchives
from tracesidecar.tail.reading.expansion import ExpansionLimit
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.reading.reader import SegmentReader
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.scan_sequence import ScanSequence
from tracesidecar.tail.segments import SegmentRecord, SegmentStore
from tracesidecar.tail.tailer import Tailer
from tracesidecar.tail.tracking.acknowledgement import Acknowledgements
from tracesidecar.tail.tracking.adoption import Adoption
from tracesidecar.tail.tracking.candidates import CandidateOpener
from tracesidecar.tail.tracking.changes import Changes
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.expiry import Expiry
from tracesidecar.tail.tracking.identification import Identification
from tracesidecar.tail.tracking.landmarks import LandmarkKeeper
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.met_files import MetFiles
from tracesidecar.tail.tracking.new_files import NewFiles
from tracesidecar.tail.tracking.originals import Originals
from tracesidecar.tail.tracking.replacement import Replacements
from tracesidecar.tail.tracking.resting import RestingSegments
from tracesidecar.tail.tracking.segment_log import SegmentLog
from tracesidecar.tail.tracking.sibling_search import SiblingSearch
from tracesidecar.tail.tracking.unseen_ends import UnseenEnds
from tracesidecar.tail.tracking.verification import Verification
from tracesidecar.tail.turns import Turns

if TYPE_CHECKING:
    from tracesidecar.tail.discovery.watcher import Watcher


def ignore(_: str) -> None:
    """Do nothing at a named point; tests pass a function that is called there."""


def build_tailer(
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
    inherited: Mapping[int, int] = MappingProxyType({}),
    at: Callable[[str], None] = ignore,
) -> Tailer:
    """Build a tailer in the thread that will use it, with the known segments from the store.

    `key` keys all digests. `link_directory` is where hard links are made, unless a source has a
    directory of its own. `own_paths` are directories and files that this program writes: nothing in
    them is read as traces. More than `held_limit` bytes of deleted files cause a warning. `at` is
    called before something irreversible is saved. Each piece of work is noted in `progress`, which
    may end a scan with Interrupted. `inherited` are descriptors by segment, as `copy_descriptors`
    of an earlier tailer returned them; they stay the caller's.

    Call `acknowledge` for each known segment next: until then, no sink counts as having any of it.
    """
    shared = _share(sources, store, key, progress or Progress())
    finding = _build_finding(shared, own_paths, link_directory)
    holding = _build_holding(shared, finding, link_directory, held_limit)
    tracking = _build_tracking(shared, finding, holding, at)
    if watcher is not None:
        watcher.announce_to(holding.notices)
    groups = _Groups(shared, finding, holding, tracking)
    resting = _load_known(groups)
    _inherit(groups, inherited)
    inventory = _build_inventory(groups)
    scan_sequence = _build_scan_sequence(
        groups,
        resting,
        inventory,
        watcher=watcher,
        poll_interval=poll_interval,
        held_limit=held_limit,
    )
    return _build_door(groups, scan_sequence, resting, inventory)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all groups share."""

    sources: Sequence[SourceOptions]
    store: SegmentStore
    files: FileTable
    globs: SourceGlobs
    tree: Tree
    fingerprinter: Fingerprinter
    scan: ScanContext
    expansion_limits: Sequence[ExpansionLimit]


def _share(
    sources: Sequence[SourceOptions], store: SegmentStore, key: bytes, progress: Progress
) -> _Shared:
    scan = ScanContext(progress, Turns(len(sources)))
    return _Shared(
        sources=sources,
        store=store,
        files=FileTable(sources),
        globs=SourceGlobs(sources),
        tree=Tree(sources, most_kept=descriptor_limit() // 8),
        fingerprinter=Fingerprinter(key),
        scan=scan,
        expansion_limits=[ExpansionLimit(each.limits.ratio, lambda: scan.now) for each in sources],
    )


@dataclass(frozen=True, slots=True)
class _Finding:
    """What finds files, and says which of them are not to be read."""

    own: OwnPaths
    owners: Owners
    discovery: Discovery
    schedule: PollSchedule


def _build_finding(shared: _Shared, own_paths: Sequence[str], link_directory: str) -> _Finding:
    # before the holding: it gives the links that are no arrivals any more the name of the others
    own = OwnPaths(
        [*own_paths, link_directory], folders=list_own_folders(_hold_directories(shared.sources))
    )
    discovery = build_discovery(
        shared.sources,
        shared.tree,
        shared.globs,
        shared.files,
        own=own,
        progress=shared.scan.progress,
        turns=shared.scan.turns,
    )
    schedule = PollSchedule(shared.files, discovery.directories, shared.tree)
    return _Finding(own, Owners(shared.sources), discovery, schedule)


@dataclass(frozen=True, slots=True)
class _Holding:
    """What keeps files readable: links, descriptors, and who may release them."""

    arrivals: Arrivals
    notices: NewFileNotices
    hard_links: HardLinks
    open_files: OpenFiles
    link_budget: LinkBudget
    held_files: HeldFiles
    maintenance: LinkMaintenance


def _build_holding(
    shared: _Shared, finding: _Finding, link_directory: str, held_limit: int
) -> _Holding:
    # the arrivals first: those of an earlier run get the names that the hard links look for
    arrivals = Arrivals(
        shared.globs, shared.sources, link_directory, owners=finding.owners, own=finding.own
    )
    hard_links = HardLinks(link_directory, _hold_directories(shared.sources))
    open_files = OpenFiles(
        shared.files,
        hard_links,
        arrivals,
        tree=shared.tree,
        owners=finding.owners,
        own=finding.own,
        expansion_limits=shared.expansion_limits,
    )
    link_budget = LinkBudget(shared.sources)
    held_files = HeldFiles(
        shared.files,
        open_files,
        hard_links,
        arrivals,
        shared.scan,
        tree=shared.tree,
        budget=link_budget,
    )
    maintenance = LinkMaintenance(
        shared.files,
        held_files,
        hard_links,
        arrivals,
        shared.scan,
        tree=shared.tree,
        budget=link_budget,
        limit_bytes=held_limit,
    )
    notices = NewFileNotices(shared.globs, shared.sources, arrivals)
    return _Holding(arrivals, notices, hard_links, open_files, link_budget, held_files, maintenance)


@dataclass(frozen=True, slots=True)
class _Tracking:
    """What knows which file is which, whatever happens to it."""

    log: SegmentLog
    continuations: Continuations
    lifecycle: Lifecycle
    unseen_ends: UnseenEnds
    met_files: MetFiles
    opener: CandidateOpener
    new_files: NewFiles
    siblings: SiblingSearch
    landmarks: LandmarkKeeper
    verification: Verification


def _build_tracking(
    shared: _Shared, finding: _Finding, holding: _Holding, at: Callable[[str], None]
) -> _Tracking:
    files, open_files, fingerprinter = shared.files, holding.open_files, shared.fingerprinter
    log = SegmentLog(shared.store, files, holding.held_files)
    continuations = Continuations(files, open_files, fingerprinter, finding.schedule)
    unseen_ends, met_files = UnseenEnds(), MetFiles()
    lifecycle = Lifecycle(
        files=files,
        directory_mounts=finding.discovery.directory_mounts,
        held_files=holding.held_files,
        schedule=finding.schedule,
        continuations=continuations,
        log=log,
        unseen_ends=unseen_ends,
        met_files=met_files,
        scan=shared.scan,
        at=at,
    )
    opener = CandidateOpener(
        open_files,
        holding.arrivals,
        holding.held_files,
        fingerprinter,
        tree=shared.tree,
        log=log,
        scan=shared.scan,
    )
    landmarks = LandmarkKeeper(open_files, fingerprinter, shared.store)
    verification = Verification(open_files, fingerprinter, landmarks, tree=shared.tree)
    new_files = NewFiles(
        files,
        finding.discovery.locator,
        opener,
        continuations,
        lifecycle,
        originals=Originals(files, continuations, verification, fingerprinter, shared.scan),
        replacements=Replacements(files, open_files, continuations, landmarks),
        tree=shared.tree,
        scan=shared.scan,
    )
    siblings = SiblingSearch(
        files,
        finding.discovery.walk,
        opener,
        continuations,
        lifecycle,
        locator=finding.discovery.locator,
        admission=finding.discovery.admission,
        tree=shared.tree,
        scan=shared.scan,
        register=new_files.register,
    )
    return _Tracking(
        log=log,
        continuations=continuations,
        lifecycle=lifecycle,
        unseen_ends=unseen_ends,
        met_files=met_files,
        opener=opener,
        new_files=new_files,
        siblings=siblings,
        landmarks=landmarks,
        verification=verification,
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups that are built first; everything else only uses them."""

    shared: _Shared
    finding: _Finding
    holding: _Holding
    tracking: _Tracking


def _load_known(groups: _Groups) -> RestingSegments:
    """Load the segments of the store that do not rest, and adopt those that no source has."""
    shared, tracking = groups.shared, groups.tracking
    directory = groups.finding.discovery.directories.find
    resting = _build_resting(groups)
    adoption = Adoption(
        tree=shared.tree,
        sources=shared.sources,
        globs=shared.globs,
        files=shared.files,
        hard_links=groups.holding.hard_links,
        opener=tracking.opener,
        lifecycle=tracking.lifecycle,
        log=tracking.log,
        scan=shared.scan,
        directory=directory,
    )

    def adopt(unloaded: Mapping[int, SegmentRecord], frontier: Mapping[int, Checkpoint]) -> None:
        resting.begin()
        adoption.adopt(unloaded, frontier)

    tracking.log.load(shared.sources, directory, adopt, resting.choose())
    for segment in groups.holding.hard_links.segments():
        if (file := shared.files.get(segment)) is not None:
            groups.holding.link_budget.count(file)
    return resting


def _inherit(groups: _Groups, inherited: Mapping[int, int]) -> None:
    for segment, descriptor in inherited.items():
        if (file := groups.shared.files.get(segment)) is not None:
            groups.holding.open_files.inherit(file, descriptor)


def _build_resting(groups: _Groups) -> RestingSegments:
    shared, finding, tracking = groups.shared, groups.finding, groups.tracking
    return RestingSegments(
        tree=shared.tree,
        store=shared.store,
        log=tracking.log,
        sources=shared.sources,
        globs=shared.globs,
        directory_mounts=finding.discovery.directory_mounts,
        files=shared.files,
        schedule=finding.schedule,
        continuations=tracking.continuations,
        lifecycle=tracking.lifecycle,
        fingerprinter=shared.fingerprinter,
        linked=frozenset(groups.holding.hard_links.segments()),
        directory=finding.discovery.directories.find,
    )


def _build_scan_sequence(
    groups: _Groups,
    resting: RestingSegments,
    inventory: Inventory,
    *,
    watcher: Watcher | None,
    poll_interval: float,
    held_limit: int,
) -> ScanSequence:
    shared, finding, tracking = groups.shared, groups.finding, groups.tracking
    held_files = groups.holding.held_files
    verification = tracking.verification
    changes = _build_changes(groups, verification)
    return ScanSequence(
        tree=shared.tree,
        own=finding.own,
        directory_mounts=finding.discovery.directory_mounts,
        locator=finding.discovery.locator,
        poll_cycle=_build_poll_cycle(groups, verification, changes, watcher, poll_interval),
        changes=changes,
        new_files=tracking.new_files,
        siblings=tracking.siblings,
        continuations=tracking.continuations,
        lifecycle=tracking.lifecycle,
        expiry=Expiry(
            shared.files,
            tracking.continuations,
            tracking.lifecycle,
            directory_mounts=finding.discovery.directory_mounts,
            held_files=held_files,
            unseen_ends=tracking.unseen_ends,
            scan=shared.scan,
        ),
        unseen_ends=tracking.unseen_ends,
        resting=resting,
        held_files=held_files,
        link_maintenance=groups.holding.maintenance,
        log=tracking.log,
        landmarks=tracking.landmarks,
        files=shared.files,
        scan=shared.scan,
        expanded=ExpandedArchives(shared.files, shared.expansion_limits, shared.scan),
        findings=Findings(
            shared.scan,
            shared.files,
            held_files,
            tracking.continuations,
            tracking.unseen_ends,
            inventory=inventory,
            held_limit=held_limit,
        ),
    )


def _build_changes(groups: _Groups, verification: Verification) -> Changes:
    return Changes(
        tree=groups.shared.tree,
        files=groups.shared.files,
        directories=groups.finding.discovery.directories,
        directory_mounts=groups.finding.discovery.directory_mounts,
        open_files=groups.holding.open_files,
        verification=verification,
        lifecycle=groups.tracking.lifecycle,
        new_files=groups.tracking.new_files,
        siblings=groups.tracking.siblings,
        scan=groups.shared.scan,
    )


def _build_poll_cycle(
    groups: _Groups,
    verification: Verification,
    changes: Changes,
    watcher: Watcher | None,
    poll_interval: float,
) -> PollCycle:
    files = groups.shared.files
    lifecycle, new_files = groups.tracking.lifecycle, groups.tracking.new_files
    return PollCycle(
        groups.finding.discovery.walk,
        groups.finding.schedule,
        changes,
        Identification(files, verification, changes, lifecycle, new_files, tree=groups.shared.tree),
        groups.shared.scan,
        directories=groups.finding.discovery.directories,
        locator=groups.finding.discovery.locator,
        admission=groups.finding.discovery.admission,
        new_files=new_files,
        arrivals=groups.holding.arrivals,
        notices=groups.holding.notices,
        lifecycle=lifecycle,
        met_files=groups.tracking.met_files,
        files=files,
        watcher=watcher,
        poll_interval=poll_interval,
    )


def _build_inventory(groups: _Groups) -> Inventory:
    return Inventory(
        groups.shared.sources,
        groups.shared.files,
        groups.finding.discovery.directories,
        groups.holding.held_files,
        groups.tracking.continuations,
        links=groups.finding.discovery.links,
        admission=groups.finding.discovery.admission,
        link_budget=groups.holding.link_budget,
        scan=groups.shared.scan,
    )


def _build_door(
    groups: _Groups, scan_sequence: ScanSequence, resting: RestingSegments, inventory: Inventory
) -> Tailer:
    shared, finding, tracking = groups.shared, groups.finding, groups.tracking
    files, scan, log = shared.files, shared.scan, tracking.log
    held_files, open_files = groups.holding.held_files, groups.holding.open_files
    reader = SegmentReader(
        files, open_files, shared.fingerprinter, finding.schedule, scan, save=log.save_lazily
    )
    return Tailer(
        files=files,
        scan_sequence=scan_sequence,
        reader=reader,
        landmarks=tracking.landmarks,
        log=log,
        acknowledgements=Acknowledgements(
            files, held_files, tracking.landmarks, tracking.lifecycle, scan
        ),
        inventory=inventory,
        resting=resting,
        lifecycle=tracking.lifecycle,
        own=finding.own,
        arrivals=groups.holding.arrivals,
        link_maintenance=groups.holding.maintenance,
        open_files=open_files,
    )


def _hold_directories(sources: Sequence[SourceOptions]) -> list[str]:
    return [source.hold_directory for source in sources if source.hold_directory is not None]
