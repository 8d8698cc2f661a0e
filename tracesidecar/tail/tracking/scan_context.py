"""What the steps of one turn share: the parts they work with, and what they have found so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tracesidecar.tail.discovery.poll_schedule import PollSchedule
from tracesidecar.tail.discovery.walk import Discovery
from tracesidecar.tail.file_table import File, FileTable
from tracesidecar.tail.fingerprint import Fingerprinter
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.open_files import OpenFiles
from tracesidecar.tail.segments import Loss, LossReason, Remark, WarningKind
from tracesidecar.tail.tracking.continuation import Continuations
from tracesidecar.tail.tracking.segment_log import SegmentLog


@dataclass(slots=True)
class ScanContext:
    """The findings of a turn, and what outlasts it: who was warned of what, and which segments
    readers found `broken` or could not read.
    """

    now: float = 0.0
    changed: dict[int, None] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    candidates: dict[int, File] = field(default_factory=dict)
    stalled: dict[int, None] = field(default_factory=dict)
    broken: dict[int, LossReason] = field(default_factory=dict)
    warned: set[tuple[WarningKind, str]] = field(default_factory=set)
    refused: int = 0

    def begin(self, now: float) -> None:
        """Start; what was found and not handed over stays (saving it failed), and what readers
        warned of.
        """
        self.now = now
        self.changed |= self.stalled
        self.stalled, self.candidates = {}, {}

    def end(self) -> None:
        """Start the next turn with empty findings: these are handed over."""
        self.changed, self.added, self.losses, self.warnings = {}, [], [], []

    def warn(self, kind: WarningKind, path: str, sentence: str) -> bool:
        """Say something once; False when it has been said."""
        if (kind, path) in self.warned:
            return False
        self.warned.add((kind, path))
        self.warnings.append(Remark(kind, path, sentence))
        return True


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps work with.

    `at` is told when something irreversible is about to be saved (fault tests stop the process
    there).
    """

    sources: Sequence[SourceOptions]
    files: FileTable
    access: OpenFiles
    discovery: Discovery
    identity: Fingerprinter
    ledger: SegmentLog
    takeovers: Continuations
    pace: PollSchedule
    turn: ScanContext
    at: Callable[[str], None]

    def forget(self, file: File) -> None:
        """Drop a segment that is over."""
        self.access.let_go(file)
        self.files.remove(file)
        self.takeovers.forget(file)
        self.pace.restless.pop(file.id, None)
        self.turn.broken.pop(file.id, None)
        self.ledger.forget(file)

    def loss(self, file: File) -> Loss:
        """Return what is lost of a segment."""
        return Loss(
            file.segment(self.sources[file.source].name),
            file.loss or "deleted",
            file.reach_offset,
            file.length,
        )

    def give_up(self, file: File, reason: LossReason) -> None:
        """Note that the rest of a segment is lost, and report it."""
        if file.state in ("deleted", "missing"):
            self.files.detach(file)  # its inode may come back as another file
        file.state, file.loss = "lost", reason
        self.access.let_go(file)
        self.takeovers.forget(file)
        self.ledger.save(file)
        self.turn.losses.append(self.loss(file))
