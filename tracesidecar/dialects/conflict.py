"""Two rows with one event id: the same line twice, or two lines of which each must be kept.

Ids follow from what an agent writes, so one session can write another's. A store that keeps one row
for an id compares the lines, and keeps the second one under an id that follows from both. So a
repeat, another store and another host find it there again.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class LineOrigin(NamedTuple):
    """The line that a row was made of, and what made it; None or empty if the row does not say."""

    line_sha256: str | None
    processed_by: str | None

    def contradicts(self, other: LineOrigin) -> bool:
        """Return whether rows with one id and these origins are of two lines.

        Under other rules a line is redacted differently, so there another digest says nothing: it
        counts as a repeat. So does a row of a version without `processed_by`.
        """
        return (
            self.line_sha256 != other.line_sha256
            and self.processed_by == other.processed_by
            and all((*self, *other))
        )


def derive_id(event_id: str, line_sha256: str) -> str:
    """Return the id for an event whose own id another line has."""
    return hashlib.sha256(f"{event_id}\0{line_sha256}".encode()).hexdigest()[:32]
