"""A batch of single records that an earlier program had half delivered when it was upgraded.

Its plan has no ids of records, and its events have the ids of an earlier schema.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.daemon.sidecar import Sidecar, append
from tests.daemon.test_crash import kill_at
from tests.faults.test_half_arrived import ids, losses, make_messages


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(tmp_path)
    sidecar.configure(
        f'[[sink]]\nname = "base"\ntype = "sql"\nurl = "sqlite://{tmp_path}/rows.sqlite"\n'
        'batch = { age = "500ms", idle = "100ms" }\n'
    )
    yield sidecar
    sidecar.kill()


def make_plan_earlier(sidecar: Sidecar) -> None:
    """Write the plan as the program wrote it whose events had the first schema."""
    with sqlite3.connect(sidecar.state / "journal.sqlite") as db:
        [(plan_id, content)] = db.execute("SELECT id, body FROM plan").fetchall()
        plan = msgspec.msgpack.decode(content)
        assert plan["lines"] > 0
        plan.pop("records")
        plan.pop("schema")
        db.execute("UPDATE plan SET body = ? WHERE id = ?", (msgspec.msgpack.encode(plan), plan_id))
    db.close()


def deliver_half(sidecar: Sidecar) -> None:
    """Leave what a kill in the middle of an insert leaves that is not one transaction."""
    kill_at(sidecar, "planned")
    make_plan_earlier(sidecar)
    kill_at(sidecar, "sent")
    make_plan_earlier(sidecar)
    with sqlite3.connect(sidecar.folder / "rows.sqlite") as db:
        half = (
            "SELECT event_id FROM events ORDER BY event_id LIMIT (SELECT count(*) / 2 FROM events)"
        )
        assert db.execute(f"DELETE FROM events WHERE event_id IN ({half})").rowcount
    db.close()


def rows(sidecar: Sidecar) -> Counter[str]:
    db = sqlite3.connect(sidecar.folder / "rows.sqlite")
    found = db.execute("SELECT native_id FROM events").fetchall()
    db.close()
    return Counter(native_id for (native_id,) in found)


def test_it_is_repeated_under_its_own_ids_after_the_upgrade(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", make_messages(1, 0))
    deliver_half(sidecar)
    append(sidecar.traces / "a.jsonl", make_messages(1, 10))
    assert sidecar.ship().returncode == 0
    assert rows(sidecar) == ids(make_messages(1, 0) + make_messages(1, 10))
    assert losses(sidecar) == 0
