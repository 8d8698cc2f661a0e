"""What a chunk of several days puts into each object, and which lines are said to be there."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from tests.batch.test_content import STORE
from tests.batch.test_event_time import FIRST, LINE, SEGMENT
from tracesidecar.batch.builder import EXPANSION, BatchBuilder, BatchCapacity, PreparedBatch
from tracesidecar.batch.contents import record_offsets
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.encode import Content, Format
from tracesidecar.encode.formats import EVENT_FORMATS
from tracesidecar.journal import ObjectPart
from tracesidecar.model import Checkpoint, CleanChunk, LinePosition
from tracesidecar.sinks import DeliveryUnit

SPEC = replace(STORE, content="full", record_limit_bytes=1000)
LENGTH = len(LINE)
DAYS = ("20", "19", "20", "20", "19")
TOO_LARGE = 2
"""The line whose record is over the limit: it is in a run with the one after it."""


def event_of(line: int) -> DialectEvent:
    return DialectEvent(
        "generic",
        Event(
            event_kind="state",
            event_id=str(line),
            native_id="x" * 2000 if line == TOO_LARGE else None,
            source_offset=line * LENGTH,
            event_time=f"2026-09-{DAYS[line]}T00:00:00.000000Z",
        ),
    )


def fill(*chunks: range, days: bool = True) -> tuple[PreparedBatch, list[int]]:
    """Return a batch of chunks of these lines, and the offsets of lines over the limit."""
    builder = BatchBuilder(
        SPEC if days else replace(SPEC, takes="body"), clock=lambda: float(FIRST)
    )
    too_large: list[int] = []
    for chunk in chunks:
        data, start, end = LINE * len(chunk), chunk.start * LENGTH, chunk.stop * LENGTH
        positions = tuple(
            LinePosition(index, line * LENGTH, LENGTH) for index, line in enumerate(chunk)
        )
        clean = CleanChunk(
            SEGMENT,
            start,
            end,
            data,
            Checkpoint(end, b"t"),
            len(chunk),
            positions=positions,
            source_lines=len(chunk),
        )
        rejected = builder.add(clean, "label", [event_of(line) for line in chunk])
        too_large += [line.offset for line in rejected]
    return builder.close(), too_large


def ids(prepared: PreparedBatch) -> list[list[str]]:
    assert prepared.batch is not None
    return [
        [json.loads(line)["event_id"] for line in gzip.decompress(each.content).splitlines()]
        for each in prepared.batch.objects
    ]


def test_days_that_take_turns_in_a_chunk_are_two_objects_whose_lines_are_known() -> None:
    prepared, too_large = fill(range(5))
    assert too_large == [TOO_LARGE * LENGTH]
    assert ids(prepared) == [["1", "4"], ["0", "3"]]
    assert prepared.plan.parts == (
        ObjectPart(1, 0, 0, LENGTH, 1, 0, 1),
        ObjectPart(0, 0, LENGTH, 2 * LENGTH, 1, 0, 1),
        ObjectPart(1, 0, 2 * LENGTH, 4 * LENGTH, 2, 0, 1),
        ObjectPart(0, 0, 4 * LENGTH, 5 * LENGTH, 1, 0, 1),
    )


def test_objects_are_the_same_however_their_lines_came_in_chunks() -> None:
    whole, _ = fill(range(5))
    split, too_large = fill(range(1), range(1, 3), range(3, 5))
    assert too_large == [TOO_LARGE * LENGTH]
    assert whole.batch is not None
    assert split.batch is not None
    assert [each.content for each in whole.batch.objects] == [
        each.content for each in split.batch.objects
    ]


def test_one_body_has_the_lines_of_all_days_in_their_order() -> None:
    prepared, _ = fill(range(5), days=False)
    assert ids(prepared) == [["0", "1", "3", "4"]]
    assert prepared.plan.parts == ()


def test_a_batch_is_full_by_what_its_events_take_and_not_by_its_lines_alone() -> None:
    """Lines of 100 bytes become rows of a kilobyte: one object never far exceeds `batch.bytes`."""
    for spec in (
        replace(SPEC, record_limit_bytes=0),
        replace(SPEC, record_limit_bytes=0, takes="body", format="ecs"),
        replace(SPEC, format="parquet"),
    ):
        builder = BatchBuilder(spec, capacity=BatchCapacity(1 << 20, 1 << 40, 1 << 40))
        chunks = 0
        while not builder.is_full:
            data, start = LINE * 100, chunks * 100 * LENGTH
            positions = tuple(
                LinePosition(index, start + index * LENGTH, LENGTH) for index in range(100)
            )
            end = start + 100 * LENGTH
            clean = CleanChunk(
                SEGMENT, start, end, data, Checkpoint(end, b"t"), 100, positions=positions
            )
            events = [
                DialectEvent("generic", Event(event_kind="state", cwd="c" * 1000))
                for _ in range(100)
            ]
            builder.add(clean, "label", events)
            chunks += 1
        assert builder.size_bytes < 1 << 20
        assert EXPANSION << 20 <= chunks * 100 * 2_000 < (EXPANSION + 8) << 20


FAILING = "\ud800"
"""Half of a pair is no character, and no format can write it."""


@pytest.mark.parametrize("form", [*EVENT_FORMATS, "parquet"])
@pytest.mark.parametrize("takes", ["objects", "body", "records"])
@pytest.mark.parametrize("content", ["full", "actions"])
def test_an_event_that_no_format_can_write_costs_its_line_and_no_other(
    form: Format, takes: DeliveryUnit, content: Content
) -> None:
    if form == "parquet" and takes != "objects":
        return
    spec = replace(SPEC, format=form, takes=takes, content=content, record_limit_bytes=0)
    builder = BatchBuilder(spec, is_careful=True)
    positions = tuple(LinePosition(n, n * LENGTH, LENGTH) for n in range(9))
    clean = CleanChunk(
        SEGMENT, 0, 9 * LENGTH, LINE * 9, Checkpoint(9 * LENGTH, b"t"), 9, positions=positions
    )
    events = [
        DialectEvent(
            "generic",
            Event(
                event_kind="state",
                event_id=f"{n:032x}",
                source_offset=n * LENGTH,
                user_id=FAILING if n in (2, 7) else "u",
                host_name=FAILING if n in (2, 7) else "h",
            ),
        )
        for n in range(9)
    ]
    rejected = builder.add(clean, "label", events)
    assert [(line.offset, line.reason) for line in rejected] == [
        (2 * LENGTH, "not_encodable"),
        (7 * LENGTH, "not_encodable"),
    ]
    assert all(line.problem.startswith("UnicodeEncodeError in ") for line in rejected)
    assert (builder.failures, builder.records) == (2, 7)
    prepared = builder.close()
    assert prepared.batch is not None
    assert prepared.batch.lines == prepared.plan.lines == 7
    if takes == "records":
        offsets = record_offsets(spec, prepared.plan.time, clean, events)
        assert offsets == [n * LENGTH for n in range(9) if n not in (2, 7)]
