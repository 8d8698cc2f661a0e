"""A line that a format cannot write is rejected, and everything else is delivered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.daemon.test_redrive import redrive

FAULTY = Path(__file__).resolve().parents[1] / "faults" / "faulty_dialect.py"
ODD = [b'{"role":"user","content":"no text"}', b'{"role":"user","content":"no day"}']


def ship(sidecar: Sidecar) -> tuple[int, list[dict[str, object]]]:
    """Run `ship --once` with bugs: its exit code, and what it logged."""
    done = subprocess.run(
        [sys.executable, FAULTY, sidecar.config],
        env=sidecar.environment(),
        cwd=FAULTY.parents[2],
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert b"no day" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def count_rows(sidecar: Sidecar) -> int:
    files = [*sidecar.lake.rglob("*.parquet")]
    return sum(int(pq.read_metadata(file).num_rows) for file in files) + len(sidecar.lines())


@pytest.mark.parametrize(
    ("form", "rejected"),
    [("event", ODD[:1]), pytest.param("parquet", ODD, marks=pytest.mark.long)],
)
def test_a_line_that_a_format_cannot_write_is_rejected_and_the_rest_delivered(
    sidecar: Sidecar, form: str, rejected: list[bytes]
) -> None:
    """Of Parquet the rows are columns much later: the batch is made a second time, with care."""
    sidecar.configure(LAKE.format(lake=sidecar.lake) + f'format = "{form}"\n')
    path = sidecar.traces / "a.jsonl"
    append(path, [*number_lines(0, 50), rejected[0], *number_lines(50, 50), *rejected[1:]])
    append(sidecar.traces / "b.jsonl", number_lines(100, 10))
    code, events = ship(sidecar)
    assert code == 0
    quarantined = sidecar.list_quarantined()
    assert {line["reason"] for line in quarantined} == {"not_encodable"}
    content = path.read_bytes()
    assert [line["start"] for line in quarantined] == [content.index(line) for line in rejected]
    [found] = [event for event in events if event["event"] == "sink.not_encodable"]
    assert found["lines"] == len(rejected)
    assert count_rows(sidecar) == 110
    assert (done := sidecar.ask("verify", "lake")).returncode == 0, done.stdout
    redrive(sidecar)
    assert sidecar.ship().returncode == 0, "by a program without the bug"
    assert sidecar.list_quarantined() == []
    assert count_rows(sidecar) == 110 + len(rejected)
    assert sidecar.ask("verify", "lake").returncode == 0


def test_lines_that_all_cannot_be_written_are_not_rejected_but_wait(sidecar: Sidecar) -> None:
    """The bug is hardly one of the lines: a whole source would be in quarantine otherwise."""
    sidecar.configure(
        LAKE.format(lake=sidecar.lake) + 'format = "event"\n', daemon='drain_deadline = "2s"'
    )
    append(sidecar.traces / "a.jsonl", ODD[:1] * 3)
    code, events = ship(sidecar)
    assert code == 75
    assert "sink.restarting" in {event["event"] for event in events}
    assert sidecar.list_quarantined() == []
    assert sidecar.ship().returncode == 0
    assert len(sidecar.lines()) == 3
