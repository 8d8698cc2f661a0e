"""How far one batch has come, over all attempts to send it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tracesidecar.dialects import LineOrigin
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Record
from tracesidecar.sinks.elasticsearch.responses import Outcome, Taken


class TakenId(NamedTuple):
    """A record whose id a document of that index has."""

    record: int
    index_name: str


class BatchProgress:
    """Which records of a batch are still to be sent, and which are rejected.

    `records` are as they are to be sent: one whose id another line has is there under a derived id.
    `waiting` are the indexes still to be sent, in order of sending; `rejected` maps the index of
    each rejected record to the reason. The others are stored. `conflicts` counts those that were
    stored under a derived id, by the path of their file.
    """

    def __init__(self, batch_id: str, records: Sequence[Record]) -> None:
        self.batch_id = batch_id
        self.records = list(records)
        self.waiting: Sequence[int] = range(len(records))
        self.rejected: dict[int, str] = {}
        self.conflicts: Counter[str] = Counter()
        self._derived: set[int] = set()

    def reject_first(self, reason: str) -> None:
        """Record that the destination rejects the first waiting record."""
        first, *self.waiting = self.waiting
        self.rejected[first] = reason

    def next_ids(self, count: int) -> list[str]:
        """Return the ids of the first waiting records, as they are sent."""
        return [self.records[index].id for index in self.waiting[:count]]

    def record(self, outcomes: Sequence[Outcome]) -> list[TakenId]:
        """Record what became of the first waiting records.

        Those whose id is taken are returned, and wait for `settle`. Raise RetryLater if some have
        to be sent again. Both come first.
        """
        sent, rest = self.waiting[: len(outcomes)], self.waiting[len(outcomes) :]
        answered = list(zip(sent, outcomes, strict=True))
        self.rejected |= {
            index: error.reason for index, error in answered if isinstance(error, Rejected)
        }
        self.conflicts.update(
            self.records[index].source
            for index, outcome in answered
            if outcome is None and index in self._derived
        )
        retries = [(index, error) for index, error in answered if isinstance(error, RetryLater)]
        taken = [
            TakenId(index, outcome.index)
            for index, outcome in answered
            if isinstance(outcome, Taken)
        ]
        self.waiting = [
            *(index for index, _ in retries),
            *(each.record for each in taken),
            *rest,
        ]
        if retries:
            raise retries[0][1]
        return taken

    def settle(self, stored: Mapping[int, LineOrigin], derive: Callable[[Record], Record]) -> None:
        """Decide about records whose id is taken, by what is stored under it.

        The same line is a repeat. Another one waits on, under the id that `derive` gives it.
        """
        conflicts = {
            index
            for index, origin in stored.items()
            if origin.contradicts(_origin(self.records[index]))
        }
        for index in conflicts:
            self.records[index] = derive(self.records[index])
        self._derived |= conflicts
        self.waiting = [
            index for index in self.waiting if index in conflicts or index not in stored
        ]


def _origin(record: Record) -> LineOrigin:
    return LineOrigin(record.line_sha256, record.processed_by)
