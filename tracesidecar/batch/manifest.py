"""What stands beside the objects of a batch: enough to prove from the store alone which bytes
arrived, and by which rules.
"""

from __future__ import annotations

import msgspec

MANIFEST_VERSION = 2


class ManifestRange(msgspec.Struct, frozen=True):
    """[start, end) of one segment: `lines` passed and became `records`, `refused` did not pass.
    `path` is as it may leave the machine.
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
    """An object by its name below the prefix, with its SHA-256 (hexadecimal), size in bytes and
    rows.
    """

    name: str
    sha256: str
    bytes: int
    rows: int


class Manifest(msgspec.Struct, frozen=True):
    """One batch. `time` is in seconds since the epoch; `cuts` counts redactions by rule.

    `redriven`: the ranges are lines that the ranges of earlier batches count as refused. Version 1
    had no `format`, and no records in its ranges.
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
    """As it stands in the store: one line of JSON."""
    return msgspec.json.encode(manifest) + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    """Undo `encode_manifest`; raises msgspec.ValidationError where it is none."""
    return msgspec.json.decode(content, type=Manifest)
