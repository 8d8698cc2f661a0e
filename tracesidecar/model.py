"""The frozen values that pass from stage to stage. The type says how far the data has come.

Offsets and lengths are bytes of the (decompressed) source. Times are seconds since the epoch, UTC.
Paths are `str` from `os.fsdecode` (surrogateescape), so that every name that a file system allows
survives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Compression = Literal["none", "gzip", "zstd"]

Severity = Literal["informational", "low", "medium"]
"""How much an event matters to a person who watches."""

CHUNK_BYTES = 1 << 20
"""The grid on which files are split.

A chunk ends with the last line that begins before a whole MiB.
"""

CHUNK_LINES = 1 << 14
"""The most lines of a chunk: an event takes some KB of memory, however short its line is."""

LONGEST_OPEN_BYTES = CHUNK_BYTES // 4
"""How long a streamed message may be and still be kept together.

A chunk that begins this near to a grid line goes on to the next one, and the redaction does not
wait for the end of a message that began further back than this.
"""

TAIL_BYTES = 4096
"""How much of a file's beginning, and of the bytes before an offset, is hashed to recognize it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An offset in a segment, with a keyed digest of the up to 4 KiB before it.

    The digest (empty at offset 0) proves that the file still holds the same bytes there. `state` is
    the interpreter's state after all lines before the offset, empty if nobody interprets them.
    """

    offset: int
    digest: bytes
    state: bytes = field(default=b"", repr=False)


BEGINNING = Checkpoint(0, b"")


@dataclass(frozen=True, slots=True)
class Segment:
    """One physical file in one generation. The id is unique in the journal; the path is a label.

    `origin` is the path under which the file was first seen, empty if that is `path`: a rotation
    does not change what its lines mean. The bytes before `begin` were delivered as another segment,
    before the file was shortened or rewritten from there on.
    """

    id: int
    source: str
    path: str
    device: int
    inode: int
    generation: int
    origin: str = ""
    begin: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that is not delivered: [start, end) in its segment, without its newline.

    `digest` is a keyed digest of the line, None if its bytes were never read. `sealed` names the
    file that holds its bytes encrypted, from `sealed_at` on; empty if they are only in the source.
    """

    start: int
    end: int
    reason: str
    digest: bytes | None = None
    sealed: str = ""
    sealed_at: int = 0


class LinePosition(NamedTuple):
    """Where an accepted line stood.

    Its number in the chunk from 0, its offset in the segment and its length, in bytes without
    the newline. A document has the number of its first line.
    """

    number: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines as read: `data` is the segment's bytes [start, end).

    If a line is longer than the source allows, the reader skips it: then `data` is empty and
    `rejected` has one entry. `torn` marks a last line without newline whose writer is gone. `next`
    is the checkpoint at `end`. With `documents`, `data` has whole JSON documents in place of lines.
    `is_shortened`: more lines follow at once that were too many for it.
    """

    segment: Segment
    start: int
    end: int
    data: bytes = field(repr=False)
    next: Checkpoint
    torn: bool = False
    rejected: tuple[Rejection, ...] = ()
    documents: bool = False
    is_shortened: bool = False


@dataclass(frozen=True, slots=True)
class CleanChunk:
    """Validated and redacted lines, each ended by a newline.

    Only `sanitize` makes one, and only its content may reach a sink, a log or a screen. `next` is
    the checkpoint at `end`; `lines` counts the lines in `data`; `redactions` is ((rule id, count),
    …); `repaired` has the offsets at which repaired lines begin in the segment; `parts` are the
    (start, end) of those records that were taken out of a line with something else in it. Of
    `documents`, each of which became a line, `parts` has all.
    `open_messages` counts the streamed messages that may continue after `end`: a secret that is
    split there is not seen.

    `digest` is a keyed digest of the source bytes, set when a chunk is taken for delivery.
    `positions` says where each line of `data` stood and `source_lines` how many lines there were,
    including the rejected and blank ones; both are set only if somebody interprets the lines.
    """

    segment: Segment
    start: int
    end: int
    data: bytes = field(repr=False)
    next: Checkpoint
    lines: int
    rejected: tuple[Rejection, ...] = ()
    redactions: tuple[tuple[str, int], ...] = ()
    blank_lines: int = 0
    repaired: tuple[int, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    documents: bool = False
    open_messages: int = 0
    digest: bytes = field(default=b"", repr=False)
    positions: tuple[LinePosition, ...] = field(default=(), repr=False)
    source_lines: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """The part [start, end) of a segment that a batch contains.

    `digest` is keyed over the source bytes, `tail` is the checkpoint digest at `end`. `lines`
    counts the records that the range became: lines as they stand, or events.
    """

    segment: int
    start: int
    end: int
    digest: bytes
    tail: bytes
    lines: int


@dataclass(frozen=True, slots=True)
class Payload:
    """One object or request body: encoded bytes, ready to send.

    `name` is the object's name below the sink's prefix. `planned` are the SHA-256 digests under
    which this object may already exist at the destination: the digest of this content and, if the
    program was upgraded between plan and replay, the digest that was planned before.
    """

    name: str
    content: bytes = field(repr=False)
    sha256: bytes
    records: int
    media_type: str = "application/x-ndjson"
    compression: Compression = "none"
    planned: tuple[bytes, ...] = ()


class Record(NamedTuple):
    """One encoded record without a newline, for destinations that take records one by one.

    `id` is the event's id, the same on every replay; `time` is RFC 3339 in UTC with microseconds.
    `line_sha256` and `processed_by` are the event's, empty where nobody needs them.
    """

    body: bytes
    id: str
    dialect: str
    conversation: str
    source: str
    time: str
    kind: str
    trace_id: str | None
    span_id: str | None
    severity: Severity = "informational"
    line_sha256: str = ""
    processed_by: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent together under one id: `objects`, then the manifest (stores only), or `records`.

    `time` is the plan's time (whole seconds since the epoch), the same on every replay.
    `fingerprint` identifies everything that shaped the bytes (program, rules, format, compression).
    `lines` counts the records, `size_bytes` is their size before compression.
    """

    id: str
    time: int
    objects: tuple[Payload, ...]
    manifest: Payload | None
    lines: int
    size_bytes: int
    fingerprint: str
    records: tuple[Record, ...] = ()
