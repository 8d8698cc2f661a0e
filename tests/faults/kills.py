"""`make kills`: kill the daemon at random moments, more than a hundred times for each destination
that promises each line once, and count what is lost and what is there twice.

usage: python -m tests.faults.kills [--sink NAME]... [--seed N] [--kills N] [--together]

Prints one line for each destination. Exits with 1 if a line is lost or there twice, if a rejected
line is not in quarantine once, or if `verify` finds a difference; then the folder of the run stays,
and stderr names it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.campaign import POINTS, Campaign
from tests.faults.destinations import DESTINATIONS, Destination, digests
from tests.faults.material import (
    invalid_lines,
    mix,
    often_repeated,
    valid_lines,
    without_repeated_ids,
)
from tests.faults.oracle import Expected, differences, expect
from tests.warm import compile_rules

LINES_AT_LEAST = 500
"""Some named points are reached only by rotation: few kills need many lines, too."""

LINES_PER_KILL = 40
RELEASED_PER_KILL = 20
KILLS_PER_POINT = 4
"""After so many kills at a random moment comes one at a named point of the commit protocol."""


@dataclass(frozen=True)
class Result:
    """What a campaign found at one destination."""

    name: str
    seed: int
    kills: int
    lines: int
    lost: int
    twice: int
    trouble: Sequence[str]

    @property
    def line(self) -> str:
        """Return the result as one line."""
        return (
            f"{self.name}: seed {self.seed}, {self.kills} kills, {self.lines} lines, "
            f"{self.lost} lost, {self.twice} twice: {'DIFFERENT' if self.trouble else 'ok'}"
        )


def lines_for(destinations: Sequence[Destination], kills: int, seed: int) -> list[bytes]:
    """Return what the writers write.

    Files often begin alike and have equal lines, unless a destination makes one row of these.
    """
    valid = valid_lines(LINES_AT_LEAST + kills * LINES_PER_KILL, seed)
    if any(destination.merges_events for destination in destinations):
        valid = without_repeated_ids(list(dict.fromkeys(valid)))
    else:
        valid = often_repeated(valid, seed)
    return mix(valid, invalid_lines(kills // 2), seed)


def campaign(
    folder: Path, destinations: Sequence[Destination], kills: int, seed: int
) -> list[Result]:
    """Kill one daemon that ships to all these destinations, let it drain, and compare."""
    lines = lines_for(destinations, kills, seed)
    moments = [*[""] * kills, *POINTS * (kills // KILLS_PER_POINT // len(POINTS) + 1)]
    random.Random(seed).shuffle(moments)
    blocks = "".join(destination.block for destination in destinations)
    with Campaign(folder, lines, blocks, seed) as daemon:
        for point in moments:
            daemon.release(RELEASED_PER_KILL)
            if point:
                daemon.kill_at(point)
            else:
                daemon.kill_at_random()
        daemon.finish_writing()
        daemon.drain()
        daemon.ship_once()
        quarantined = daemon.count_quarantined()
        expected = expect(lines, str(compile_rules()))
        return [
            _compare(destination, expected, quarantined, seed, len(moments), daemon)
            for destination in destinations
        ]


def _compare(
    destination: Destination,
    expected: Expected,
    quarantined: Counter[int],
    seed: int,
    kills: int,
    daemon: Campaign,
) -> Result:
    wanted, found = digests(expected.delivered.elements()), destination.count()
    if destination.merges_events:
        # Redaction makes some lines equal; without ids of their own, they may be one event.
        wanted = Counter({line: min(count, max(found[line], 1)) for line, count in wanted.items()})
    rejected = expected.rejected
    trouble = [
        *differences(destination.name, wanted, found),
        *differences("quarantine", rejected, quarantined),
    ]
    if destination.keeps_objects:
        trouble += daemon.verify(destination.name)
    return Result(
        destination.name,
        seed,
        kills,
        wanted.total() + rejected.total(),
        (wanted - found).total() + (rejected - quarantined).total(),
        (found - wanted).total() + (quarantined - rejected).total(),
        trouble,
    )


def run(names: Sequence[str], kills: int, seed: int) -> bool:
    """Run a campaign against these destinations together; print a line for each, and return whether
    all is well.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"kills-{'-'.join(names)}-"))
    with ExitStack() as servers:
        destinations = []
        for name in names:
            (folder / f"server-{name}").mkdir()
            start = DESTINATIONS[name]
            destinations.append(servers.enter_context(start(folder / f"server-{name}")))
        (folder / "daemon").mkdir()
        results = campaign(folder / "daemon", destinations, kills, seed)
    for result in results:
        print(result.line, flush=True)
        for trouble in result.trouble:
            print(f"{result.name}: {trouble}", file=sys.stderr)
    if any(result.trouble for result in results):
        print(f"see {folder}", file=sys.stderr, flush=True)
        return False
    shutil.rmtree(folder)
    return True


def main() -> int:
    """Run what the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--sink", action="append", choices=DESTINATIONS, help="default: all")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=120, help="at random moments, per destination")
    parser.add_argument("--together", action="store_true", help="one daemon with all the sinks")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(arguments.sink or DESTINATIONS))
    is_good = True
    for group in [names] if arguments.together else [[name] for name in names]:
        try:
            is_good = run(group, arguments.kills, arguments.seed) and is_good
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            traceback.print_exc()
            print(f"{', '.join(group)}: seed {arguments.seed}, no result: {error!r}"[:300])
            is_good = False
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
