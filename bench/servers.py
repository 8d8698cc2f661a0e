"""Measure each sink against its real server.

The rows are the lines per CPU second of our process, the CPU time of the server, and the memory of
our process, idle and under load.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import generate
from bench.process import (
    Failed,
    configuration,
    cpu_of_servers,
    free_port,
    new_home,
    running,
    ship_once,
    wait_until_quiet,
)
from bench.table import Row, Settings

if TYPE_CHECKING:
    from bench.destinations import Destination

MIB = 1 << 20


@dataclass
class Measured:
    """What the runs with one sink cost: CPU in seconds, memory in MiB."""

    lines_per_second: list[float] = field(default_factory=list)
    server_seconds: list[float] = field(default_factory=list)
    load_mib: list[float] = field(default_factory=list)
    idle_mib: list[float] = field(default_factory=list)

    def rows(self, name: str) -> list[Row]:
        """Return a row for each thing that was measured."""
        rows = (
            Row(f"{name}: throughput", "lines per CPU s", tuple(self.lines_per_second)),
            Row(f"{name}: the server's own, 100,000 lines", "CPU s", tuple(self.server_seconds)),
            Row(f"{name}: idle memory", "MiB", tuple(self.idle_mib)),
            Row(f"{name}: peak memory under load", "MiB", tuple(self.load_mib)),
        )
        return [row for row in rows if row.values]


def servers(folder: str, settings: Settings) -> list[Row]:
    """Measure every sink whose server is installed; say why each of the others has no row."""
    try:
        import pytest

        from bench.destinations import DESTINATIONS
    except ImportError as error:
        print(f"  servers: no rows, for they need what the tests need: {error}", file=sys.stderr)
        return []
    counts = [
        _write(os.path.join(folder, f"traces-{turn}"), settings.generated_bytes // 6, turn)
        for turn in range(settings.repeats + 1)
    ]
    rows: list[Row] = []
    for name, started in DESTINATIONS.items():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                with started(Path(place)) as destination:
                    rows += _measure_destination(folder, destination, counts).rows(name)
            except (pytest.skip.Exception, pytest.fail.Exception, Failed, OSError) as reason:
                print(f"  {name}: no row: {reason}", file=sys.stderr)
                continue
        print(f"  {name}: done", file=sys.stderr)
    return rows


def _write(traces: str, size_bytes: int, seed: int) -> int:
    """Write the lines of one turn and return their count.

    Each turn has lines of its own, because some destinations detect a repeat.
    """
    os.makedirs(traces)
    path = os.path.join(traces, "generated.jsonl")
    generate.write(path, size_bytes, seed)
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _measure_destination(folder: str, destination: Destination, counts: list[int]) -> Measured:
    found = Measured()
    for turn, lines in enumerate(counts):
        destination.clear()
        with new_home(folder) as home:
            path = configuration(
                home, os.path.join(folder, f"traces-{turn}"), sinks=destination.sink
            )
            before = cpu_of_servers(destination.process)
            cost = ship_once(path)
            theirs = cpu_of_servers(destination.process) - before
        if turn:  # the first run warms the server
            found.lines_per_second.append(lines / cost.cpu_seconds)
            found.server_seconds.append(theirs * 100_000 / lines)
            found.load_mib.append(cost.peak_bytes / MIB)
    found.idle_mib.append(_idle_bytes(folder, destination) / MIB)
    return found


def _idle_bytes(folder: str, destination: Destination) -> int:
    with new_home(folder) as home:
        _write(os.path.join(home, "traces"), 1, seed=0)
        port = free_port()
        path = configuration(
            home, os.path.join(home, "traces"), listen=f"127.0.0.1:{port}", sinks=destination.sink
        )
        with running(path) as daemon:
            wait_until_quiet(daemon, port)
            return daemon.resident_bytes()
