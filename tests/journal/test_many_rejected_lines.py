"""200,000 rejected lines are listed, redriven and counted in seconds."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest

from tests.daemon.sidecar import Sidecar, append
from tests.journal.damages import journal

LINES = 200_000
BOUND_SECONDS = 60.0
"""Far above what is measured (3 to 4 s), far below what a list that grows by the square takes."""


@pytest.fixture
def many(sidecar: Sidecar) -> Sidecar:
    """A sidecar with rejected lines in one file, and the journal's rows about them."""
    append(sidecar.traces / "bad.jsonl", [b"plain text line %d" % n for n in range(100)])
    assert sidecar.ship().returncode == 0
    with sqlite3.connect(journal(sidecar.state)) as db:
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO quarantine "
            "(segment, sink, start, end, source, path, generation, reason, digest, at) "
            "SELECT segment, 'lake', i, i + 1, source, path, generation, 'invalid', digest, at "
            "FROM n, (SELECT * FROM quarantine LIMIT 1)",
            (LINES - 100,),
        )
    db.close()
    return sidecar


@pytest.mark.long
def test_200000_rejected_lines_are_listed_in_seconds(many: Sidecar) -> None:
    for words in (
        ("quarantine", "list"),
        ("quarantine", "list", "--json"),
        ("quarantine", "redrive", "--all", "--json"),
        ("status", "--json"),
        ("explain", str(many.traces / "bad.jsonl")),
    ):
        began = time.monotonic()
        done = many.call(*words)
        seconds = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert seconds < BOUND_SECONDS, (words, seconds)
        print(f"{' '.join(words[:3])}: {seconds:.1f} s")
        if words[1:] == ("list", "--json"):
            assert len(json.loads(done.stdout)["quarantine"]) == LINES
        if words[1:] == ("list",):
            assert done.stdout.count(b"\n") > LINES
