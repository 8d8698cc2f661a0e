"""What belongs to one file or batch is done in pieces where it may be very much."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.warm import warm
from tracesidecar.batch import PreparedBatch
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon import worker_snapshot
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.daemon.worker_snapshot import SnapshotBuilder, WorkerSnapshot
from tracesidecar.encode.jsonl import decode_lines
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline import intake
from tracesidecar.pipeline.chunk_reader import FEW_LINES, MOST_LINES, MOST_REJECTED
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail import SourceOptions

T = TypeVar("T")
Worker = WorkerThread[WorkerContext]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    warm(tmp_path / "state")
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


def play(traces: Path, act: Callable[[Worker], Awaitable[T]]) -> T:
    """Do something with a pipeline that has one sink, which nobody serves."""
    state = str(traces.parent / "state")
    sink = directory.Options(name="lake", type="directory", path=str(traces.parent / "lake"))
    source = SourceOptions(name="agent", include=(f"{traces}/*.jsonl",))
    configuration = Configuration(state_directory=state, source=(source,), sink=(sink,))
    journal = Journal.open(state)
    wiring = Wiring(configuration, journal, Metrics(), watcher=None, at=lambda _point: None)

    async def run() -> T:
        return await act(wiring.worker)

    try:
        return asyncio.run(run())
    finally:
        wiring.worker.close(lambda context: context.tailer.close())
        journal.close()


async def fill(worker: Worker) -> PreparedBatch:
    """Return a batch of all files."""
    await worker.run(WorkerContext.scan, full=True)
    while (await worker.run(WorkerContext.fill, "lake", {})).has_more:
        pass
    return await worker.run(WorkerContext.close_batch, "lake")


def read_lines(prepared: PreparedBatch) -> bytes:
    assert prepared.batch is not None
    [payload] = prepared.batch.objects
    return decode_lines(payload.content, "gzip")


def test_many_short_lines_are_read_in_pieces(traces: Path) -> None:
    lines = b'{"n":1}\n' * (3 * MOST_LINES + 1)
    (traces / "a.jsonl").write_bytes(lines)
    prepared = play(traces, fill)
    sizes = [(each.end - each.start) // 8 for each in prepared.plan.ranges]
    assert sizes == [MOST_LINES, MOST_LINES, MOST_LINES, 1]
    assert read_lines(prepared) == lines


def test_garbage_is_read_in_smaller_pieces_until_it_ends(traces: Path) -> None:
    garbage, valid = b"garbage\n" * (MOST_LINES + 3 * MOST_REJECTED), b'{"n":1}\n' * MOST_LINES
    (traces / "a.jsonl").write_bytes(garbage + valid)
    prepared = play(traces, fill)
    sizes = [(each.end - each.start) // 8 for each in prepared.plan.ranges]
    assert sizes[:5] == [MOST_LINES, *[MOST_REJECTED] * 4]
    assert sizes[5:] == [MOST_LINES - MOST_REJECTED]
    assert [line.start for line in prepared.quarantined] == list(range(0, len(garbage), 8))
    assert read_lines(prepared) == valid


def test_after_a_chunk_that_took_long_the_others_of_its_file_are_shorter(traces: Path) -> None:
    (traces / "a.jsonl").write_bytes(b'{"n":1}\n' * (2 * MOST_LINES))

    async def act(worker: Worker) -> PreparedBatch:
        [segment] = (await worker.run(WorkerContext.scan, full=True)).scan.changed
        await worker.run(lambda context: context._chunks.shorten(segment))
        return await fill(worker)

    prepared = play(traces, act)
    assert {each.end - each.start for each in prepared.plan.ranges} == {8 * FEW_LINES}


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_message_is_not_split_between_pieces(traces: Path, *, is_draining: bool) -> None:
    key = "AKIA" + "Q7LPMN5HFZKE2345"
    deltas = [
        {"type": "response.output_text.delta", "item_id": "m", "delta": part}
        for part in ("the key is " + key[:9], key[9:] + " as I said")
    ]
    parts = [json.dumps({"type": "event_msg", "payload": each}).encode() for each in deltas]
    lines = [b'{"n":1}'] * (MOST_LINES - 1) + parts + [b'{"n":1}'] * 9
    (traces / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    async def act(worker: Worker) -> PreparedBatch:
        await worker.run(WorkerContext.scan, full=True)
        if is_draining:
            await worker.run(lambda context: context.intake.begin_drain())
        await worker.run(WorkerContext.fill, "lake", {})
        return await worker.run(WorkerContext.close_batch, "lake")

    assert key[9:].encode() not in read_lines(play(traces, act))


def test_what_a_batch_has_delivered_is_released_in_pieces(
    traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "RELEASE_SECONDS", 0.0)
    files = 2 * intake.LEAST_RELEASED + 1
    for number in range(files):
        (traces / f"{number}.jsonl").write_bytes(b'{"n":%d}\n' % number)
    released: list[int] = []

    async def act(worker: Worker) -> list[bool]:
        prepared = await fill(worker)
        assert len(prepared.reached) == files
        await worker.run(
            lambda context: setattr(context.tailer, "acknowledge", lambda *each: released.append(1))
        )
        await worker.run(WorkerContext.commit, "lake", prepared.reached, ())
        goes_on = []
        for _ in range(3):
            goes_on.append((await worker.run(WorkerContext.scan, full=False)).has_more)
        return goes_on

    assert play(traces, act) == [True, False, False]
    assert len(released) == files


def test_a_snapshot_is_taken_in_pieces(traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (traces / f"{number}.jsonl").write_bytes(b'{"n":1}\n')

    async def act(worker: Worker) -> tuple[list[WorkerSnapshot | None], WorkerSnapshot | None]:
        await worker.run(WorkerContext.scan, full=True)
        monkeypatch.setattr(worker_snapshot, "PIECE_SECONDS", 0.0)
        builder = SnapshotBuilder(time.monotonic)
        pieces: list[WorkerSnapshot | None] = [None]
        while pieces[-1] is None:
            pieces.append(await worker.ask(builder.go_on))
        monkeypatch.setattr(worker_snapshot, "PIECE_SECONDS", 60.0)
        return pieces[1:], await worker.ask(SnapshotBuilder(time.monotonic).go_on)

    pieces, whole = play(traces, act)
    assert len(pieces) > 2
    assert pieces[-1] is not None
    assert whole is not None
    assert pieces[-1].files == whole.files
    assert pieces[-1].lag.at_risk_bytes == whole.lag.at_risk_bytes
    earlier, later = pieces[-1].lag.sinks["lake"], whole.lag.sinks["lake"]
    assert earlier.bytes == later.bytes == 200 * 8
    assert earlier.seconds <= later.seconds  # time passes between two snapshots
