"""Each batch dates its events for itself, whatever other sinks do with the same events."""

from __future__ import annotations

import gzip
import json

from tracesidecar.batch.builder import BatchBuilder, PreparedBatch
from tracesidecar.batch.encoding import BatchSpec
from tracesidecar.dialects import DialectEvent, Event
from tracesidecar.model import Checkpoint, CleanChunk, Segment

SEGMENT = Segment(1, "agent", "/traces/one.jsonl", 1, 1, 1)
LINE = b'{"type":"note"}\n'
FIRST, SECOND = 1_790_000_000, 1_790_086_400
"""Two batch times, a day apart."""


def builder(at: int) -> BatchBuilder:
    spec = BatchSpec(
        "objects", "event", sink="lake", host="host", fingerprint="f", rules="r", labels={}
    )
    return BatchBuilder(spec, clock=lambda: at)


def rows(prepared: PreparedBatch) -> list[dict[str, object]]:
    assert prepared.batch is not None
    return [
        json.loads(line)
        for payload in prepared.batch.objects
        for line in gzip.decompress(payload.content).splitlines()
    ]


def test_two_sinks_with_different_batch_times_share_events_and_leave_them_as_they_are() -> None:
    clean = CleanChunk(SEGMENT, 0, len(LINE), LINE, Checkpoint(len(LINE), b"t"), 1)
    timed = Event(event_kind="state", event_id="a", event_time="2026-09-20T00:00:00.000000Z")
    untimed = Event(event_kind="state", event_id="b")
    shared = [DialectEvent("generic", timed), DialectEvent("generic", untimed)]
    one, other = builder(FIRST), builder(SECOND)
    one.add(clean, "label", shared)
    other.add(clean, "label", shared)
    assert (timed.ingest_time, untimed.ingest_time, untimed.event_time) == (None, None, None)
    found = {
        at: {row["event_id"]: (row["ingest_time"], row["event_time"]) for row in rows(made)}
        for at, made in ((FIRST, one.close()), (SECOND, other.close()))
    }
    first, second = "2026-09-21T14:13:20.000000Z", "2026-09-22T14:13:20.000000Z"
    assert found == {
        FIRST: {"a": (first, "2026-09-20T00:00:00.000000Z"), "b": (first, first)},
        SECOND: {"a": (second, "2026-09-20T00:00:00.000000Z"), "b": (second, second)},
    }
