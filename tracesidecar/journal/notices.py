"""What a person should know of this state directory: renamed sources, a move to another machine."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from tracesidecar.journal.database import JournalDatabase

_MOST = 20
_KEY = "notices"
_Counts = dict[str, Annotated[int, msgspec.Meta(ge=0)]]


class Notice(msgspec.Struct, frozen=True):
    """Something that was logged once: the event, when (since the epoch), and a sentence."""

    event: str
    at: float
    sentence: str


class Notices:
    """The last notices, for `status`."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def add(self, event: str, sentence: str) -> None:
        """Keep a notice."""
        kept = [*self.load(), Notice(event, time.time(), sentence)][-_MOST:]
        self._database.set_meta(_KEY, msgspec.json.encode(kept))

    def load(self) -> list[Notice]:
        """Return the notices, oldest first."""
        content = self._database.find_meta(_KEY)
        try:
            return [] if content is None else msgspec.json.decode(content, type=list[Notice])
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("the notices cannot be read") from error


class RewriteCounts:
    """How often files of each source were shortened or rewritten."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database

    def add(self, source: str) -> None:
        """Count one file."""
        counts = self.load()
        counts[source] = counts.get(source, 0) + 1
        self._database.set_meta("rewrites", msgspec.json.encode(counts))

    def load(self) -> dict[str, int]:
        """Return the count of each source that has one."""
        content = self._database.find_meta("rewrites")
        try:
            return {} if content is None else msgspec.json.decode(content, type=_Counts)
        except msgspec.DecodeError as error:
            raise self._database.explain_damage("the counts of rewrites cannot be read") from error
