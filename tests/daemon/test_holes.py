"""A sparse file of terabytes keeps neither the start, nor other files, nor the end waiting."""

from __future__ import annotations

import json
import os

import pytest

from tests.daemon.sidecar import LAKE, Sidecar

GOOD = b'{"n":1}\n'


def test_a_sink_that_starts_now_begins_behind_a_hole_of_terabytes(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\nstart = "now"\n')
    hole, other = sidecar.traces / "hole.jsonl", sidecar.traces / "other.jsonl"
    with hole.open("wb") as file:
        file.write(GOOD)
        file.truncate(1 << 42)
    if os.stat(hole).st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no holes")
    other.write_bytes(GOOD)
    sidecar.start()
    sidecar.wait_for_event("service.ready")
    for path in (hole, other):
        with path.open("ab") as file:
            file.write(b"\n" + GOOD)
    sidecar.arrives(2)
    assert sidecar.stop() == 0
    (source,) = json.loads(sidecar.call("status", "--json").stdout)["sources"]
    assert source["files"] == 2
    assert [each["reason"] for each in sidecar.list_quarantined()] == ["too_long"]
