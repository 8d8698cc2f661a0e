"""What an event gets from its batch: its times, and what its sink is given of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode import Narrowing, RejectedEvent, reject_event

EARLIEST_DAY = "2020-01-01"
"""An event before this day was written by a host whose clock was wrong."""


class BatchClock:
    """Gives events their ingest time, and the batch's time if theirs is missing or impossible."""

    def __init__(self, at: int, narrowing: Narrowing | None = None) -> None:
        """Take the batch's time, in seconds since the epoch, and what its sink is not given."""
        self._narrowing = narrowing
        self._rejected: list[RejectedEvent] = []
        moment = datetime.fromtimestamp(at, UTC)
        self._time = moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        self._latest_day = (moment + timedelta(days=1)).strftime("%Y-%m-%d")

    def date(self, events: Iterable[DialectEvent]) -> list[tuple[str, Event]]:
        """Return each dialect and event as this batch has it.

        They are copies, because other sinks share the originals. Whatever is made of an event (its
        record, and what a destination is given beside that) is made of this one.
        A copy is shallow: it costs less than half a percent of interpreting the event.
        """
        time, latest_day = self._time, self._latest_day
        dated: list[tuple[str, Event]] = []
        for dialect, event in events:
            own: Event = event.__copy__()  # type: ignore[attr-defined] # every Struct has it
            own.ingest_time = time
            if own.event_time is None or not EARLIEST_DAY <= own.event_time[:10] <= latest_day:
                own.event_time, own.event_time_source = time, "ingest"
            dated.append((dialect, own))
        return dated if self._narrowing is None else list(self._narrow(dated, self._narrowing))

    def take_rejected(self) -> list[RejectedEvent]:
        """Return the events since the last call that `date` has left out."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def _narrow(
        self, dated: Iterable[tuple[str, Event]], narrowing: Narrowing
    ) -> Iterator[tuple[str, Event]]:
        for dialect, event in dated:
            try:
                yield dialect, narrowing.narrow(event)
            except Exception as error:  # noqa: BLE001 - a bug in one event stays in it
                self._rejected.append(reject_event(event, error))
