"""Sinks that walk side by side cost the cleaning and the interpreting of one."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from bench import generate
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.deliver import Delivery
from tracesidecar.dialects import DialectEvent, Identify, Interpreter
from tracesidecar.encode import Format
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.model import CleanChunk
from tracesidecar.pipeline.service import Service
from tracesidecar.pipeline.side_by_side import SideBySide
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail import SourceOptions

FORMATS: tuple[Format, ...] = ("event", "ecs", "ocsf")
FILES, FILE_BYTES = 4, 5_000_000


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each line was interpreted, by file and offset."""
    counter: Counter[tuple[str, int]] = Counter()
    interpret = Interpreter.__call__

    def count(
        self: Interpreter,
        label: str,
        clean: CleanChunk,
        state: bytes | None,
        identify: Identify | None,
    ) -> tuple[list[DialectEvent], bytes]:
        counter.update((label, position.offset) for position in clean.positions)
        return interpret(self, label, clean, state, identify)

    monkeypatch.setattr(Interpreter, "__call__", count)
    return counter


def read_stopped_clock() -> float:
    """No send is slow by it, whatever else the machine does."""
    return 1000.0


def service_over(folder: Path) -> Service:
    """Three sinks over one folder, each with a format of its own."""
    state = folder / "state"
    state.mkdir()
    sinks = tuple(
        directory.Options(name=name, type="directory", path=str(folder / name), format=name)
        for name in FORMATS
    )
    source = SourceOptions(name="agent", include=(f"{folder}/traces/*.jsonl",))
    configuration = Configuration(state_directory=str(state), source=(source,), sink=sinks)
    journal, metrics = Journal.open(str(state)), Metrics()
    wiring = Wiring(
        configuration,
        journal,
        metrics,
        watcher=None,
        at=lambda _point: None,
        clock=read_stopped_clock,
    )
    return Service(
        wiring.worker, wiring.sinks, journal, metrics, poll_seconds=0.2, clock=read_stopped_clock
    )


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sink connects only once another one waits for it, or has delivered everything.

    On a busy machine a thread that opens a connection may get its turn that late.
    """
    waits, calls = asyncio.Event(), itertools.count(1)
    wait, connect, enter = SideBySide.wait, Delivery.connect, SinkState.enter

    async def note_wait(self: SideBySide, step: asyncio.Event) -> None:
        waits.set()
        await wait(self, step)

    async def connect_late(self: Delivery) -> None:
        if next(calls) == len(FORMATS):
            await waits.wait()
        await connect(self)

    def note_end(self: SinkState, phase: SinkPhase) -> None:
        enter(self, phase)
        if phase is SinkPhase.DRAINED:
            waits.set()

    monkeypatch.setattr(SideBySide, "wait", note_wait)
    monkeypatch.setattr(Delivery, "connect", connect_late)
    monkeypatch.setattr(SinkState, "enter", note_end)


def interpret_all(folder: Path) -> int:
    """Ship some files to all sinks; return how many lines they have."""
    (folder / "traces").mkdir()
    for number in range(FILES):
        generate.write(str(folder / "traces" / f"{number}.jsonl"), FILE_BYTES, seed=number)

    async def play() -> None:
        service = service_over(folder)
        service.stop.set()
        assert not (await service.run(drain_seconds=600, whole_backlog=True)).left
        service.worker.close(lambda context: context.tailer.close())

    asyncio.run(play())
    return sum(path.read_bytes().count(b"\n") for path in (folder / "traces").iterdir())


@pytest.mark.long
def test_three_sinks_with_a_format_each_have_every_line_interpreted_about_once(
    tmp_path: Path, seen: Counter[tuple[str, int]]
) -> None:
    lines = interpret_all(tmp_path)
    assert len(seen) == lines
    assert seen.total() <= 1.05 * len(seen)


@pytest.mark.long
@pytest.mark.usefixtures("late")
def test_a_sink_that_connects_late_has_no_line_interpreted_again_for_it(
    tmp_path: Path, seen: Counter[tuple[str, int]]
) -> None:
    lines = interpret_all(tmp_path)
    assert len(seen) == lines
    assert seen.total() <= 1.05 * len(seen)
