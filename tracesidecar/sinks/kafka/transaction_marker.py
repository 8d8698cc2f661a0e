"""The note that a transaction commits beside its messages: which batch it was, and which records
were left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tracesidecar.errors import Rejected

LIMIT_BYTES = 4000
"""Brokers take 4096 (`offset.metadata.max.bytes`)."""


@dataclass(frozen=True, slots=True)
class Note:
    """`refused`: indexes of records in that batch, with the name of the error."""

    batch_id: str
    refused: Mapping[int, str]

    @classmethod
    def read(cls, text: str) -> Note:
        """Read it; of nothing, or of what somebody else wrote there, make the note of no batch."""
        try:
            batch_id, refused = msgspec.json.decode(
                text or '["",{}]', type=tuple[str, dict[int, str]]
            )
        except msgspec.MsgspecError:
            return cls("", {})
        return cls(batch_id, refused)

    def text(self) -> str:
        """Write it; raise Rejected, for bisection, where so many are refused that the note would be
        too long.
        """
        text = msgspec.json.encode((self.batch_id, dict(self.refused))).decode()
        if len(text) > LIMIT_BYTES:
            raise Rejected(
                "too_large", f"{len(self.refused)} messages of one transaction are refused"
            )
        return text
