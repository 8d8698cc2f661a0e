"""A long line is cleaned beside the worker thread, and other files go on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.daemon.sidecar import append, numbered
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.encode.jsonl import decode_lines
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.batch_filler import Step
from tracesidecar.pipeline.long_lines import LONG_LINE_BYTES
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail import SourceOptions

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def test_other_files_go_on_while_a_long_line_is_cleaned(tmp_path: Path) -> None:
    traces, state = tmp_path / "traces", tmp_path / "state"
    traces.mkdir()
    state.mkdir()
    words = [f"word {number}" for number in range(LONG_LINE_BYTES // 8)]
    long = json.dumps({"key": KEY_ID, "t": words}).encode() + b"\n"
    assert len(long) > LONG_LINE_BYTES
    (traces / "a.jsonl").write_bytes(long + b'{"after":1}\n')
    append(traces / "b.jsonl", numbered(0, 5))
    sink = directory.Options(name="lake", type="directory", path=str(tmp_path / "lake"))
    source = SourceOptions(name="agent", include=(f"{traces}/*.jsonl",))
    configuration = Configuration(state_directory=str(state), source=(source,), sink=(sink,))
    journal = Journal.open(str(state))
    wiring = Wiring(configuration, journal, Metrics(), watcher=None, at=lambda _point: None)

    async def play() -> tuple[Step, int, bytes]:
        worker = wiring.worker
        await worker.run(WorkerContext.scan, full=True)
        first = await worker.run(WorkerContext.fill, "lake", {})
        taken, step = first.taken_bytes, first
        async with asyncio.timeout(120):
            while step.has_more:
                await asyncio.sleep(0.01)
                step = await worker.run(WorkerContext.fill, "lake", {})
                taken += step.taken_bytes
        prepared = await worker.run(WorkerContext.close_batch, "lake")
        assert prepared.batch is not None
        [payload] = prepared.batch.objects
        return first, taken, payload.content

    try:
        first, taken, content = asyncio.run(play())
    finally:
        wiring.worker.close(lambda context: context.tailer.close())
        journal.close()
    assert first.is_waiting
    assert first.taken_bytes == (traces / "b.jsonl").stat().st_size
    assert taken == sum(path.stat().st_size for path in traces.iterdir())
    lines = decode_lines(content, "gzip")
    assert KEY_ID.encode() not in lines
    assert lines.count(b"[REDACTED:aws-access-key-id]") == 1
    assert lines.endswith(b'{"after":1}\n')
