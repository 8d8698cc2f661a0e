"""Which budgets sources have used up, and what waits because of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracesidecar.units import format_bytes

LimitName = Literal["files", "held", "rejected", "ratio"]
"""A budget of a source at which it waits: a key of its `limits`."""


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """A budget that a source has used up, so that something of it waits.

    `used` and `allowed` are in the unit of the limit: files, bytes, or times the compressed size.
    `waiting` counts the files that wait, as far as they are known; 0 if the whole source waits.
    `path` is that of the first of them, or empty.
    """

    source: str
    limit: LimitName
    used: int
    allowed: int
    waiting: int = 0
    path: str = ""

    @property
    def reason(self) -> str:
        """Return a sentence for people: what waits, and how that ends. It has no path in it."""
        name, allowed = f"limits.{self.limit}", self.allowed
        many = f"{self.waiting} file{'s' if self.waiting != 1 else ''}"
        match self.limit:
            case "ratio":
                return (
                    f"{many} cannot be read to the end, because the content is more than "
                    f"{allowed} times the compressed size ({name}): raise that limit to read the "
                    "rest, or delete them"
                )
            case "files":
                return (
                    f"{allowed} files or directories are followed ({name}), and {many} more wait: "
                    "raise that limit, or delete files that are not needed any more"
                )
            case "rejected":
                return (
                    f"its rejected lines take {format_bytes(self.used)} of the disk, and may take "
                    f"{format_bytes(allowed)} ({name}), so nothing new of it is read: redrive or "
                    "drop rejected lines (tracesidecar quarantine), or raise that limit"
                )
            case "held":
                return (
                    f"hard links keep {format_bytes(self.used)} of it, and may keep "
                    f"{format_bytes(allowed)} ({name}), so {many} wait without one: what is "
                    "deleted of these before all sinks have it is lost; it ends when the sinks "
                    "have caught up, or with a higher limit"
                )
