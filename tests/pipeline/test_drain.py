"""A drain leaves nothing behind, whenever it begins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail.options import SourceOptions

OPEN_MESSAGE = json.dumps(
    {
        "type": "event_msg",
        "payload": {"type": "response.output_text.delta", "item_id": "m", "delta": "hello"},
    }
)


def test_a_step_that_was_queued_before_the_event_loop_knew_of_a_drain_takes_open_messages(
    tmp_path: Path,
) -> None:
    """Such a step left the message, which nobody offered again: the drain ended without it."""
    (tmp_path / "traces").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "traces" / "a.jsonl").write_text(OPEN_MESSAGE + "\n")
    sink = directory.Options(name="lake", type="directory", path=str(tmp_path / "lake"))
    source = SourceOptions(name="agent", include=(f"{tmp_path}/traces/*.jsonl",))
    configuration = Configuration(
        state_directory=str(tmp_path / "state"), source=(source,), sink=(sink,)
    )
    journal = Journal.open(str(tmp_path / "state"))
    wiring = Wiring(configuration, journal, Metrics(), watcher=None, at=lambda _point: None)

    async def play() -> tuple[int, int]:
        worker = wiring.worker
        await worker.run(WorkerContext.scan, full=True)
        before = await worker.run(WorkerContext.fill, "lake", {})
        await worker.run(lambda context: context.intake.begin_drain())
        queued = await worker.run(WorkerContext.fill, "lake", {})
        return before.taken_bytes, queued.taken_bytes

    try:
        assert asyncio.run(play()) == (0, len(OPEN_MESSAGE) + 1)
    finally:
        wiring.worker.close(lambda context: context.tailer.close())
        journal.close()
