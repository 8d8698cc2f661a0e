"""Readiness follows progress, not the mere fact of running; driven by a clock of the test's own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.daemon.sidecar import append, number_lines
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.health import STALL_SECONDS, Health, HealthMonitor
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.model import BEGINNING
from tracesidecar.pipeline.service import Service
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail import SourceOptions


class Bench:
    """A pipeline with one sink that nobody serves, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.traces = folder / "traces"
        self.traces.mkdir()
        state = folder / "state"
        state.mkdir()
        sink = directory.Options(name="lake", type="directory", path=str(folder / "lake"))
        source = SourceOptions(name="agent", include=(f"{self.traces}/*.jsonl",))
        configuration = Configuration(state_directory=str(state), source=(source,), sink=(sink,))
        journal, self.metrics = Journal.open(str(state)), Metrics()
        self.now = 1000.0
        wiring = Wiring(
            configuration,
            journal,
            self.metrics,
            watcher=None,
            at=lambda _point: None,
            clock=lambda: self.now,
        )
        self.service = Service(
            wiring.worker,
            wiring.sinks,
            journal,
            self.metrics,
            poll_seconds=1,
            clock=lambda: self.now,
        )
        self.monitor = HealthMonitor(self.service, self.metrics, journal, clock=lambda: self.now)

    async def after(self, seconds: float, *, scan: bool = True) -> Health:
        """How it is so many seconds later."""
        self.now += seconds
        if scan:
            await self.service.scans.scan()
        return await self.monitor.check_health()


def test_a_sink_that_delivers_nothing_of_what_waits_is_not_ready(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        append(bench.traces / "a.jsonl", number_lines(0, 1))
        assert (await bench.after(1)).is_ready
        assert (await bench.after(STALL_SECONDS)).is_ready, "three times the batch age are allowed"
        late = await bench.after(STALL_SECONDS)
        assert not late.is_ready
        assert late.why_not[0].startswith("sink lake has delivered nothing for 241 s")

    asyncio.run(play())


def test_an_old_file_is_a_lag_since_it_was_found_however_often_it_grows(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        path = bench.traces / "a.jsonl"
        append(path, number_lines(0, 1))
        os.utime(path, (1577880000, 1577880000))  # of 2020
        await bench.after(1)
        (sink,) = (await bench.after(10)).sinks
        assert (sink.lag_bytes, sink.lag_seconds) == (path.stat().st_size, 10.0)
        assert b'lag_seconds{sink="lake"} 10.0' in bench.metrics.exposition()
        append(path, number_lines(1, 1))
        (sink,) = (await bench.after(20)).sinks
        assert (sink.lag_bytes, sink.lag_seconds) == (path.stat().st_size, 30.0)

    asyncio.run(play())


def test_a_sink_with_nothing_to_deliver_is_ready_however_long(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        await bench.after(1)
        assert (await bench.after(100 * STALL_SECONDS)).is_ready

    asyncio.run(play())


def test_files_that_could_not_be_looked_at_for_long_are_a_reason(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        await bench.after(1)
        assert (
            "could not be scanned" in (await bench.after(2 * STALL_SECONDS, scan=False)).why_not[0]
        )

    asyncio.run(play())


def test_a_state_that_no_file_is_in_any_more_counts_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        append(bench.traces / "a.jsonl", number_lines(0, 1))
        await bench.after(1)
        (bench.traces / "a.jsonl").unlink()
        await bench.after(1)
        exposition = bench.metrics.exposition()
        assert b'files{source="agent",state="live"} 0.0' in exposition
        assert b'files{source="agent",state="deleted"} 1.0' in exposition

    asyncio.run(play())


def test_what_is_remembered_of_segments_that_are_over_is_dropped(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        run = bench.service.worker.run
        reached = dict.fromkeys(range(5000), BEGINNING)
        await run(lambda context: context.intake.sinks["lake"].advance(reached))
        assert await run(lambda context: context.intake.sinks["lake"].known_segments) == 5000
        await bench.after(1)
        assert await run(lambda context: context.intake.sinks["lake"].known_segments) == 0

    asyncio.run(play())
