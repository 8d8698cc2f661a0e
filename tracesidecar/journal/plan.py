"""What is written down before anything is sent, so that a repeat is the same or is known not to be."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tracesidecar.model import Range


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """An object's name below the sink's prefix, and the SHA-256 digests under which it may already
    lie there.
    """

    name: str
    sha256: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One batch of one sink, before it is sent; `lines` counts its records. `time` is in whole
    seconds since the epoch; `ranges` are in the order of the lines.

    `redriven` are the quarantine entries that the batch delivers after all, one a range; such a
    batch moves no offset. `manifest` is the store's, as it is to lie there: what arrived can be
    told even when the batch cannot be made again.
    """

    id: str
    sink: str
    time: int
    host: str
    fingerprint: str
    lines: int
    ranges: tuple[Range, ...]
    objects: tuple[PlannedObject, ...]
    redriven: tuple[int, ...] = ()
    manifest: bytes = field(default=b"", repr=False)


def encode_plan(plan: Plan) -> bytes:
    """The plan as the journal keeps it."""
    return msgspec.msgpack.encode(plan)


def decode_plan(body: bytes) -> Plan:
    """Undo `encode_plan`."""
    return msgspec.msgpack.decode(body, type=Plan)
