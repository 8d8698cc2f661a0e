"""A plan that was not committed is finished with the bytes that were planned, wherever they are."""

from __future__ import annotations

import asyncio
import functools
import gzip
from pathlib import Path

from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.scan_loop import ScanLoop
from tracesidecar.pipeline.shipper import Committed, Shipper
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail.options import SourceOptions

PLANNED = b"".join(b'{"n": %d}\n' % number for number in range(100))


def test_a_file_that_is_copied_and_truncated_after_the_scan_is_replayed_from_its_copy(
    tmp_path: Path,
) -> None:
    """Its plan was given up: what had arrived in a transaction was sent again under another id."""
    traces, lake = tmp_path / "traces", tmp_path / "lake"
    traces.mkdir()
    (tmp_path / "state").mkdir()
    (traces / "a.jsonl").write_bytes(PLANNED)
    sink = directory.Options(name="lake", type="directory", path=str(lake))
    source = SourceOptions(name="agent", include=(f"{traces}/*.jsonl",))
    configuration = Configuration(
        state_directory=str(tmp_path / "state"), source=(source,), sink=(sink,)
    )
    journal, metrics = Journal.open(str(tmp_path / "state")), Metrics()
    wiring = Wiring(configuration, journal, metrics, watcher=None, at=lambda _point: None)

    async def play() -> Committed:
        worker, [state] = wiring.worker, wiring.sinks
        scans = ScanLoop(worker, SideBySide([state]), journal, poll_seconds=3600.0)
        shipper = Shipper(
            journal,
            metrics,
            worker,
            scan=functools.partial(scans.try_to_scan, full=True),
            at=lambda _point: None,
        )
        await scans.scan(full=True)
        await worker.run(WorkerContext.fill, "lake", {})
        prepared = await worker.run(WorkerContext.close_batch, "lake")
        journal.plans.save(prepared.plan)
        (traces / "a.jsonl.1").write_bytes(PLANNED)
        (traces / "a.jsonl").write_bytes(b'{"other": true}\n' * 500)
        await state.delivery.connect()
        return await shipper.replay(state, prepared.plan)

    try:
        committed = asyncio.run(play())
    finally:
        wiring.worker.close(lambda context: context.tailer.close())
        journal.close()
    assert [at.offset for at in committed.reached.values()] == [len(PLANNED)]
    [stored] = lake.rglob("*.jsonl.gz")
    assert gzip.decompress(stored.read_bytes()) == PLANNED
