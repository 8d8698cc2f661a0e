"""The values that collect exchanges with the journal and with the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from tracesidecar.model import Checkpoint, Compression, Segment

State = Literal["new", "live", "deleted", "missing", "ended", "lost", "spent"]
"""new: seen, not yet taken (empty, unreadable, or perhaps a copy in progress; never in the
journal). live: has a name. deleted: read from what is held. missing: not found, perhaps elsewhere.
ended: truncated or rewritten, its copy is looked for. lost: given up, not yet acknowledged. spent:
a copy that holds nothing new.
"""

LossReason = Literal["deleted", "truncated", "changed", "corrupt", "bomb"]
Protection = Literal["link", "descriptor", "none"]
"""What keeps a file's bytes readable when its name is removed.

link: a hard link, also while the daemon is stopped. descriptor: an open file, as long as the
process runs that opened it. none: nothing.
"""

WarningKind = Literal["unreadable", "refused", "held_limit", "notices"]


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What the journal keeps of a segment, to know the file again. `prefix_digest` is keyed over
    the first `prefix_length` bytes, decompressed.

    `size`, `modified_ns` and `changed_ns` are those of the file as last looked at (compressed
    files: as they lie on disk). `length` is what is known of the decompressed length, all of it
    when an archive `is_whole`.

    `protection` is what kept the file readable when the record was saved, None in a record that a
    version before 4 of the schema saved. `can_link` is whether the last hard link that was wanted
    could be made (it is removed once every required sink has the file), None before the first
    attempt.
    """

    id: int
    source: str
    path: str
    device: int
    inode: int
    generation: int
    compression: Compression
    size: int
    prefix_length: int
    prefix_digest: bytes
    modified_ns: int
    changed_ns: int
    state: State
    loss: LossReason | None = None
    length: int = 0
    is_whole: bool = False
    origin: str = ""
    protection: Protection | None = None
    can_link: bool | None = None

    def protection_now(self, *, is_daemon_running: bool) -> Protection | None:
        """Return what keeps the file readable now, for a process that only reads the journal.

        A record that says "descriptor" is left behind when the daemon is killed: its descriptors
        ended with it.
        """
        if self.protection == "descriptor" and not is_daemon_running:
            return "none"
        return self.protection


class SegmentStore(Protocol):
    """Where segments are kept from run to run: the journal."""

    def load_segments(self) -> list[SegmentRecord]: ...

    def frontier(self) -> dict[int, Checkpoint]:
        """Return each segment's furthest committed checkpoint of any sink."""
        ...

    def save_segments(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace, in one durable transaction."""
        ...

    def forget_segments(self, ids: Iterable[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes that can no longer be read: [offset, size) of a segment, as far as is known. `offset`
    is the furthest place that was read or committed.

    Reported again after a restart until `Tailer.settled(segment, size)` acknowledges it. A sink
    that is behind `offset` has lost more: from its own offset on.
    """

    segment: Segment
    reason: LossReason
    offset: int
    size: int

    @property
    def lost_bytes(self) -> int:
        """Return how many bytes are known to be lost; 0 where a file ended that had been read to
        its last known byte.
        """
        return max(0, self.size - self.offset)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person should know, said once. The sentence holds no trace content."""

    kind: WarningKind
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What one turn of discovery found. `changed` are segments with possibly new bytes, `added`
    those seen for the first time (also in `changed`).

    `waiting` counts files that may be copies in progress and are not yet taken. `held_bytes` is the
    disk space that only we keep.
    """

    changed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()
    losses: tuple[Loss, ...] = ()
    warnings: tuple[Remark, ...] = ()
    files: int = 0
    waiting: int = 0
    refused: int = 0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment as it is now.

    `size` is its length as far as known (decompressed); `is_writer_gone`: no byte will be added, so
    ask with `final=True`.
    """

    segment: Segment
    state: State
    size: int
    is_writer_gone: bool
    protection: Protection
    compression: Compression
