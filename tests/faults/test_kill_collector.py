"""Killed with SIGKILL while it sends to Splunk, Loki and OTLP, the daemon loses no line; those
promise nothing against a repeat.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.material import REAL_LINES, invalid_lines, mix, valid_lines
from tests.faults.oracle import differences, expect
from tests.servers.collecting import Collector, attributes, body
from tests.servers.stores import SECRET

POINTS = ("planned", "sending", "sent", "committing", "")
"""Where the daemon kills itself; the last is a kill at any moment."""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    folder = tmp_path / "collector"
    folder.mkdir()
    collector = Collector(folder)
    collector.start()
    yield collector
    collector.stop()


def sinks(collector: Collector) -> str:
    """Configure the three, with small batches; OTLP has no raw lines."""
    batch = 'batch = { bytes = "256KiB", lines = 40, age = "1s", idle = "100ms" }\n'
    url = {name: f"http://127.0.0.1:{port}" for name, port in collector.ports.items()}
    auth = f'auth = {{ type = "bearer", token = "{SECRET}" }}'
    blocks = (
        (
            f'name = "splunk"\ntype = "splunk"\nurl = "{url["SPLUNK"]}"\ntoken = "{SECRET}"\n'
            'format = "raw"\nacknowledge = true\nack_interval = "50ms"\n'
        ),
        (
            f'name = "loki"\ntype = "loki"\nurl = "{url["LOKI"]}/loki/api/v1/push"\n{auth}\n'
            'format = "raw"\n'
        ),
        f'name = "otlp"\ntype = "otlp"\nurl = "{url["OTLP"]}/v1/logs"\n{auth}\n',
    )
    return "".join(f"[[sink]]\n{block}{batch}" for block in blocks)


def count_arrived(collector: Collector) -> tuple[Counter[bytes], Counter[bytes], set[str]]:
    """Count the lines that Splunk and Loki have, and list the lines that OTLP has an event for, by
    their digests.
    """
    splunk: Counter[bytes] = Counter()
    loki: Counter[bytes] = Counter()
    otlp: set[str] = set()
    for record in collector.records():
        named = attributes(record)
        if "log.record.uid" in named:
            otlp.add(named["tracesidecar.line_sha256"])
        else:
            (splunk if "com.splunk.source" in named else loki)[body(record)] += 1
    return splunk, loki, otlp


def run(folder: Path, collector: Collector, valid: int, rounds: int) -> list[str]:
    """Kill five times so many rounds, drain, and return what is missing, and what is there that
    nobody wrote.
    """
    lines = mix(valid_lines(valid, rounds), invalid_lines(20), rounds)
    expected = expect(lines)
    moments = [*POINTS * rounds]
    random.Random(rounds).shuffle(moments)
    with Campaign(folder, lines, sinks(collector), rounds) as campaign:
        for point in moments:
            campaign.release(len(lines) // len(moments) // 2)
            if point:
                campaign.kill_at(point)
            else:
                campaign.kill_at_random()
        campaign.finish_writing()
        campaign.drain()
        campaign.ship_once()
        quarantined = campaign.count_quarantined()
    splunk, loki, otlp = count_arrived(collector)
    found = differences("quarantine", expected.rejected, quarantined)
    for name, lines_there in (("splunk", splunk), ("loki", loki)):
        found += differences(
            name,
            expected.delivered,
            Counter(
                {line: min(count, expected.delivered[line]) for line, count in lines_there.items()}
            ),
        )
        found += [
            f"{name}: a line that nobody wrote"
            for line in lines_there
            if line not in expected.delivered
        ]
    missing = [line for line in expected.delivered if hashlib.sha256(line).hexdigest() not in otlp]
    return [*found, *(f"otlp: missing one of {len(line)} bytes" for line in missing)]


@pytest.mark.long
def test_a_killed_daemon_loses_nothing_on_its_way_to_splunk_loki_and_otlp(
    tmp_path: Path, collector: Collector
) -> None:
    assert run(tmp_path, collector, valid=600, rounds=1) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_daemon_killed_fifty_times_loses_nothing_on_its_way_to_splunk_loki_and_otlp(
    tmp_path: Path, collector: Collector
) -> None:
    assert run(tmp_path, collector, valid=REAL_LINES, rounds=10) == []
