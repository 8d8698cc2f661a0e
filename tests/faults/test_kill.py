"""Killed with SIGKILL at any moment, the daemon delivers every line once (over HTTP: again only
under its key) and rejects every invalid one once.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.faults.campaign import POINTS, Campaign
from tests.faults.destinations import BATCH, lines_of
from tests.faults.material import REAL_LINES, invalid_lines, mix, valid_lines
from tests.faults.oracle import count_by_key, differences, expect
from tests.servers.receiving import ReceivingServer
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore, object_store

__all__ = ["object_store"]


class Row(msgspec.Struct):
    """The columns of an event that are compared."""

    line_sha256: str
    raw: str | None = None


@dataclass(frozen=True)
class Size:
    """How long a campaign is."""

    valid: int
    rejected: int
    random_kills: int
    rounds_of_points: int

    @property
    def kills(self) -> int:
        return self.random_kills + self.rounds_of_points * len(POINTS)


SHORT = Size(valid=1500, rejected=90, random_kills=4, rounds_of_points=1)
LONG = Size(valid=REAL_LINES, rejected=400, random_kills=110, rounds_of_points=3)


def lake_objects(lake: Path) -> list[bytes]:
    return [path.read_bytes() for path in lake.glob("raw/v1/**/*.jsonl.gz")]


def count_interpreted(lake: Path) -> Counter[str]:
    """Count the lines of an event lake by their digest: the first event of each line has the line,
    but for the records of OTLP, which have their own.
    """
    rows = [
        msgspec.json.decode(row, type=Row)
        for path in lake.glob("v1/dt=*/dialect=*/*.jsonl.gz")
        for row in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return Counter(row.line_sha256 for row in rows if row.raw is not None)


def digests(lines: Counter[bytes]) -> Counter[str]:
    return Counter({hashlib.sha256(line).hexdigest(): count for line, count in lines.items()})


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReceivingServer]:
    """A server that has a request before it answers, at times half a second before: a killed sender
    does not know.
    """
    folder = tmp_path / "receiver"
    folder.mkdir()
    receiver = ReceivingServer(folder)
    receiver.server.start()
    rng = random.Random(7)
    receiver.order(
        answers=[
            {"status": rng.choice((204, 204, 204, 503)), "delay_seconds": rng.random() ** 4 / 2}
            for _ in range(4000)
        ]
    )
    yield receiver
    receiver.server.stop()


def sinks(lake: Path, store: ObjectStore, receiver: ReceivingServer) -> str:
    """Configure one sink of each kind, with small batches."""
    place = (
        f'bucket = "{BUCKET}"\nregion = "us-east-1"\nendpoint_url = "{store.url}"\n'
        "path_style = true"
    )
    keys = f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET}"'
    blocks = (
        f'name = "lake"\ntype = "directory"\npath = "{lake}"',
        (
            'name = "events"\ntype = "directory"\nformat = "event"\n'
            f'path = "{lake.with_name("events")}"'
        ),
        f'name = "hook"\ntype = "http"\nurl = "{receiver.url}"',
        f'name = "archive"\ntype = "s3"\n{place}\n{keys}',
    )
    return "".join(f"[[sink]]\n{block}\n{BATCH}\n" for block in blocks)


def run(folder: Path, size: Size, store: ObjectStore, receiver: ReceivingServer) -> list[str]:
    """Kill as often as the size says, drain, and return every difference between what was written
    and what arrived.
    """
    seed = size.kills
    lines = mix(valid_lines(size.valid, seed), invalid_lines(size.rejected), seed)
    expected = expect(lines)
    moments = [*POINTS * size.rounds_of_points, *[""] * size.random_kills]
    random.Random(seed).shuffle(moments)
    with Campaign(folder, lines, sinks(folder / "lake", store, receiver), seed) as campaign:
        for point in moments:
            campaign.release(len(lines) // size.kills // 2)
            if point:
                campaign.kill_at(point)
            else:
                campaign.kill_at_random()
        campaign.finish_writing()
        campaign.drain()
        campaign.ship_once()
        quarantined = campaign.count_quarantined()
    http, changed = count_by_key(
        (request.key, request.plain) for request in receiver.requests() if request.kept
    )
    return [
        *differences("lake", expected.delivered, lines_of(lake_objects(folder / "lake"))),
        *differences(
            "s3",
            expected.delivered,
            lines_of(
                content for name, content in store.objects().items() if name.endswith(".jsonl.gz")
            ),
        ),
        *differences("events", digests(expected.delivered), count_interpreted(folder / "events")),
        *differences("http", expected.delivered, http),
        *differences("quarantine", expected.rejected, quarantined),
        *changed,
    ]


def test_a_killed_daemon_loses_and_repeats_nothing(
    tmp_path: Path, object_store: ObjectStore, receiver: ReceivingServer
) -> None:
    assert run(tmp_path, SHORT, object_store, receiver) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_daemon_killed_more_than_a_hundred_times_loses_and_repeats_nothing(
    tmp_path: Path, object_store: ObjectStore, receiver: ReceivingServer
) -> None:
    assert run(tmp_path, LONG, object_store, receiver) == []
