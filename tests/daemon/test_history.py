"""Years of finished segments cost little at a start, and one that is met again is recognised."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.processes import wait_until
from tracesidecar.journal.journal import Journal
from tracesidecar.tail import Rest, SegmentRecord

LONG_AGO = time.time() - 40 * 24 * 3600
MOST_BYTES = 200 << 20
MOST_SECONDS = 10.0
"""Twice what is promised of an idle machine: the processor's time depends on what else runs."""


def deliver_old(sidecar: Sidecar, name: str = "a.jsonl") -> Path:
    """Deliver a file that was last written long ago."""
    trace = sidecar.traces / name
    append(trace, number_lines(0, 50))
    os.utime(trace, (LONG_AGO, LONG_AGO))
    append(sidecar.traces / "other.jsonl", number_lines(1000, 1))
    assert sidecar.ship().returncode == 0
    return trace


def load(sidecar: Sidecar, *, rests: bool) -> list[SegmentRecord]:
    journal = Journal.open(str(sidecar.state))
    try:
        journal.segments.let_rest({"agent": ["lake"]})
        folders = [folder.id for folder in journal.segments.resting.list_folders()]
        rest = Rest(folders, [], time.time_ns(), frozenset())
        return journal.segments.load(rest if rests else None)
    finally:
        journal.close()


def test_only_what_every_sink_has_may_rest(sidecar: Sidecar) -> None:
    deliver_old(sidecar)
    assert load(sidecar, rests=True) == []
    journal = Journal.open(str(sidecar.state))
    first, second = journal.segments.load()
    journal.segments.save([replace(first, size=first.size + 1)])
    journal.close()
    assert [record.id for record in load(sidecar, rests=True)] == [first.id]
    assert {record.id for record in load(sidecar, rests=False)} == {first.id, second.id}


def test_a_gone_file_is_recognised_elsewhere(sidecar: Sidecar) -> None:
    trace = deliver_old(sidecar)
    (sidecar.traces / "archive").mkdir()
    moved = trace.rename(sidecar.traces / "archive" / "moved.jsonl")
    append(moved, number_lines(50, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 55), *number_lines(1000, 1)])
    assert sidecar.ask("verify", "lake").returncode == 0


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_gone_file_is_recognised_in_a_copy(sidecar: Sidecar, is_compressed: bool) -> None:
    sidecar.config.write_text(sidecar.config.read_text().replace("*.jsonl", "*.jsonl*"))
    trace = deliver_old(sidecar)
    kept = Path(shutil.copy(trace, sidecar.folder / "kept"))
    trace.unlink()
    copy = sidecar.traces / ("b.jsonl.gz" if is_compressed else "b.jsonl")
    with kept.open("rb") as plain, (gzip.open if is_compressed else open)(copy, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 50), *number_lines(1000, 1)])


def test_what_is_gone_for_good_leaves_the_journal(sidecar: Sidecar) -> None:
    deliver_old(sidecar).unlink()
    sidecar.start()
    wait_until(lambda: len(load_beside(sidecar)) == 1)
    assert sidecar.stop() == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 50), *number_lines(1000, 1)])


@pytest.mark.long
def test_runs_that_are_shorter_than_copy_grace_forget_what_is_gone(sidecar: Sidecar) -> None:
    """Each notes what it misses; a file that is back is not missed any more."""
    sidecar.config.write_text(sidecar.config.read_text().replace('"500ms"\n[[sink', '"1h"\n[[sink'))
    trace = deliver_old(sidecar)
    trace.rename(sidecar.folder / "kept")
    assert sidecar.ship().returncode == 0
    [segment] = miss_longer(sidecar, 7200)
    (sidecar.folder / "kept").rename(trace)
    assert sidecar.ship().returncode == 0
    trace.unlink()
    assert sidecar.ship().returncode == 0
    assert segment in {record.id for record in load_beside(sidecar)}
    assert miss_longer(sidecar, 7200) == [segment]
    assert sidecar.ship().returncode == 0
    assert segment not in {record.id for record in load_beside(sidecar)}
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 50), *number_lines(1000, 1)])


def miss_longer(sidecar: Sidecar, seconds: float) -> list[int]:
    """Let everything that is missed be missed since so much earlier; return what that is."""
    journal = Journal.open(str(sidecar.state))
    try:
        resting = journal.segments.resting
        missed = {id_: at for id_, at in resting.list_missed(["agent"], 0, 100) if at is not None}
        for segment, at in missed.items():
            resting.note_missed([segment], at - seconds)
        return list(missed)
    finally:
        journal.close()


def test_a_sink_that_begins_now_misses_nothing_of_what_is_gone(sidecar: Sidecar) -> None:
    """And so nothing of it is loaded; met again, it is delivered there from its beginning."""
    trace = deliver_old(sidecar)
    kept = Path(shutil.copy2(trace, sidecar.folder / "kept"))
    trace.unlink()
    second = sidecar.folder / "second"
    new = LAKE.format(lake=second).replace('"lake"', '"second"')
    sidecar.configure(LAKE.format(lake=sidecar.lake) + new)
    assert sidecar.ship().returncode == 0
    status = json.loads(sidecar.ask("status", "--json").stdout)
    assert status["sources"][0]["lost_bytes"] == 0
    kept.rename(trace)
    assert sidecar.ship().returncode == 0
    expected = Counter([*number_lines(0, 50), *number_lines(1000, 1)])
    assert Counter(sidecar.lines()) == expected
    sidecar.lake = second
    assert Counter(sidecar.lines()) == expected


def load_beside(sidecar: Sidecar) -> list[SegmentRecord]:
    journal = Journal.open_to_read(str(sidecar.state))
    try:
        return journal.segments.load()
    finally:
        journal.close()


def test_commands_read_nothing_of_what_is_over(sidecar: Sidecar) -> None:
    """Its record is made unreadable, so that whoever reads it fails."""
    other = sidecar.traces / "other.jsonl"
    append(other, [b"not JSON"])
    deliver_old(sidecar).unlink()
    with sqlite3.connect(sidecar.state / "journal.sqlite") as db:
        changed = db.execute(
            "UPDATE segment SET record = x'ff' WHERE id IN "
            "(SELECT segment FROM segment_key WHERE modified_ns < ?)",
            (int((time.time() - 24 * 3600) * 1e9),),
        ).rowcount
    db.close()
    assert changed == 1
    append(other, number_lines(1001, 1))
    status = json.loads(sidecar.ask("status", "--json").stdout)
    size = other.stat().st_size
    assert [(each["files"], each["bytes"]) for each in status["sources"]] == [(1, size)]
    assert [each["lag_bytes"] for each in status["sinks"]] == [len(*number_lines(1001, 1)) + 1]
    explained = json.loads(sidecar.ask("explain", str(other), "--json").stdout)
    pieces = explained["ranges"][0]["pieces"]
    assert [each["state"] for each in pieces] == ["quarantined", "delivered", "unread"]
    listed = json.loads(sidecar.ask("quarantine", "list", "--json").stdout)
    assert [each["bytes"] for each in listed["quarantine"]] == ["in the file"]
    assert sidecar.call("check-config").returncode == 0


def measure_seconds() -> float:
    """How much of the processor all children had that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.long
def test_a_million_finished_segments_cost_little_at_a_start(sidecar: Sidecar) -> None:
    deliver_old(sidecar)
    multiply(sidecar, int(os.environ.get("FINISHED_SEGMENTS", "1000000")))
    append(sidecar.traces / "new.jsonl", number_lines(2000, 10))
    before = measure_seconds()
    assert sidecar.ask("status", "--json").returncode == 0
    assert measure_seconds() - before < MOST_SECONDS
    before = measure_seconds()
    code, peak = sidecar.ship_measured()
    seconds = measure_seconds() - before
    print(f"CPU {seconds:.1f} s, memory {peak >> 20} MiB")
    assert code == 0
    assert seconds < MOST_SECONDS
    assert peak < MOST_BYTES
    expected = [*number_lines(0, 50), *number_lines(1000, 1), *number_lines(2000, 10)]
    assert Counter(sidecar.lines()) == Counter(expected)


def multiply(sidecar: Sidecar, count: int) -> None:
    """Add segments as finished as the one of `a.jsonl`, of files that are gone."""
    journal = Journal.open(str(sidecar.state))
    [model] = [each for each in journal.segments.load() if each.path.endswith("a.jsonl")]
    reach = journal.sinks.load_offsets("lake")[model.id]
    for first in range(1, count, 10_000):
        numbers = range(first, min(first + 10_000, count + 1))
        journal.segments.save(
            replace(
                model,
                id=number,
                path=f"{sidecar.traces}/{number % 97}/{number:032x}.jsonl",
                inode=(1 << 40) + number,
                prefix_digest=hashlib.blake2b(b"%d" % number, digest_size=16).digest(),
            )
            for number in numbers
        )
        with journal.segments._database.transaction() as db:
            db.executemany(
                "INSERT INTO offset VALUES ('lake', ?, ?, ?, x'')",
                [(number, reach.offset, reach.digest) for number in numbers],
            )
    journal.close()
