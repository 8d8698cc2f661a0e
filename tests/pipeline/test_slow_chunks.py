"""A long line, or many slow ones, are cleaned beside the worker thread, and other files go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.sidecar import append, number_lines
from tests.warm import warm
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.encode.jsonl import decode_lines
from tracesidecar.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.batch_filler import Step
from tracesidecar.pipeline.slow_chunks import LONG_LINE_BYTES
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail import SourceOptions

KEY_ID = "AKIA" + "Q7LPMN5HFZKE2345"


def long_line() -> bytes:
    words = [f"word {number}" for number in range(LONG_LINE_BYTES // 8)]
    line = json.dumps({"key": KEY_ID, "t": words}).encode() + b"\n"
    assert len(line) > LONG_LINE_BYTES
    return line


def slow_lines() -> bytes:
    """Short lines that look like secrets from end to end: together they take long."""
    part = " ".join(f"{word}: Zq8#{word}-9Kv" for word in ("password", "secret", "token"))
    lines = [json.dumps({"n": n, "t": [f"{part} {n} {k}" for k in range(12)]}) for n in range(900)]
    return json.dumps({"key": KEY_ID}).encode() + b"\n" + "\n".join(lines).encode() + b"\n"


def read_beside(tmp_path: Path, slow: bytes, *, documents: bool = False) -> bytes:
    """Read a file that begins with something slow, and another one.

    All of the other one is taken before anything of the slow one. Return the lines of the batch.
    """
    traces, state = tmp_path / "traces", tmp_path / "state"
    traces.mkdir()
    warm(state)
    (traces / "a.jsonl").write_bytes(slow + b'{"after":1}\n')
    append(traces / "b.jsonl", number_lines(0, 5))
    sink = directory.Options(name="lake", type="directory", path=str(tmp_path / "lake"))
    include = (f"{traces}/*.jsonl",)
    source = SourceOptions(name="agent", include=include, documents=documents)
    configuration = Configuration(state_directory=str(state), source=(source,), sink=(sink,))
    journal = Journal.open(str(state))
    wiring = Wiring(configuration, journal, Metrics(), watcher=None, at=lambda _point: None)

    async def play() -> tuple[int, int, bytes]:
        worker = wiring.worker
        await worker.run(WorkerContext.scan, full=True)
        step: Step | None = None
        taken = first = 0
        async with asyncio.timeout(120):
            while step is None or not step.is_waiting:
                step = await worker.run(WorkerContext.fill, "lake", {})
                first = taken = taken + step.taken_bytes
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
    assert first == (traces / "b.jsonl").stat().st_size
    assert taken == sum(path.stat().st_size for path in traces.iterdir())
    return decode_lines(content, "gzip")


@pytest.mark.parametrize("make", [long_line, slow_lines])
def test_other_files_go_on_while_what_is_slow_is_cleaned(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    lines = read_beside(tmp_path, make())
    assert KEY_ID.encode() not in lines
    assert lines.count(b"[REDACTED:aws-access-key-id]") == 1
    assert lines.endswith(b'{"after":1}\n')


@pytest.mark.parametrize("documents", [False, True])
def test_other_files_go_on_while_a_line_that_is_too_long_is_measured(
    tmp_path: Path, *, documents: bool
) -> None:
    # a hole of 4 TiB kept the lines of all sources waiting for an hour
    filler = bytes(72 << 20) if not documents else b" " * (72 << 20)
    lines = read_beside(tmp_path, b'{"a":1' + filler + b"}\n", documents=documents)
    assert lines == b"\n".join([*number_lines(0, 5), b'{"after":1}', b""])


def test_slow_lines_of_two_sources_do_not_make_each_other_begin_again(tmp_path: Path) -> None:
    # what one had been cleaned to was dropped when the other began, and so on for ever
    traces, state = tmp_path / "traces", tmp_path / "state"
    warm(state)
    for name in ("one", "two"):
        (traces / name).mkdir(parents=True)
        (traces / name / "a.jsonl").write_bytes(f'{{"source":"{name}"}}\n'.encode() + long_line())
    sources = tuple(
        SourceOptions(name=name, include=(f"{traces}/{name}/*.jsonl",)) for name in ("one", "two")
    )
    sink = directory.Options(name="lake", type="directory", path=str(tmp_path / "lake"))
    configuration = Configuration(state_directory=str(state), source=sources, sink=(sink,))
    journal = Journal.open(str(state))
    wiring = Wiring(configuration, journal, Metrics(), watcher=None, at=lambda _point: None)

    async def read_all() -> int:
        worker = wiring.worker
        await worker.run(WorkerContext.scan, full=True)
        step = await worker.run(WorkerContext.fill, "lake", {})
        taken = step.taken_bytes
        async with asyncio.timeout(120):
            while step.has_more:
                await asyncio.sleep(0.01)
                step = await worker.run(WorkerContext.fill, "lake", {})
                taken += step.taken_bytes
        return taken

    try:
        taken = asyncio.run(read_all())
    finally:
        wiring.worker.close(lambda context: context.tailer.close())
        journal.close()
    assert taken == sum(path.stat().st_size for path in traces.rglob("*.jsonl"))
