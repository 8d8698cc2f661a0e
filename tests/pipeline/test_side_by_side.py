"""Sinks that walk side by side cost the cleaning and the interpreting of one."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from bench import generate
from tracesidecar.config.schema import Configuration
from tracesidecar.daemon.wiring import Wiring
from tracesidecar.dialects import DialectEvent, Interpreter, LineBlock
from tracesidecar.journal.journal import Journal
from tracesidecar.metrics import Metrics
from tracesidecar.pipeline.service import Service
from tracesidecar.sinks.directory import sink as directory
from tracesidecar.tail.options import SourceOptions

FORMATS = ("event", "ecs", "ocsf")
FILES, FILE_BYTES = 4, 5_000_000


class Counting(Interpreter):
    """An interpreter that counts the lines it was given, by file and place."""

    def __init__(self, seen: Counter[tuple[str, int]]) -> None:
        super().__init__()
        self._seen = seen

    def __call__(self, passage: LineBlock, state: bytes | None) -> tuple[list[DialectEvent], bytes]:
        """Count, and interpret."""
        self._seen.update((passage.label, line.offset) for line in passage.lines)
        return super().__call__(passage, state)


def assembled(folder: Path) -> Wiring:
    """Three sinks over one folder, each with a format of its own."""
    state = folder / "state"
    state.mkdir()
    sinks = tuple(
        directory.Options(name=name, type="directory", path=str(folder / name), format=name)
        for name in FORMATS
    )
    source = SourceOptions(name="agent", include=(f"{folder}/traces/*.jsonl",))
    configuration = Configuration(state_directory=str(state), source=(source,), sink=sinks)
    return Wiring(
        configuration, Journal.open(str(state)), Metrics(), watcher=None, at=lambda _point: None
    )


def test_three_sinks_with_a_format_each_have_every_line_interpreted_about_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "traces").mkdir()
    for number in range(FILES):
        generate.write(str(tmp_path / "traces" / f"{number}.jsonl"), FILE_BYTES, seed=number)
    assembly = assembled(tmp_path)
    seen: Counter[tuple[str, int]] = Counter()
    assembly._events._interpreters = {"agent": Counting(seen)}
    assembly.pipeline.clock = lambda: (
        1000.0
    )  # no send is slow by it, whatever else the machine does

    async def play() -> None:
        service = Service(assembly.pipeline, poll_seconds=0.2)
        service.stop.set()
        assert not (await service.run(drain_seconds=120, whole_backlog=True)).left

    asyncio.run(play())
    assembly.pipeline.close()
    lines = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "traces").iterdir())
    assert len(seen) == lines
    assert seen.total() <= 1.05 * len(seen)
