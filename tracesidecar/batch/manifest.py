"""The manifest beside the objects of a batch.

It is enough to prove from the store alone which bytes arrived, and redacted by which rules.
"""

from __future__ import annotations

import msgspec

MANIFEST_VERSION = 2


class ManifestRange(msgspec.Struct, frozen=True):
    """The part [start, end) of one segment.

    `lines` were accepted and became `records`; `refused` were rejected. `path` is as it may leave
    the machine.
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


class ManifestObject(msgspec.Struct, frozen=True):
    """An object by its name below the prefix, with its SHA-256 (hexadecimal), bytes and rows."""

    name: str
    sha256: str
    bytes: int
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """One batch. `time` is in seconds since the epoch; `cuts` counts redactions by rule.

    `redriven`: the ranges are lines that the ranges of earlier batches count as rejected. Version 1
    had neither `format` nor records in its ranges.
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
    cuts: dict[str, int]
    labels: dict[str, dict[str, str]]
    redriven: bool
    format: str = "raw"


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest as the store has it: one line of JSON."""
    return msgspec.json.encode(manifest) + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    """Decode a manifest; raise msgspec.ValidationError if the content is none."""
    return msgspec.json.decode(content, type=Manifest)
