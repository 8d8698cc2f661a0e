"""A daemon that is killed while it sends to one destination."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Campaign
from tests.faults.material import invalid_lines, mix, valid_lines, without_repeated_ids
from tests.faults.oracle import Expected, expect

BATCH = 'batch = { bytes = "64KiB", lines = 40, age = "1s", idle = "100ms" }'
LINES_PER_KILL = 150
"""Enough for a daemon that is slow to start: lines are written until it comes to the point where it
is killed.
"""
POINTS = ("sending", "sent", "committing", "sending", "")


def kill_while_sending(folder: Path, sink: str, *, kills: int) -> Expected:
    """Write traces, kill the daemon that ships them several times, and let it drain.

    `sink` is its block of configuration without `batch`.
    """
    lines = mix(
        without_repeated_ids(valid_lines(LINES_PER_KILL * kills, kills)), invalid_lines(4), kills
    )
    moments = [POINTS[number % len(POINTS)] for number in range(kills)]
    random.Random(kills).shuffle(moments)
    with Campaign(folder, lines, f"[[sink]]\n{sink}\n{BATCH}\n", kills) as campaign:
        for point in moments:
            campaign.release(30)
            if point:
                campaign.kill_at(point)
            else:
                campaign.kill_at_random()
        campaign.finish_writing()
        campaign.drain()
        campaign.ship_once()
    return expect(lines)


def by_event(expected: Counter[bytes], found: Counter[bytes]) -> Counter[bytes]:
    """Return what a destination with one row per event id must have.

    Equal lines without ids, at the same offset of files that begin alike, are one event.
    """
    return Counter({line: min(count, max(found[line], 1)) for line, count in expected.items()})
