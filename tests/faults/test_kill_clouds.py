"""Killed with SIGKILL at any moment, the daemon has each line at Google and at Azure once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.campaign import POINTS, Campaign
from tests.faults.destinations import BATCH, lines_of
from tests.faults.material import invalid_lines, mix, valid_lines
from tests.faults.oracle import differences, expect
from tests.servers import google_storage as google_server
from tests.servers.azurite import Azurite, azurite, azurite_process, key_of
from tests.servers.google_storage import GoogleStorage, google_storage
from tests.servers.stores import SECRET

__all__ = ["azurite", "azurite_process", "google_storage"]


def sinks(google: GoogleStorage, azure: Azurite) -> str:
    """Configure one sink of each kind, with small batches."""
    blocks = (
        (
            f'name = "google"\ntype = "gcs"\nbucket = "{google_server.BUCKET}"\n'
            f'endpoint_url = "{google.open_url}"'
        ),
        (
            f'name = "azure"\ntype = "azure"\ncontainer = "{azure.container}"\n'
            f'account_url = "{azure.url}"\naccount_key = "{key_of(SECRET)}"'
        ),
    )
    return "".join(f"[[sink]]\n{block}\n{BATCH}\n" for block in blocks)


def run(folder: Path, kills: int, google: GoogleStorage, azure: Azurite) -> list[str]:
    """Kill so often, drain, and return the differences between what was written and arrived."""
    lines = mix(valid_lines(kills * 120, kills), invalid_lines(kills * 2), kills)
    expected = expect(lines)
    rng = random.Random(kills)
    with Campaign(folder, lines, sinks(google, azure), kills) as campaign:
        for number in range(kills):
            campaign.release(len(lines) // kills // 2)
            if number % 2:
                campaign.kill_at(rng.choice(POINTS))
            else:
                campaign.kill_at_random()
        campaign.finish_writing()
        campaign.drain()
        campaign.ship_once()
    return [
        *differences(
            "gcs",
            expected.delivered,
            lines_of(
                content for name, content in google.objects().items() if name.endswith(".jsonl.gz")
            ),
        ),
        *differences(
            "azure",
            expected.delivered,
            lines_of(
                content for name, content in azure.objects().items() if name.endswith(".jsonl.gz")
            ),
        ),
    ]


@pytest.mark.long
def test_a_killed_daemon_has_each_line_in_the_clouds_once(
    tmp_path: Path, google_storage: GoogleStorage, azurite: Azurite
) -> None:
    assert run(tmp_path, 5, google_storage, azurite) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_daemon_killed_fifty_times_has_each_line_in_the_clouds_once(
    tmp_path: Path, google_storage: GoogleStorage, azurite: Azurite
) -> None:
    assert run(tmp_path, 50, google_storage, azurite) == []
