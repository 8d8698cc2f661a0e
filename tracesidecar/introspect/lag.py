"""What is not delivered yet, for how long, and how much of it a deletion would lose.

The figures are defined here and nowhere else. The running daemon fills in what it knows
(`daemon.status`), a command without a daemon what the journal knows (`introspect.status`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tracesidecar.sinks import SinkOptions, deciding_sinks


@dataclass(frozen=True, slots=True)
class Remainder:
    """What one sink does not have of a segment.

    `since`, in seconds since the epoch, is when the sink was found behind on it: a daemon has seen
    that, and who reads the journal estimates it with `estimate_since`.
    """

    bytes: int
    since: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """A readable segment with whole lines that some sink has not fully received.

    `remainders` is by sink. `is_protected`: the bytes stay readable if the file is deleted now.
    Those that cannot be read now are not protected.
    """

    source: str
    is_protected: bool
    remainders: Mapping[str, Remainder]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one sink is behind.

    `bytes` are on disk, and the sink does not have them, also if they cannot be read now. The
    unfinished last line of a file counts only together with whole lines before it, or as long as
    the daemon has not read it.

    Of a compressed archive the decompressed bytes count, as many as are known: the daemon knows how
    far it has decompressed the archive, the journal the last such length that was saved. So the two
    may differ, and an archive that nobody has begun to read counts nothing.

    `seconds` is how long the sink has been behind without a break on the segment that has waited
    longest. The age of the file does not count: an old file that the daemon has just found is a lag
    of some seconds. A daemon that starts begins at 0 again.
    """

    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LagReport:
    """The lag of each sink, and per source the bytes that a deletion of the files would lose.

    At risk are the bytes of files that nothing protects, or that cannot be read now, whatever keeps
    them, as far as a required sink has still to get them; if no required sink takes the source,
    every sink that takes it counts.
    """

    sinks: Mapping[str, Lag]
    at_risk_bytes: Mapping[str, int]


def estimate_since(modified: float, committed: float | None) -> float:
    """Return since when a sink may be behind on bytes, for a process that has not seen it happen.

    That is the later of the moment the file was modified and the sink's last commit, at which
    nothing else was left to deliver as far as is known. All in seconds since the epoch.
    """
    return max(modified, committed or 0.0)


class LagMeter:
    """Adds up what is not delivered, one backlog after the other."""

    def __init__(self, sinks: Sequence[SinkOptions], now: float) -> None:
        """Measure at `now`, in seconds since the epoch."""
        self._sinks = sinks
        self._now = now
        self._behind = Counter[str]()
        self._oldest: dict[str, float] = {}
        self._at_risk = Counter[str]()

    def add(self, backlog: Backlog) -> None:
        """Add what is left of a file."""
        for sink, remainder in backlog.remainders.items():
            if remainder.bytes:
                self._behind[sink] += remainder.bytes
                self._oldest[sink] = min(self._oldest.get(sink, self._now), remainder.since)
        if not backlog.is_protected:
            self._at_risk[backlog.source] += max(
                (
                    backlog.remainders[sink.name].bytes
                    for sink in deciding_sinks(self._sinks, backlog.source)
                    if sink.name in backlog.remainders
                ),
                default=0,
            )

    def report(self) -> LagReport:
        """Return what was added up."""
        lags = {
            sink.name: Lag(
                self._behind[sink.name],
                round(max(0.0, self._now - self._oldest.get(sink.name, self._now)), 1),
            )
            for sink in self._sinks
        }
        return LagReport(lags, self._at_risk)


def measure_lag(backlogs: Iterable[Backlog], sinks: Sequence[SinkOptions], now: float) -> LagReport:
    """Add up what is not delivered at `now`, in seconds since the epoch."""
    meter = LagMeter(sinks, now)
    for backlog in backlogs:
        meter.add(backlog)
    return meter.report()
