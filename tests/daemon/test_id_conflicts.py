"""A session that writes another's ids makes nothing vanish from a database, and is counted once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.sidecar import Sidecar, append
from tests.daemon.test_counters import scrape
from tests.daemon.test_crash import events, kill_at
from tests.servers.processes import wait_until

CONFLICTS = ("id_conflicts_total", '{sink="base"}')


def message(text: str) -> bytes:
    """Make a line with the same session id and uuid, whatever it says."""
    return json.dumps(
        {
            "type": "user",
            "uuid": "7c1e0f52-0000-4000-8000-000000000001",
            "sessionId": "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3",
            "timestamp": "2026-09-01T10:00:00.000Z",
            "message": {"role": "user", "content": text},
        }
    ).encode()


@pytest.fixture
def base(sidecar: Sidecar) -> Path:
    """Configure a database as the only sink."""
    path = sidecar.folder / "traces.db"
    sidecar.configure(
        f'[[sink]]\nname = "base"\ntype = "sql"\nurl = "sqlite://{path}"\n'
        'batch = { age = "500ms", idle = "100ms" }\n'
    )
    for name in ("attacker", "victim"):
        (sidecar.traces / name).mkdir()
    return path


def texts(base: Path) -> list[str]:
    with closing(sqlite3.connect(base)) as connection:
        return sorted(text for (text,) in connection.execute("SELECT text FROM events"))


def test_who_writes_the_ids_of_another_first_is_reported_and_the_line_is_there(
    sidecar: Sidecar, base: Path
) -> None:
    append(sidecar.traces / "attacker" / "a.jsonl", [message("was here first")])
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    assert scrape(sidecar)[CONFLICTS] == 0
    wait_until(lambda: base.exists() and texts(base) == ["was here first"])
    append(sidecar.traces / "victim" / "a.jsonl", [message("a real request")])
    wait_until(lambda: scrape(sidecar)[CONFLICTS] == 1)
    assert texts(base) == ["a real request", "was here first"]
    assert sidecar.stop() == 0
    [warning] = events(sidecar, "sink.id_conflicts")
    assert (warning["sink"], warning["count"], warning["files"]) == ("base", 1, 1)
    assert str(warning["path"]).endswith("/victim/a.jsonl")
    for kept_out in ("request", "7c1e0f52"):
        assert kept_out not in json.dumps(warning)
    sidecar.start()
    sidecar.wait_for_event("service.ready", 2)
    assert scrape(sidecar)[CONFLICTS] == 1
    append(sidecar.traces / "victim" / "copy.jsonl", [message("a real request")])
    wait_until(lambda: scrape(sidecar)["delivered_lines_total", '{sink="base"}'] == 3)
    assert scrape(sidecar)[CONFLICTS] == 1, "a repeat of a line in conflict"
    assert texts(base) == ["a real request", "was here first"]
    assert sidecar.stop() == 0


@pytest.mark.parametrize(
    "point", ["sent", *(pytest.param(p, marks=pytest.mark.long) for p in ("planned", "committing"))]
)
def test_a_kill_between_the_insert_and_the_commit_makes_no_third_row(
    sidecar: Sidecar, base: Path, point: str
) -> None:
    append(sidecar.traces / "attacker" / "a.jsonl", [message("was here first")])
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "victim" / "a.jsonl", [message("a real request")])
    kill_at(sidecar, point)
    for _ in range(2):
        assert sidecar.ship().returncode == 0
        assert texts(base) == ["a real request", "was here first"]
    stored_by = {"planned": 1}.get(point, 0)
    before = len(events(sidecar, "service.ready"))
    sidecar.start()
    sidecar.wait_for_event("service.ready", before + 1)
    assert scrape(sidecar)[CONFLICTS] == stored_by, "counted by who stored it, and never twice"
    assert sidecar.stop() == 0


def test_two_folders_with_equal_names_keep_all_their_lines(sidecar: Sidecar, base: Path) -> None:
    lines = {
        name: [message(f"{name} {number}") for number in range(6)]
        for name in ("attacker", "victim")
    }
    for name, given in lines.items():
        append(sidecar.traces / name / "messages.jsonl", given)
    assert sidecar.ship().returncode == 0
    assert texts(base) == sorted(f"{name} {number}" for name in lines for number in range(6))
