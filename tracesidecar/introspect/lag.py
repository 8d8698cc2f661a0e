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


def measure_lag(backlogs: Iterable[Backlog], sinks: Sequence[SinkOptions], now: float) -> LagReport:
    """Add up what is not delivered at `now`, in seconds since the epoch."""
    behind = Counter[str]()
    oldest: dict[str, float] = {}
    at_risk = Counter[str]()
    for backlog in backlogs:
        for sink, remainder in backlog.remainders.items():
            if remainder.bytes:
                behind[sink] += remainder.bytes
                oldest[sink] = min(oldest.get(sink, now), remainder.since)
        if not backlog.is_protected:
            at_risk[backlog.source] += max(
                (
                    backlog.remainders[sink.name].bytes
                    for sink in deciding_sinks(sinks, backlog.source)
                    if sink.name in backlog.remainders
                ),
                default=0,
            )
    lags = {
        sink.name: Lag(behind[sink.name], round(max(0.0, now - oldest.get(sink.name, now)), 1))
        for sink in sinks
    }
    return LagReport(lags, at_risk)
