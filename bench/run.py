"""`make bench`: measure the whole process on generated and on real lines.

Print one table of medians. It does not name the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench import generate
from bench.lag import lag
from bench.process import (
    Daemon,
    configuration,
    free_port,
    new_home,
    running,
    ship_once,
    wait_until_quiet,
)
from bench.real_lines import real_lines, write_by_dialect
from bench.servers import servers
from bench.several import several
from bench.table import Row, Settings

FIRST_READ = "pipeline.first_read"


def _speed(
    folder: str, title: str, goal: float, settings: Settings, form: str = "raw"
) -> list[Row]:
    traces = os.path.join(folder, "traces")
    size = sum(entry.stat().st_size for entry in os.scandir(traces))
    speeds, peaks = [], []
    for turn in range(settings.repeats):
        with new_home(folder) as home:
            cost = ship_once(configuration(home, traces, forms=(form,)))
        speeds.append(size / 1e6 / cost.cpu_seconds)
        peaks.append(cost.peak_bytes / (1 << 20))
        print(f"  {title}, run {turn + 1}: {speeds[-1]:.0f} MB per CPU second", file=sys.stderr)
    return [
        Row(
            f"ship --once, {title}, {size / 1e6:.0f} MB",
            "MB per CPU second",
            tuple(speeds),
            goal,
            is_floor=True,
        ),
        Row(f"peak memory, {title}", "MiB", tuple(peaks), 120),
    ]


def measure_generated(folder: str, settings: Settings) -> list[Row]:
    """Measure speed and peak memory on generated lines."""
    os.makedirs(os.path.join(folder, "traces"))
    for number in range(4):
        generate.write(
            os.path.join(folder, "traces", f"{number}.jsonl"),
            settings.generated_bytes // 4,
            seed=number,
        )
    return _speed(folder, "generated lines", 150, settings)


def real(folder: str, settings: Settings) -> list[Row]:
    """Measure speed and peak memory on the real lines: one set of 8.6 MB, repeated.

    Each file begins at another line. Files that begin alike are compared, as they may be copies of
    one another, and that takes wall-clock time.
    """
    lines = real_lines()
    if not lines:
        print("  real lines: not there, no row", file=sys.stderr)
        return []
    size = sum(map(len, lines))
    os.makedirs(os.path.join(folder, "traces"))
    for number in range(max(1, settings.real_bytes // size)):
        with open(os.path.join(folder, "traces", f"{number}.jsonl"), "wb") as copy:
            copy.writelines(lines[number * 100 :] + lines[: number * 100])
    return _speed(folder, "real lines", 90, settings)


def events(folder: str, settings: Settings) -> list[Row]:
    """Measure the interpretation of the real lines, stored as JSON rows and as Parquet.

    Each dialect's lines are in files of their own.
    """
    lines = real_lines()
    if not lines:
        print("  real lines: not there, no row", file=sys.stderr)
        return []
    for form in ("event", "parquet"):
        write_by_dialect(os.path.join(folder, form, "traces"), lines, settings.real_bytes // 2)
    return [
        *_speed(os.path.join(folder, "event"), "real lines to events", 25, settings, "event"),
        *_speed(os.path.join(folder, "parquet"), "real lines to Parquet", 20, settings, "parquet"),
    ]


def _one_small_file(folder: str) -> str:
    traces = os.path.join(folder, "traces")
    os.makedirs(traces)
    generate.write(os.path.join(traces, "one.jsonl"), 1, seed=1)
    return traces


def start(folder: str, settings: Settings) -> list[Row]:
    """Measure the time from process start to first read, and the memory of the idle process."""
    traces = _one_small_file(folder)
    cold, warm, idle = [], [], []
    for turn in range(settings.repeats):
        home = os.path.join(folder, f"home-{turn}")
        with running(configuration(home, traces)) as daemon:
            cold.append(daemon.seconds_until(FIRST_READ))
        generate.write(os.path.join(traces, f"next-{turn}.jsonl"), 1, seed=2 + turn)
        port = free_port()
        with running(configuration(home, traces, listen=f"127.0.0.1:{port}")) as daemon:
            warm.append(daemon.seconds_until(FIRST_READ))
            wait_until_quiet(daemon, port)
            idle.append(daemon.resident_bytes() / (1 << 20))
    return [
        Row("start to first read, warm", "s", tuple(warm), 0.7),
        Row("start to first read, first time", "s", tuple(cold), 1.5),
        Row("idle memory, directory sink, metrics on", "MiB", tuple(idle), 60),
    ]


def idle(folder: str, settings: Settings) -> list[Row]:
    """Measure what quiet files cost: with change events and by polling alone, side by side."""
    traces = os.path.join(folder, "traces")
    source = generate.lines(1)
    for number in range(settings.quiet_files):
        where = os.path.join(traces, f"{number % 100:02d}")
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, f"{number}.jsonl"), "wb") as file:
            file.write(next(source) + b"\n")

    def measure(*, notices: bool) -> tuple[float, ...]:
        port = free_port()
        path = configuration(
            os.path.join(folder, f"home-{notices}"), traces, listen=f"127.0.0.1:{port}"
        )
        with running(path, notices=notices) as daemon:
            daemon.seconds_until(FIRST_READ)
            wait_until_quiet(daemon, port, settings.quiet_files)
            return _percent_of_a_core(daemon, settings)

    with ThreadPoolExecutor(2) as pool:
        noticed, polled = pool.submit(measure, notices=True), pool.submit(measure, notices=False)
        return [
            Row(
                f"idle, {settings.quiet_files} quiet files, notices",
                "% of a core",
                noticed.result(),
                1,
            ),
            Row(
                f"idle, {settings.quiet_files} quiet files, polling",
                "% of a core",
                polled.result(),
                3,
            ),
        ]


def _percent_of_a_core(daemon: Daemon, settings: Settings) -> tuple[float, ...]:
    values = []
    for _ in range(settings.repeats):
        before, began = daemon.cpu_seconds(), time.monotonic()
        time.sleep(settings.window_seconds)
        values.append(100 * (daemon.cpu_seconds() - before) / (time.monotonic() - began))
    return tuple(values)


MEASUREMENTS: dict[str, Callable[[str, Settings], list[Row]]] = {
    "generated": measure_generated,
    "real": real,
    "events": events,
    "several": several,
    "servers": servers,
    "start": start,
    "idle": idle,
    "lag": lag,
}


def main() -> int:
    """Print the table; return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "rows",
        nargs="*",
        help=f"which measurements: {', '.join(MEASUREMENTS)}; all when none is named",
    )
    parser.add_argument(
        "--quick", action="store_true", help="less data and fewer repeats, for a first impression"
    )
    options = parser.parse_args()
    unknown = set(options.rows) - set(MEASUREMENTS)
    if unknown:
        parser.error(
            f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}"
        )
    settings = (
        Settings(2, 60_000_000, 60_000_000, 2_000, 5.0)
        if options.quick
        else Settings(5, 300_000_000, 200_000_000, 10_000, 31.0)
    )
    rows: list[Row] = []
    for name in options.rows or MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="tracesidecar-bench-") as folder:
            rows += MEASUREMENTS[name](folder, settings)
    print(f"{'':44} {'median':>9}  {'lowest - highest':18} {'':18} goal     reached")
    print("\n".join(row.text() for row in rows))
    return 0 if all(row.reaches_goal() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
