"""How far one batch has come, over all attempts to send it."""

from __future__ import annotations

from collections.abc import Sequence

from tracesidecar.errors import Rejected, RetryLater, SinkError


class BatchProgress:
    """Which records of a batch are still to be sent, and which are rejected.

    `waiting` are the indexes still to be sent, in order of sending; `rejected` maps the index of
    each rejected record to the reason. The others are stored.
    """

    def __init__(self, batch_id: str, records: int) -> None:
        self.batch_id = batch_id
        self.waiting: Sequence[int] = range(records)
        self.rejected: dict[int, str] = {}

    def reject_first(self, reason: str) -> None:
        """Record that the destination rejects the first waiting record."""
        first, *self.waiting = self.waiting
        self.rejected[first] = reason

    def record(self, outcomes: Sequence[SinkError | None]) -> None:
        """Record what became of the first waiting records.

        Raise RetryLater if some of them have to be sent again; they then come first.
        """
        sent, rest = self.waiting[: len(outcomes)], self.waiting[len(outcomes) :]
        answered = list(zip(sent, outcomes, strict=True))
        self.rejected |= {
            index: error.reason for index, error in answered if isinstance(error, Rejected)
        }
        retries = [(index, error) for index, error in answered if isinstance(error, RetryLater)]
        self.waiting = [*(index for index, _ in retries), *rest]
        if retries:
            raise retries[0][1]
