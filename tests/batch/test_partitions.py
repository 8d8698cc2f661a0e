"""A batch of a lake has so many partitions of a source as its budget allows, the nearest days."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import random
from collections import Counter

import pyarrow.parquet as pq
import pytest

from tracesidecar.batch import BatchBuilder, BatchSpec, PartitionKey, PreparedBatch
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode import DISPLACED, FORMATS, Format, encoder_for
from tracesidecar.encode.displaced import mark_displaced
from tracesidecar.model import Checkpoint, CleanChunk, LinePosition, Segment

AT = 1_790_000_000
TODAY = dt.datetime.fromtimestamp(AT, dt.UTC).date()
LINE = b'{"type":"note","event_time_source":"line"}\n'


def day(ago: int) -> str:
    return (TODAY - dt.timedelta(days=ago)).isoformat()


def event(name: str, ago: int) -> Event:
    return Event(
        event_kind="state",
        event_id=name,
        event_time=f"{day(ago)}T00:00:00.000000Z",
        event_time_source="line",
        text='{"event_time_source":"line"} event_time_source=line',
        raw=LINE.decode(),
    )


def builder(
    limit: int, form: Format = "event", planned: frozenset[PartitionKey] | None = None
) -> BatchBuilder:
    spec = BatchSpec(
        "objects",
        form,
        sink="lake",
        host="host",
        fingerprint="f",
        rules="r",
        labels={},
        partitions={"hostile": limit, "good": limit},
    )
    return BatchBuilder(spec, planned=planned, clock=lambda: AT)


def add(batch: BatchBuilder, source: str, days: list[int], *, start: int = 0) -> None:
    segment = Segment(1 if source == "hostile" else 2, source, f"/{source}.jsonl", 1, 1, 1)
    end = start + len(days) * len(LINE)
    clean = CleanChunk(
        segment,
        start,
        end,
        LINE * len(days),
        Checkpoint(end, b"t"),
        len(days),
        positions=tuple(
            LinePosition(at, start + at * len(LINE), len(LINE) - 1) for at in range(len(days))
        ),
        source_lines=len(days),
    )
    events = []
    for at, ago in enumerate(days):
        each = event(f"{source}-{start}-{at}", ago)
        each.source_offset = start + at * len(LINE)
        events.append(DialectEvent("generic", each))
    batch.add(clean, "label", events)


def rows(prepared: PreparedBatch) -> dict[str, list[dict[str, object]]]:
    """Return the rows of each day."""
    assert prepared.batch is not None
    found: dict[str, list[dict[str, object]]] = {}
    for payload in prepared.batch.objects:
        folder = payload.name.split("dt=")[1][:10]
        assert folder not in found
        found[folder] = (
            pq.read_table(io.BytesIO(payload.content)).to_pylist()
            if payload.name.endswith(".parquet")
            else [json.loads(line) for line in gzip.decompress(payload.content).splitlines()]
        )
    return found


@pytest.mark.parametrize("form", ["event", "parquet"])
@pytest.mark.parametrize("order", ["oldest first", "newest first", "mixed"])
def test_the_days_nearest_to_the_arrival_keep_their_partitions(form: Format, order: str) -> None:
    days = list(range(2400, 0, -1))
    if order == "newest first":
        days.reverse()
    elif order == "mixed":
        random.Random(3).shuffle(days)
    batch = builder(64, form)
    for start in range(0, len(days), 300):  # several files and chunks
        add(batch, "hostile", days[start : start + 300], start=start * len(LINE))
    prepared = batch.close()
    found = rows(prepared)
    assert set(found) == {day(ago) for ago in range(64)}
    assert [len(found[day(ago)]) for ago in range(1, 64)] == [1] * 63
    displaced = found[day(0)]
    assert len(displaced) == 2400 - 63 == prepared.displaced["hostile"]
    assert {row["event_time_source"] for row in displaced} == {DISPLACED}
    assert {row["event_time_source"] for ago in range(1, 64) for row in found[day(ago)]} == {"line"}
    times = {str(row["event_time"])[:10] for row in displaced}
    assert times == {day(ago) for ago in range(64, 2401)}  # none lost its time
    records = Counter(part.object for part in prepared.plan.parts)
    assert sum(part.records for part in prepared.plan.parts) == 2400
    assert len(records) == 64


@pytest.mark.parametrize("seed", range(5))
def test_days_of_one_chunk_go_where_they_would_go_one_by_one(seed: int) -> None:
    draw = random.Random(seed)
    days = [draw.randrange(40) for _ in range(120)]
    placed = []
    for lines in (1, 7, len(days)):
        batch = builder(8)
        add(batch, "good", [3, 20, 39], start=0)
        for start in range(0, len(days), lines):
            add(batch, "hostile", days[start : start + lines], start=start * len(LINE))
        prepared = batch.close()
        placed.append(
            (
                {
                    at: sorted(str(row["event_id"]).split("-")[0] for row in found)
                    for at, found in rows(prepared).items()
                },
                prepared.displaced,
            )
        )
    assert placed[0] == placed[1] == placed[2]


def test_an_ordinary_backfill_keeps_its_days() -> None:
    batch = builder(64)
    add(batch, "good", list(range(60)))
    prepared = batch.close()
    assert set(rows(prepared)) == {day(ago) for ago in range(60)}
    assert not prepared.displaced


def test_what_one_source_writes_moves_no_row_of_another() -> None:
    batch = builder(4)
    add(batch, "hostile", [40, 30, 20, 10])
    add(batch, "good", [40, 39, 38, 37])
    add(batch, "hostile", list(range(1, 9)), start=4 * len(LINE))
    found = rows(batch.close())
    kept = {row["event_id"]: where for where, each in found.items() for row in each}
    assert [kept[f"good-0-{at}"] for at in range(4)] == [day(ago) for ago in (40, 39, 38, 37)]
    assert len(found) <= 8


def test_a_limit_of_one_is_the_day_of_arrival() -> None:
    batch = builder(1)
    add(batch, "hostile", [3, 2, 1, 0, 3])
    found = rows(batch.close())
    assert {where: len(each) for where, each in found.items()} == {day(0): 5}


def test_a_plan_that_is_made_again_otherwise_keeps_its_partitions() -> None:
    planned = frozenset({PartitionKey(day(9), "generic"), PartitionKey(day(0), "generic")})
    batch = builder(64, planned=planned)
    add(batch, "hostile", [9, 8, 7, 0])
    found = rows(batch.close())
    assert {where: len(each) for where, each in found.items()} == {day(9): 1, day(0): 3}


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("raw", "parquet")])
def test_a_record_that_is_marked_is_as_if_it_was_encoded_so(form: str) -> None:
    encode = encoder_for(form, partitioned=True)
    one, other = event("a", 1), event("a", 1)
    one.ingest_time = other.ingest_time = "2026-09-21T14:13:20.000000Z"
    other.event_time_source = DISPLACED
    record = encode(one, "generic")
    assert mark_displaced(record, form) == encode(other, "generic") != record
