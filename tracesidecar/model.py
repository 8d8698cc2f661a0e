"""The frozen values that pass from stage to stage; the type says how far the data has come.

Offsets and lengths are bytes of the (decompressed) source; times are seconds since the epoch, UTC.
Paths are `str` from `os.fsdecode` (surrogateescape), so that every name a file system allows
survives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Compression = Literal["none", "gzip", "zstd"]

Severity = Literal["informational", "low", "medium"]
"""How much an event matters to who watches."""

CHUNK_BYTES = 1 << 20
"""The grid on which files are cut into chunks: a chunk ends with the last line that begins before a
whole MiB.
"""

TAIL_BYTES = 4096
"""How much of a file's beginning, and of what stands before an offset, is hashed to know the file
again.
"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place in a segment, and a keyed digest of the up to 4 KiB before it (empty at offset 0):
    proof that it is still that place.

    `state` is what the interpreter carries there from the lines before; empty where nobody
    interprets.
    """

    offset: int
    digest: bytes
    state: bytes = field(default=b"", repr=False)


BEGINNING = Checkpoint(0, b"")


@dataclass(frozen=True, slots=True)
class Segment:
    """One physical file in one generation. The id is unique in the journal; the path is only a
    label.

    `origin` is the path under which it was first seen, empty where that is `path`: a rotation
    changes nothing of what its lines mean.
    """

    id: int
    source: str
    path: str
    device: int
    inode: int
    generation: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that does not pass: [start, end) in its segment, without its newline. `digest` is
    keyed, None where the bytes were never held.
    """

    start: int
    end: int
    reason: str
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines as read: `data` is the segment's bytes [start, end).

    `data` is empty and `refused` has one entry where a line longer than the source allows was
    passed over. `torn` marks a last line without newline whose writer is known to be gone. `next`
    is the checkpoint at `end`.
    """

    segment: Segment
    start: int
    end: int
    data: bytes = field(repr=False)
    next: Checkpoint
    torn: bool = False
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanChunk:
    """Validated and redacted lines, each ended by a newline. Only `sanitize` makes one, and only a
    Clean may reach a sink, a log or a screen.

    `lines` counts the lines in `data`; `cuts` is ((rule id, count), …); `blank` counts lines,
    `repaired` has where lines began (as `Refusal` has it) that were repaired, `open` counts the
    streamed messages that may go on behind `end`: a secret that is split there is not seen.
    """

    segment: Segment
    start: int
    end: int
    data: bytes = field(repr=False)
    lines: int
    refused: tuple[Refusal, ...] = ()
    cuts: tuple[tuple[str, int], ...] = ()
    blank: int = 0
    repaired: tuple[int, ...] = ()
    open: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """What a batch takes of one segment: [start, end). `digest` is keyed over the source bytes,
    `tail` is the checkpoint digest at `end`.

    `lines` counts the records that it became: lines as they stand, or events.
    """

    segment: int
    start: int
    end: int
    digest: bytes
    tail: bytes
    lines: int


@dataclass(frozen=True, slots=True)
class Payload:
    """One object or request body: encoded bytes, ready to send. `name` is the object's name below
    the sink's prefix.

    `planned` are the SHA-256 digests under which this object may already lie at the destination: of
    this content and, after an upgrade came between plan and repeat, of what was planned before.
    """

    name: str
    content: bytes = field(repr=False)
    sha256: bytes
    records: int
    media_type: str = "application/x-ndjson"
    compression: Compression = "none"
    planned: tuple[bytes, ...] = ()


class Record(NamedTuple):
    """One record by itself, for destinations that take them one by one: encoded, without a newline.

    `id` is the event's, stable over repeats; `time` is RFC 3339 in UTC with microseconds.
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


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent together under one id. Objects first, then the manifest (stores only); or
    `records` for a sink that takes them one by one.

    `time` is the plan's time (whole seconds since the epoch): a repeat has the same. `fingerprint`
    names all that shaped the bytes (program, rules, format, compression). `lines` counts the
    records in it, `size_bytes` their bytes before compression.
    """

    id: str
    time: int
    objects: tuple[Payload, ...]
    manifest: Payload | None
    lines: int
    size_bytes: int
    fingerprint: str
    records: tuple[Record, ...] = ()
