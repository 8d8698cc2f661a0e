"""The marker that a transaction commits with its messages.

It says which batch it was, and which records were left out.

It is written as the metadata of a consumer group's offset, the only text that Kafka commits in the
same transaction as messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tracesidecar.errors import Rejected

LIMIT_BYTES = 4000
"""Brokers accept 4096 bytes by default (`offset.metadata.max.bytes`)."""


@dataclass(frozen=True, slots=True)
class TransactionMarker:
    """`rejected` maps the indexes of the batch's rejected records to the names of their errors."""

    batch_id: str
    rejected: Mapping[int, str]

    @classmethod
    def parse(cls, text: str) -> TransactionMarker:
        """Return the marker in a text; one of no batch if the text is empty or somebody else's."""
        try:
            batch_id, rejected = msgspec.json.decode(
                text or '["",{}]', type=tuple[str, dict[int, str]]
            )
        except (msgspec.MsgspecError, RecursionError):
            return cls("", {})
        return cls(batch_id, rejected)

    def serialize(self) -> str:
        """Return the marker as text.

        Raise Rejected, so that the batch is bisected, if too many records are rejected for it.
        """
        text = msgspec.json.encode((self.batch_id, dict(self.rejected))).decode()
        if len(text) > LIMIT_BYTES:
            raise Rejected(
                "too_large",
                f"{len(self.rejected)} messages of one transaction are rejected, "
                "too many for its marker; the batch is split",
            )
        return text
