"""Measure how long a line of a good source takes into the lake beside what a hostile one does."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.process import Failed, running
from bench.table import Row, Settings

GOAL = 2.0
ALONE_LINES = 20
LEAST_SECONDS = 3.0
MOST_SECONDS = 120.0
_LOOK_SECONDS = 0.01
_CONFIGURATION = """
state_directory = "{home}/state"
[[source]]
name = "hostile"
include = ["{home}/hostile/**/*.jsonl*"]
{limits}
[[source]]
name = "good"
include = ["{home}/good/*.jsonl"]
[[sink]]
name = "lake"
type = "directory"
path = "{home}/lake"
format = "{form}"
batch = {{ age = "500ms", idle = "100ms" }}
"""

Attack = Callable[[Path], None]


def _tiny(files: int) -> Attack:
    def write(folder: Path) -> None:
        for number in range(files):
            (folder / f"{number}.jsonl").write_bytes(b'{"n":%d}\n' % number)

    return write


def _folders(folder: Path) -> None:
    for number in range(2000):
        (folder / f"{number}").mkdir()
        (folder / f"{number}" / "a.jsonl").write_bytes(b'{"n":%d}\n' % number)


def _many_days(folder: Path) -> None:
    days = [dt.date.today() - dt.timedelta(days=ago) for ago in range(2400)]
    (folder / "a.jsonl").write_text(
        "".join(f'{{"timestamp":"{day}T10:00:00Z","message":"{day}"}}\n' for day in days)
    )


def _bomb(folder: Path) -> None:
    line = b'{"a":"%s"}\n' % (b"x" * 30_000_000)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(line * 11))


def _short_lines(folder: Path) -> None:
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b'{"a":1}\n' * 20_000_000, 1))


def _garbage(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(b"this is no JSON\n" * 300_000)


def _large_files(folder: Path) -> None:
    for number in range(200):
        lines = (b'{"x":"%s"}\n' % os.urandom(500).hex().encode() for _ in range(1000))
        (folder / f"{number}.jsonl").write_bytes(b"".join(lines))


_ATTACKS: dict[str, tuple[str, Attack, str]] = {
    "2,000 tiny files": ("raw", _tiny(2000), ""),
    "20,000 tiny files": ("raw", _tiny(20_000), ""),
    "80,000 tiny files": ("raw", _tiny(80_000), ""),
    "2,000 folders": ("raw", _folders, ""),
    "lines of 2,400 days": ("event", _many_days, ""),
    "a .gz of 330 MB": ("raw", _bomb, ""),
    "20 million lines in a .gz": ("event", _short_lines, ""),
    "300,000 rejected lines": ("raw", _garbage, ""),
    "200 MB at its limit of held bytes": ("raw", _large_files, 'limits = { held = "10MiB" }'),
    "20,000 files at its limit of 100": ("raw", _tiny(20_000), "limits = { files = 100 }"),
}
"""Format of the lake, what the hostile source does at once, and its limits."""


def lag(folder: str, settings: Settings) -> list[Row]:
    """Measure each line's way into the lake, as a multiple of the median of lines alone."""
    rows = []
    for name, (form, attack, limits) in _ATTACKS.items():
        if settings.repeats < 3 and name.startswith("80,000"):
            continue  # a quick run
        home = Path(folder) / name.replace(" ", "-")
        alone, beside = _measure(home, form, attack, limits)
        shutil.rmtree(home)
        usual = statistics.median(alone)
        print(
            f"  {name}: alone {usual:.2f} s, beside it {statistics.median(beside):.2f} s, "
            f"at most {max(beside):.2f} s, {len(beside)} lines",
            file=sys.stderr,
        )
        rows.append(
            Row(
                f"line beside {name}",
                "times alone",
                tuple(seconds / usual for seconds in beside),
                GOAL,
            )
        )
    return rows


def _measure(home: Path, form: str, attack: Attack, limits: str) -> tuple[list[float], list[float]]:
    """Return how long lines took before the attack, and while the daemon was at work on it."""
    for name in ("hostile", "good", "stage"):
        (home / name).mkdir(parents=True)
    attack(home / "stage")
    config = home / "bench.toml"
    config.write_text(_CONFIGURATION.format(home=home, form=form, limits=limits))
    lake = _Lake(home)
    with running(str(config)) as daemon:
        daemon.seconds_until("sink.connected")
        lake.ship_line()  # the first one loads code
        alone = [lake.ship_line() for _ in range(ALONE_LINES)]
        began, busy = time.monotonic(), daemon.cpu_seconds()
        (home / "stage").rename(home / "hostile" / "stage")
        beside: list[float] = []
        while True:
            before = busy
            beside += [lake.ship_line() for _ in range(5)]
            busy, seconds = daemon.cpu_seconds(), time.monotonic() - began
            is_calm = busy - before < 0.5 * sum(beside[-5:])
            if seconds > MOST_SECONDS or (seconds > LEAST_SECONDS and is_calm):
                return alone, beside


class _Lake:
    """Writes lines into the good source, and waits until they are in the lake."""

    def __init__(self, home: Path) -> None:
        self._traces = home / "good" / "a.jsonl"
        self._objects = home / "lake"
        self._looked_at: set[str] = set()
        self._written = 0
        self._arrived: set[int] = set()

    def ship_line(self) -> float:
        """Return how long one line took."""
        self._written += 1
        with self._traces.open("ab") as file:
            file.write(b'{"type":"good","number":%d}\n' % self._written)
        began = time.monotonic()
        while self._written not in self._arrived:
            self._look()
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() - began > MOST_SECONDS:
                raise Failed("a line did not arrive")
        return time.monotonic() - began

    def _look(self) -> None:
        """Read the objects that are new; a folder that is still written to is looked at again."""
        for folder, folders, names in os.walk(self._objects):
            folders[:] = [each for each in folders if not each.startswith("_")]
            for name in names:
                path = os.path.join(folder, name)
                if path in self._looked_at or not name.endswith(".gz"):
                    continue
                self._looked_at.add(path)
                with gzip.open(path) as lines:
                    self._arrived.update(map(_number_of, filter(_is_good, lines)))


def _is_good(line: bytes) -> bool:
    return b"good" in line and b"number" in line


def _number_of(line: bytes) -> int:
    found = json.loads(line)
    return int((json.loads(found["raw"]) if "raw" in found else found)["number"])
