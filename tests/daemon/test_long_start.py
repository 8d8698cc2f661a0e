"""A start that takes long answers meanwhile, and ends when it is asked to."""

from __future__ import annotations

import gzip
import json
import signal
import time
import urllib.error
import urllib.request

import pytest

from tests.daemon.sidecar import LAKE, Sidecar
from tests.servers.processes import wait_until

MEMBERS = 4000
MEMBER = gzip.compress(b"x" * (16 << 20) + b"\n")
"""So many of them are 64 GB of content in 64 MB."""


@pytest.mark.long
@pytest.mark.parametrize("command", [(), ("ship", "--once")])
def test_a_start_that_reads_a_huge_archive_answers_and_ends_when_it_is_asked_to(
    sidecar: Sidecar, command: tuple[str, ...]
) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + 'start = "now"\n',
        source="limits = { ratio = 1000000 }",
        daemon='drain_deadline = "2s"',
    )
    config = sidecar.config.read_text()
    sidecar.config.write_text(config.replace('/**/*.jsonl"]', '/**/*.jsonl*"]'))
    (sidecar.traces / "a.jsonl.gz").write_bytes(MEMBER * MEMBERS)
    daemon = sidecar.start(*command)
    if not command:
        wait_until(lambda: answer(sidecar, "livez") == 200)
        assert answer(sidecar, "readyz") == 503
    wait_until(lambda: (sidecar.state / "journal.sqlite-wal").exists())
    began = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 75
    assert time.monotonic() - began < 20
    events = [json.loads(line)["event"] for line in sidecar.log.read_bytes().splitlines()]
    assert "service.started" not in events


@pytest.mark.long
def test_a_reload_that_reads_a_huge_archive_answers_and_ends_when_it_is_asked_to(
    sidecar: Sidecar,
) -> None:
    """Seen: a reload was built in the event loop, and nothing was answered meanwhile."""
    limits = "limits = { ratio = 1000000 }"
    lake = LAKE.format(lake=sidecar.lake)
    sidecar.configure(lake, source=limits, daemon='drain_deadline = "2s"')
    daemon = sidecar.start()
    sidecar.wait_for_event("service.ready")
    second = LAKE.format(lake=sidecar.folder / "second").replace('"lake"', '"second"')
    sidecar.configure(
        f'{lake}{second}start = "now"\n', source=limits, daemon='drain_deadline = "2s"'
    )
    config = sidecar.config.read_text()
    sidecar.config.write_text(config.replace('/**/*.jsonl"]', '/**/*.jsonl*"]'))
    (sidecar.traces / "a.jsonl.gz").write_bytes(MEMBER * MEMBERS)
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: answer(sidecar, "readyz") == 503)
    assert answer(sidecar, "livez") == 200
    began = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 75
    assert time.monotonic() - began < 20


def answer(sidecar: Sidecar, page: str) -> int:
    try:
        url = f"http://127.0.0.1:{sidecar.port}/{page}"
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
