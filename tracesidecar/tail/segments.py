"""The values that the tailer exchanges with the journal and with the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from tracesidecar.model import Checkpoint, Compression, Segment
from tracesidecar.tail.limits import ReachedLimit


class SegmentState(StrEnum):
    """What has become of a segment's file."""

    NEW = "new"
    """Seen, but not taken yet: empty, unreadable, or perhaps a copy in progress."""

    LIVE = "live"
    """Has a name, and is read."""

    DELETED = "deleted"
    """Has no name any more, and is read through its hard link or descriptor."""

    MISSING = "missing"
    """Not found under its name; perhaps it has moved."""

    AWAY = "away"
    """Missing, and nothing proves that it was deleted: its file system is not there, say."""

    ENDED = "ended"
    """Truncated or rewritten; a copy that continues it is looked for."""

    LOST = "lost"
    """Given up; the loss is not acknowledged yet."""

    SPENT = "spent"
    """A copy, or a damaged archive, from which nothing is read."""


READABLE_STATES = frozenset(
    {SegmentState.LIVE, SegmentState.DELETED, SegmentState.MISSING, SegmentState.AWAY}
)
"""Bytes of a segment in another state can no longer be delivered: they are lost, not late."""

LossReason = Literal[
    "deleted", "truncated", "changed", "corrupt", "bomb", "unreadable", "moved", "gone", "released"
]
"""Why bytes are lost.

unreadable: the file could not be opened, and is gone. moved: it left the folders that are followed
before it was read. gone: it was deleted, moved or emptied while nobody looked, so that nobody knows
how much was appended to it before. bomb: the rest of an archive that waited because it expands too
much. released: every sink that is required had it, and it was deleted before another
sink had it.
"""

UNCOUNTED_REASONS: frozenset[LossReason] = frozenset({"corrupt", "bomb", "moved", "gone"})
"""What may be lost although no byte of it was ever seen."""

BEFORE_ALL_SEGMENTS = -(1 << 63)
"""Less than the id of any segment: where a walk through all of them begins."""

IN_USE_NS = 24 * 3600 * 1_000_000_000
"""How long after its last change a file counts as in use: as long as it is linked at a stop."""

Protection = Literal["link", "descriptor", "none"]
"""What keeps a file's bytes readable when its name is removed.

link: a hard link, also while the daemon is stopped. descriptor: an open file, as long as the
process runs that opened it. none: nothing.
"""


def is_protected(protection: Protection | None) -> bool:
    """Return whether the bytes stay readable if the file is deleted now; None is unknown."""
    return protection in ("link", "descriptor")


WarningKind = Literal[
    "unreadable",
    "refused",
    "skipped_link",
    "withheld",
    "own_output",
    "held_limit",
    "notices",
    "link",
    "adopted",
    "set_aside",
]

SkipReason = Literal["link", "owner", "own"]
"""Why a name that a pattern matches is not read. link: a symbolic link that is not followed. owner:
a file with a second hard link and a strange owner. own: it is written by this program itself.
"""


class MountIdentity(NamedTuple):
    """Which file system holds a directory, and where in it: not the path, which shows any mount.

    `device` is its st_dev, `filesystem` the id that statfs gives it (0 where it gives none): a
    device number may be that of another file system by now. `base` is where in the file system a
    bind mount begins, empty for a mount of the whole file system.
    """

    device: int
    filesystem: int
    base: str


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What the journal keeps of a segment, so that the file is recognized after a restart.

    `prefix_digest` is keyed over the first `prefix_length` bytes, decompressed. `size`,
    `modified_ns` and `changed_ns` are those of the file on disk when it was last looked at.
    `length` is the decompressed length as far as it is known; of an archive it is the whole length
    only when `is_whole`. It is beyond `size` if the file has grown and could not be read since.

    The bytes before `begin` were delivered as another segment, `former`, of which they are the
    unchanged beginning (0 if there is none).

    `protection` is what kept the file readable when the record was saved, None in a record that a
    version before 4 of the schema saved. `can_link` is whether the last hard link that was wanted
    could be made (it is removed once every required sink has the file), None before the first
    attempt. `place` is that of the file's directory when the file was last seen, None in a record
    that an earlier program saved.
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
    state: SegmentState
    loss: LossReason | None = None
    length: int = 0
    is_whole: bool = False
    origin: str = ""
    begin: int = 0
    protection: Protection | None = None
    can_link: bool | None = None
    place: MountIdentity | None = None
    former: int = 0

    @property
    def is_undecided(self) -> bool:
        """Return whether the file has something, but may be a copy in progress."""
        return self.state is SegmentState.NEW and self.prefix_length > 0

    @property
    def is_unread(self) -> bool:
        """Return whether the file had more, when it was last looked at, than could be read."""
        return self.compression == "none" and self.length > self.size

    def find_current_protection(self, *, is_daemon_running: bool) -> Protection | None:
        """Return what keeps the file readable now, for a process that only reads the journal.

        A record that says "descriptor" is left behind when the daemon is killed: its descriptors
        ended with it.
        """
        if self.protection == "descriptor" and not is_daemon_running:
            return "none"
        return self.protection


@dataclass(frozen=True, slots=True)
class FormerFile:
    """A file that was forgotten: its last record, and how far any sink had it.

    `landmarks` are what `SegmentStore.save_landmarks` was given.
    """

    record: SegmentRecord
    reach: int
    landmarks: bytes | None


class Folder(NamedTuple):
    """A folder with files whose segments may rest in the journal, and where it was then."""

    id: int
    path: str
    device: int
    place: MountIdentity | None


@dataclass(frozen=True, slots=True)
class Rest:
    """Which segments may rest in the journal: their records are not loaded.

    Those that are in `folders` (by id), but are none of the paths that are
    `present`, were not modified after `before_ns`, and are not `linked`.
    """

    folders: Collection[int]
    present: Collection[str]
    before_ns: int
    linked: frozenset[int]


def observe_protection(
    protection: Protection | None, *, can_link: bool | None, is_finished: bool
) -> Protection | None:
    """Return how far the daemon can protect a file; None before it has tried.

    A file that every required sink has needs no link, so it has none; what counts then is whether
    its last link could be made.
    """
    if not is_finished:
        return protection
    if can_link is None:
        return None
    return "link" if can_link else "descriptor"


class RestingStore(Protocol):
    """Finds the segments that rest: those that may, and that the caller does not know.

    Called from the tailer's thread only.
    """

    def list_folders(self) -> list[Folder]:
        """Return the folders of the segments that may rest."""
        ...

    def is_empty(self) -> bool:
        """Return whether there is no segment that may rest."""
        ...

    def find_with_inode(self, inode: int) -> list[int]:
        """Return the segments that may rest and whose file had this inode."""
        ...

    def find_with_prefix(self, prefixes: Iterable[tuple[int, bytes]]) -> list[int]:
        """Return the segments that may rest and begin with so many bytes of such a digest."""
        ...

    def list_prefix_lengths(self) -> list[int]:
        """Return of how many first bytes there are digests."""
        ...

    def list_missed(
        self, sources: Collection[str], after: int, limit: int
    ) -> list[tuple[int, float | None]]:
        """Return the next segments of sources that may rest, and since when each is missed.

        They are in the order of their ids; the time is in seconds since the epoch.
        """
        ...

    def note_missed(self, segments: Collection[int], at: float | None) -> None:
        """Record since when segments are missed; None if they are found."""
        ...

    def remove_unused_folders(self) -> None:
        """Remove the folders that no segment is in any more."""
        ...


class SegmentStore(Protocol):
    """Where segments are kept between runs: the journal.

    Called from the tailer's thread only. A method that raises has changed nothing; the tailer
    saves the same again in its next scan.
    """

    @property
    def resting(self) -> RestingStore:
        """Return where the segments that rest are found."""
        ...

    def load(self, rest: Rest | None = None) -> list[SegmentRecord]:
        """Return every segment that was saved and not forgotten, except those that rest.

        Those do that `rest` allows to, and of which every sink has everything.
        """
        ...

    def recall(self, ids: Collection[int]) -> list[SegmentRecord]:
        """Return these segments."""
        ...

    def load_frontier(self, ids: Collection[int] | None = None) -> dict[int, Checkpoint]:
        """Return the furthest checkpoint of each segment that any sink has committed or planned.

        `ids`: of these segments only.

        What was planned may have arrived. The file must still have it, or it is another one.
        """
        ...

    def save(self, records: Iterable[SegmentRecord]) -> None:
        """Insert or replace records in one durable transaction."""
        ...

    def forget(self, ids: Iterable[int]) -> None:
        """Remove segments and their offsets in one durable transaction."""
        ...

    def save_landmarks(self, landmarks: Mapping[int, bytes]) -> None:
        """Insert or replace the landmarks of segments in one durable transaction."""
        ...

    def load_landmarks(self, segment: int) -> bytes | None:
        """Return the landmarks of a segment, None if it has none."""
        ...

    def find_former(self, path: str) -> FormerFile | None:
        """Return the last file of a path that was delivered and forgotten."""
        ...

    def copy_offsets(self, former: int, segment: int, limit: Checkpoint) -> None:
        """Let every sink that has begun one segment go on in another, at `limit` at most."""
        ...


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes that can no longer be read: [offset, size) of a segment, as far as is known.

    `offset` is the furthest place that was read or committed; a sink that is behind it has lost
    more, from its own offset on. The loss is reported again after each restart until
    `Tailer.acknowledge(segment, size)` is called. The bytes before `kept` are not lost: another
    segment has them.
    """

    segment: Segment
    reason: LossReason
    offset: int
    size: int
    kept: int = 0

    @property
    def lost_bytes(self) -> int:
        """Return how many bytes are known to be lost: 0 if the file had been read to its end."""
        return max(0, self.size - self.offset)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A file that no longer holds what was read of it.

    It is read as `segment` from now on, from `kept` on: up to there it is unchanged, and the sinks
    have what they had of `former`. `read` is how far that was read. If it was replaced, by a rename
    or on another file system, it is read from the beginning.
    """

    segment: Segment
    former: int
    kept: Checkpoint
    read: int
    reason: LossReason | Literal["replaced"]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that an operator should know, said once. The sentence has no trace content."""

    kind: WarningKind
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class LinkedFiles:
    """The hard links in some folders: how many, and the bytes of files that have no other name."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What one poll found.

    `changed` are segments that may have new bytes, `added` those seen for the first time (they are
    also in `changed`). `files` counts all known files, `waiting` those that may be copies in
    progress and are not taken yet, or that went while nobody looked and may be found elsewhere (one
    more while the kernel's notices have to be read before it is known what was lost), `not_regular`
    the matching names since the start that are no regular file. `recovered` are segments that can
    be read after all: a loss that was recorded because they were found nowhere is none.
    `deleted_bytes` is the size of deleted files that the tailer keeps on the disk, `set_aside` are
    the links that belong to no source, as they were within the last minute. `limits` are the
    budgets at which sources wait.
    `has_more`: some source has more to look at than its share of a scan; `is_urgent`:
    something that is new.
    """

    changed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()
    losses: tuple[Loss, ...] = ()
    recovered: tuple[int, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    warnings: tuple[Remark, ...] = ()
    files: int = 0
    waiting: int = 0
    not_regular: int = 0
    deleted_bytes: int = 0
    set_aside: LinkedFiles = LinkedFiles()
    limits: tuple[ReachedLimit, ...] = ()
    has_more: bool = False
    is_urgent: bool = False

    @property
    def held_bytes(self) -> int:
        """What is kept on the disk though it was deleted."""
        return self.deleted_bytes + self.set_aside.bytes


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment as it is now.

    `size` is its decompressed length as far as it is known. If `is_writer_gone`, no byte will be
    added: read it with `final=True`.
    """

    segment: Segment
    state: SegmentState
    size: int
    is_writer_gone: bool
    protection: Protection
    compression: Compression


@dataclass(frozen=True, slots=True)
class UndecidedFile:
    """A file that may be a copy in progress, and has not grown since `since`.

    `size` is in bytes, of an archive as it is on disk. The time is by the clock of the scans.
    """

    segment: Segment
    size: int
    since: float


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that could not be read when that was last tried; sinks may lack something of it.

    `size` is its length in bytes as far as it is known. It has failed since `since`, by the clock
    of the scans, because of `problem`. If it `is_new`, nothing of it was ever read, and there is no
    view of it.
    """

    segment: Segment
    size: int
    since: float
    problem: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """The files of a source.

    How many have a name, the bytes that all of them have on disk, and how many are protected in
    which way.
    """

    files: int = 0
    bytes: int = 0
    protections: Mapping[Protection, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnreadablePath:
    """A directory or file that exists and cannot be read now. The problem has no trace content."""

    source: str
    path: str
    problem: str
    is_directory: bool
