"""Whether the object that already has our name is ours."""

from __future__ import annotations

from dataclasses import dataclass

from tracesidecar.model import Payload


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of an object: `digest` is the SHA-256 in hex that a sink noted beside it,
    `checksum` the store's own of the whole content.
    """

    size_bytes: int
    digest: str | None
    checksum: str | None


def is_ours(stored: Stored, payload: Payload, checksum: str) -> bool:
    """Tell whether what is stored is this payload, whose checksum that is, or one that was planned
    under its name.

    Our own note is not proof enough: a store may have kept it and lost bytes.
    """
    is_whole = stored.size_bytes == len(payload.content)
    if stored.digest == payload.sha256.hex():
        return is_whole and stored.checksum in {None, checksum}
    return stored.digest in {planned.hex() for planned in payload.planned} or (
        is_whole and stored.checksum == checksum
    )
