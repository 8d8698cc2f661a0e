"""Which entries Loki calls too old: its message names the oldest time that it takes.

Loki stores the other entries of such a request. Without this, bisection would find the rejected
ones, at two requests for each of them in a backlog of a week.

The messages are those of Loki's pkg/validation/validate.go ("has timestamp too old", for every
stream of the tenant) and pkg/ingester/stream.go ("entry too far behind", for the stream it names).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tracesidecar.encode import epoch_microseconds
from tracesidecar.model import Record

_TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2}))"
_TOO_OLD = re.compile(
    rf"has timestamp too old: [^,\n]{{1,64}}, oldest acceptable timestamp is: {_TIME}"
)
_TOO_FAR_BEHIND = re.compile(
    rf"entry too far behind[^'\n]{{0,80}}oldest acceptable timestamp is: {_TIME}'"
)
_IGNORED = re.compile(r"total ignored: ([0-9]{1,9}) out of ([0-9]{1,9})")
_BEHIND = re.compile(r"reason: 'entry (?:too far behind|out of order)")
_DIALECT = re.compile(r"for stream: \{[^}\n]*?\bdialect=\"([^\"\n]{1,100})\"")


@dataclass(slots=True)
class Cutoffs:
    """The oldest times that Loki takes, learned from its answers, until `forget`.

    Times are in microseconds since 1970; in `by_dialect`, which are the streams of a request, for
    one dialect alone.
    """

    of_all: int = 0
    by_dialect: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Forget the times: someone may have changed Loki's limits."""
        self.of_all = 0
        self.by_dialect.clear()

    def reason(self, record: Record) -> str:
        """Return why Loki rejects the record, empty if nothing is known about it."""
        time = epoch_microseconds(record.time)
        if time < self.of_all:
            return "too_old"
        return "too_far_behind" if time < self.by_dialect.get(record.dialect, 0) else ""

    def learn(self, message: str, sent: Sequence[Record]) -> None:
        """Take the times from the message with which Loki answered to these records.

        They have a resolution of a second: an entry of the same second may be accepted.
        """
        for match in _TOO_OLD.finditer(message):
            self.of_all = max(self.of_all, _microseconds(match[1]))
        dialects = {match[1] for match in _DIALECT.finditer(message)}
        if len(dialects) != 1:
            return
        (dialect,) = dialects
        found = [_microseconds(match[1]) for match in _TOO_FAR_BEHIND.finditer(message)]
        found += _all_of_a_stream(message, dialect, sent)
        if found:
            self.by_dialect[dialect] = max(self.by_dialect.get(dialect, 0), *found)


def _all_of_a_stream(message: str, dialect: str, sent: Sequence[Record]) -> Iterator[int]:
    """Yield a time after all entries of the stream, if Loki has ignored every one of them.

    Before 2.8, Loki did not name the oldest time that it takes.
    """
    ignored = _IGNORED.search(message)
    count = Counter(record.dialect for record in sent)[dialect]
    if (
        ignored is not None
        and _BEHIND.search(message) is not None
        and int(ignored[1]) == int(ignored[2]) == count
    ):
        yield 1 + max(
            epoch_microseconds(record.time) for record in sent if record.dialect == dialect
        )


def _microseconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp()) * 1_000_000
    except ValueError:  # not a day of the calendar
        return 0
