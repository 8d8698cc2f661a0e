"""Killed with SIGKILL while it sends to syslog and RELP, the daemon loses no line; those promise
nothing against a repeat.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.material import REAL_LINES, invalid_lines, mix, valid_lines
from tests.faults.oracle import differences, expect
from tests.servers.rsyslog import LogServer

POINTS = ("planned", "sending", "sent", "committing", "")
"""Where the daemon kills itself; the last is a kill at any moment."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[LogServer, LogServer]]:
    syslog, relp = LogServer(tmp_path / "syslog", "tcp"), LogServer(tmp_path / "relp", "relp")
    syslog.start()
    relp.start()
    yield syslog, relp
    syslog.stop()
    relp.stop()


def sinks(servers: tuple[LogServer, LogServer]) -> str:
    """Configure both, with small batches."""
    common = (
        'host = "127.0.0.1"\nformat = "raw"\nmax_message = "1MiB"\n'
        'batch = { bytes = "256KiB", lines = 40, age = "1s", idle = "100ms" }\n'
    )
    syslog, relp = servers
    blocks = (
        f'name = "siem"\ntype = "syslog"\ntransport = "tcp"\nport = {syslog.port}\n',
        f'name = "audit"\ntype = "relp"\nport = {relp.port}\n',
    )
    return "".join(f"[[sink]]\n{block}{common}" for block in blocks)


def run(folder: Path, servers: tuple[LogServer, LogServer], valid: int, rounds: int) -> list[str]:
    """Kill so many times five times, drain, and return what is missing, and what is there that
    nobody wrote.
    """
    lines = mix(valid_lines(valid, rounds), invalid_lines(20), rounds)
    expected = expect(lines)
    moments = [*POINTS * rounds]
    random.Random(rounds).shuffle(moments)
    with Campaign(folder, lines, sinks(servers), rounds) as campaign:
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
    found = differences("quarantine", expected.rejected, quarantined)
    for name, server in zip(("syslog", "relp"), servers, strict=True):
        arrived = Counter(one.record for one in server.read_understood())
        found += differences(
            name,
            expected.delivered,
            Counter(
                {line: min(count, expected.delivered[line]) for line, count in arrived.items()}
            ),
        )
        found += [
            f"{name}: a line that nobody wrote"
            for line in arrived
            if line not in expected.delivered
        ]
    return found


@pytest.mark.long
def test_a_killed_daemon_loses_nothing_on_its_way_to_syslog_and_relp(
    tmp_path: Path, servers: tuple[LogServer, LogServer]
) -> None:
    assert run(tmp_path, servers, valid=600, rounds=1) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_daemon_killed_fifty_times_loses_nothing_on_its_way_to_syslog_and_relp(
    tmp_path: Path, servers: tuple[LogServer, LogServer]
) -> None:
    assert run(tmp_path, servers, valid=REAL_LINES, rounds=10) == []
