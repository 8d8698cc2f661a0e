"""Which partitions of a lake the events of a batch go to: their day's, as long as these are few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import date
from typing import NamedTuple


class PartitionKey(NamedTuple):
    """One day (UTC, YYYY-MM-DD) of one dialect."""

    day: str
    dialect: str


class PartitionBudget:
    """Gives each source so many partitions of a batch, those nearest to the day of arrival.

    A partition counts for the source that needed it first; who finds it there uses it for nothing.
    So what one source writes never moves the rows of another.
    """

    def __init__(
        self,
        arrival: str,
        limits: Mapping[str, int],
        planned: Container[PartitionKey] | None = None,
    ) -> None:
        """`arrival` is the batch's day. A source without a limit has as many as it needs.

        `planned` are the partitions of a batch that is made again: these, and no others.
        """
        self._arrival = arrival
        self._limits = limits
        self._planned = planned
        self._counted: defaultdict[str, set[PartitionKey]] = defaultdict(set)
        self._users: defaultdict[PartitionKey, set[str]] = defaultdict(set)

    def place(self, source: str, keys: Sequence[PartitionKey]) -> dict[PartitionKey, PartitionKey]:
        """Return where events of a source go, by day and dialect.

        The result has these keys, and those of earlier calls whose events go to the day of arrival
        now.
        """
        if self._planned is not None:
            planned = self._planned
            return {key: key if key in planned else self._at_arrival(key) for key in keys}
        moved = [far for key in keys for far in self._make_room(source, key)]
        return {
            key: key if self._users.get(key) else self._at_arrival(key) for key in (*keys, *moved)
        }

    def _make_room(self, source: str, key: PartitionKey) -> list[PartitionKey]:
        """Count a partition and return those that are beyond the limit now."""
        limit = self._limits.get(source)
        if limit is None or self._users.get(key):
            self._users[key].add(source)
            return []
        counted, moved = self._counted[source], list[PartitionKey]()
        self._count(source, key)
        while len(counted) > limit:
            far = max(counted, key=self._distance)
            if far.day == self._arrival:
                break  # only dialects are left, of which there are few
            counted.remove(far)
            others = self._users[far] - {source}
            if others:
                self._counted[min(others)].add(far)
                continue
            del self._users[far]
            self._count(source, self._at_arrival(far))
            moved.append(far)
        return moved

    def _at_arrival(self, key: PartitionKey) -> PartitionKey:
        """Return the partition of the same dialect on the day of arrival."""
        return PartitionKey(self._arrival, key.dialect)

    def _count(self, source: str, key: PartitionKey) -> None:
        if not self._users[key]:
            self._counted[source].add(key)
        self._users[key].add(source)

    def _distance(self, key: PartitionKey) -> tuple[int, PartitionKey]:
        days = date.fromisoformat(key.day) - date.fromisoformat(self._arrival)
        return abs(days.days), key
