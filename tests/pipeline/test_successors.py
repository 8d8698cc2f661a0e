"""A file is rewritten while its batch is sent: what the batch has counts where the file goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.test_pieces import Worker, fill, play
from tests.warm import warm
from tracesidecar.model import Checkpoint
from tracesidecar.pipeline.successors import carry_over
from tracesidecar.pipeline.worker_context import WorkerContext

LINES = b"".join(b'{"n": %d}\n' % number for number in range(10, 30))
HALF = len(LINES) // 2


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    warm(tmp_path / "state")
    (tmp_path / "traces").mkdir()
    return tmp_path / "traces"


def test_a_file_that_is_cut_while_its_batch_is_sent_goes_on_after_what_was_sent(
    traces: Path,
) -> None:
    path = traces / "a.jsonl"
    path.write_bytes(LINES)

    async def act(worker: Worker) -> tuple[dict[int, Checkpoint], dict[int, Checkpoint], int]:
        prepared = await fill(worker)
        await worker.run(WorkerContext.mark, prepared.reached)
        before = await worker.run(carry_over, "lake", prepared.reached, ())
        path.write_bytes(LINES[:HALF] + b'{"other": 1}\n')
        await worker.run(WorkerContext.scan, full=True)
        after = await worker.run(carry_over, "lake", prepared.reached, ())
        await worker.run(WorkerContext.commit, "lake", after.reached, ())
        again = await fill(worker)
        [planned] = again.plan.ranges
        return before.reached, after.reached, planned.start

    before, after, start = play(traces, act)
    assert [at.offset for at in before.values()] == [len(LINES)]
    assert [at.offset for at in after.values()] == [len(LINES), HALF]
    assert start == HALF


def test_a_file_that_is_cut_while_its_batch_fills_goes_on_in_the_same_batch(traces: Path) -> None:
    path = traces / "a.jsonl"
    path.write_bytes(LINES)
    rest = b'{"other": 1}\n'

    async def act(worker: Worker) -> tuple[list[tuple[int, int]], list[int], int]:
        await worker.run(WorkerContext.scan, full=True)
        await worker.run(WorkerContext.fill, "lake", {})
        [former] = await worker.run(lambda context: list(context.tailer.segments()))
        await worker.run(WorkerContext.mark, [former])
        path.write_bytes(LINES[:HALF] + rest)
        prepared = await fill(worker)
        carried = await worker.run(carry_over, "lake", prepared.reached, ())
        await worker.run(WorkerContext.commit, "lake", carried.reached, ())
        again = await fill(worker)
        return (
            [(each.start, each.end) for each in prepared.plan.ranges],
            [at.offset for at in carried.reached.values()],
            len(again.plan.ranges),
        )

    ranges, reached, more = play(traces, act)
    assert ranges == [(0, len(LINES)), (HALF, HALF + len(rest))]
    assert reached == [len(LINES), HALF + len(rest)]
    assert more == 0
