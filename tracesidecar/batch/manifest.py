"""The manifest beside the objects of a batch.

It is enough to prove from the store alone which bytes arrived, and redacted by which rules.
"""

from __future__ import annotations

import hashlib

import msgspec

from tracesidecar.encode import parse_object_name

MANIFEST_VERSION = 3
MOST_MANIFEST_BYTES = 64 << 20
"""No manifest has more: what describes the ranges of a batch counts for its memory."""

_LAST_TIME = 253_402_300_799
"""The end of the year 9999, beyond which there are no names of days."""
_LARGEST = (1 << 63) - 1


class ManifestRange(msgspec.Struct, frozen=True):
    """The part [start, end) of one segment.

    `lines` were accepted and became `records`; `refused` were rejected. `path` is as it may leave
    the machine.

    `recover` finds the file again by the rest: `device` and `inode`, and `last`, a digest of the
    range's last accepted line as redacted. `last` is empty if the sink is sent less than the whole
    lines, because a digest would allow guesses at what is left out.

    The bytes before `begin` were delivered as another segment, of the same file before it was
    shortened or rewritten.

    `source_file` and `source_generation` are what the range's events have in `source_file` and
    `generation`; `path`, `device` and `inode` say which file that is. They are empty and 0 if the
    range has no events.
    """

    segment: int
    source: str
    path: str
    generation: int
    start: int
    end: int
    lines: int
    refused: int
    records: int = -1
    device: int = 0
    inode: int = 0
    last: str = ""
    begin: int = 0
    source_file: str = ""
    source_generation: int = 0


class ManifestObject(msgspec.Struct, frozen=True):
    """An object by its name below the prefix, with its SHA-256 (hexadecimal), bytes and rows."""

    name: str
    sha256: str
    bytes: int
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """One batch. `time` is in seconds since the epoch.

    `cuts`, an object, counts redactions by rule, and `labels` has those of each source. They are
    for other programs: what is decoded of them takes up to a hundred times its size, and the store
    may be somebody else's.

    `redriven`: the ranges are lines that the ranges of earlier batches count as rejected. Version 1
    had neither `format` nor records in its ranges, and version 2 nothing to find the files by.
    """

    version: int
    batch: str
    sink: str
    time: int
    host: str
    program: str
    rules: str
    fingerprint: str
    objects: tuple[ManifestObject, ...]
    ranges: tuple[ManifestRange, ...]
    cuts: msgspec.Raw
    labels: msgspec.Raw
    redriven: bool
    format: str = "raw"


def require_object(described: ManifestObject) -> None:
    """Raise ValueError for an object with a name that this program gives to none."""
    if parse_object_name(described.name) is None:
        raise ValueError("an object has a name that this program does not give")
    require_counts(described.bytes, described.rows)


def require_counts(*counts: int) -> None:
    """Raise ValueError if a count of a manifest is negative or too large."""
    if not 0 <= min(counts) <= max(counts) <= _LARGEST:
        raise ValueError("a count is out of bounds")


def digest_last_line(lines: bytes) -> str:
    """Return the digest of the last of some lines as redacted, empty if there is none."""
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    return hashlib.sha256(last).hexdigest()[:32] if last else ""


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest as the store has it: one line of JSON."""
    return msgspec.json.encode(manifest) + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    """Decode a manifest; raise msgspec.ValidationError if the content is none of this program.

    Whoever may write to the store may write one: no name leads out of the lake, and no number is
    beyond what a file, a time or the journal has.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        if not 0 <= manifest.time <= _LAST_TIME:
            raise ValueError("the time is out of bounds")
        for each in manifest.objects:
            require_object(each)
        for part in manifest.ranges:
            _check_range(part)
    except msgspec.DecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise msgspec.ValidationError(str(error)) from error
    return manifest


def _check_range(part: ManifestRange) -> None:
    """Raise ValueError for numbers that no file has."""
    require_counts(
        part.segment,
        part.generation,
        part.generation + 1,  # the next one must be a number of the journal, too
        part.begin,
        part.start,
        part.end,
        part.lines,
        part.refused,
        part.source_generation,
        part.source_generation + 1,
        part.records + 1,
    )
    require_counts(part.device >> 1, part.inode >> 1)  # 64 bits without a sign
