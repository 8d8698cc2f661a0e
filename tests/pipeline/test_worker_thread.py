"""What lives in the worker thread is reached through one door, and nowhere else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.service import Service
from tracesidecar.pipeline.sink_loop import SinkLoop
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail.options import SourceOptions

PARTS = ("tailer", "sanitizer", "replay", "events", "locator", "labels", "intake", "filler")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over an empty folder, whose worker has everything that the daemon's has."""
    tmp_path = tmp_path_factory.mktemp("service")
    state = tmp_path / "state"
    state.mkdir()
    sink = directory.Options(name="lake", type="directory", path=str(tmp_path / "lake"))
    source = SourceOptions(name="agent", include=(f"{tmp_path}/traces/*.jsonl",))
    configuration = Configuration(state_directory=str(state), source=(source,), sink=(sink,))
    journal, metrics = Journal.open(str(state)), Metrics()
    wiring = Wiring(configuration, journal, metrics, watcher=None, at=lambda _point: None)
    yield Service(wiring.worker, wiring.sinks, journal, metrics, poll_seconds=1)
    wiring.worker.close(lambda context: context.tailer.close())


def test_the_resident_is_made_and_used_in_one_other_thread() -> None:
    async def play() -> list[int]:
        worker = WorkerThread(lambda: [threading.get_ident()])
        await worker.run(lambda resident: resident.append(threading.get_ident()))
        seen = await worker.run(lambda resident: list(resident))
        worker.close(lambda resident: resident.append(threading.get_ident()))
        return seen

    made, used = asyncio.run(play())
    assert made == used
    assert made != threading.get_ident()


def test_what_cannot_be_made_is_raised_to_the_maker() -> None:
    def fail() -> None:
        raise ValueError("no such engine")

    with pytest.raises(ValueError, match="no such engine"):
        WorkerThread(fail)


@pytest.mark.parametrize("part", [*PARTS, "cached_bytes"])
def test_a_part_of_the_worker_that_got_out_raises_in_another_thread(
    service: Service, part: str
) -> None:
    leaked = asyncio.run(service.worker.run(lambda context: context))
    with pytest.raises(RuntimeError, match="belongs to the worker thread"):
        getattr(leaked, part)


@pytest.mark.parametrize(
    "call",
    [
        lambda context: context.scan(full=True),
        lambda context: context.fill("lake", {}),
        lambda context: context.close_batch("lake"),
        lambda context: context.commit("lake", {}, ()),
        lambda context: context.rewind("lake"),
    ],
)
def test_what_the_event_loop_runs_cannot_be_called_in_its_own_thread(
    service: Service, call: object
) -> None:
    assert callable(call)
    leaked = asyncio.run(service.worker.run(lambda context: context))
    with pytest.raises(RuntimeError, match="belongs to the worker thread"):
        call(leaked)


def test_objects_of_the_event_loop_hold_nothing_of_the_worker_but_its_door(
    service: Service,
) -> None:
    async def residents() -> set[int]:
        def collect(context: WorkerContext) -> set[int]:
            return {id(context), *(id(getattr(context, part)) for part in PARTS)}

        return await service.worker.run(collect)

    forbidden = asyncio.run(residents())
    assert SinkLoop.__module__ == "tracesidecar.pipeline.sink_loop"
    seen: set[int] = set()
    waiting: list[object] = [service]
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, WorkerThread):
            continue
        seen.add(id(held))
        assert id(held) not in forbidden, type(held)
        if type(held).__module__.startswith(("tracesidecar.pipeline", "tracesidecar.deliver")):
            waiting += vars(held).values() if hasattr(held, "__dict__") else ()
        elif isinstance(held, dict):
            waiting += held.values()
    assert len(seen) > 10
