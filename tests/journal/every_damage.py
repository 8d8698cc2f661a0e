"""`make damages`: do every damage to a journal, and see that each ends in a repair or one sentence.

usage: python -m tests.journal.every_damage [--seed N] [--part K/N]

Prints one line with seed, count and result, and each failure on stderr. Exits with 1 if there is
one. Each part runs in a process of its own, as many at a time as there are processors: a command
keeps what it loads for as long as its process lives. 870 damages take about 7 minutes on two.
With `--part K/N` this process does every Nth damage itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tests.journal.damage_scene import Scene
from tests.journal.damages import all_damages

PARTS = 30


def run_part(seed: int, part: int, parts: int) -> int:
    """Run every Nth damage; print how many broke a promise, and return 1 if one did."""
    with tempfile.TemporaryDirectory(prefix="damages-") as folder:
        scene = Scene(Path(folder), seed)
        damages = list(islice(all_damages(scene.saved / "state"), part - 1, None, parts))
        failures = scene.not_survived(damages)
    print(len(damages), len(failures))
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


def run_all(seed: int) -> int:
    """Run all parts; print one line about all of them, and return 1 if a promise was broken."""

    def run(part: int) -> tuple[int, int]:
        words = ("--seed", str(seed), "--part", f"{part}/{PARTS}")
        ended = subprocess.run(
            [sys.executable, "-m", __spec__.name, *words], stdout=subprocess.PIPE, check=False
        )
        if ended.returncode not in (0, 1):
            raise RuntimeError(f"part {part} of {PARTS} ended with {ended.returncode}")
        damages, failures = map(int, ended.stdout.split())
        return damages, failures

    with ThreadPoolExecutor(os.cpu_count()) as processes:
        results = list(processes.map(run, range(1, PARTS + 1)))
    count, failures = (sum(numbers) for numbers in zip(*results, strict=True))
    print(f"damages: seed {seed}, {count} damages, {failures} broke a promise")
    return bool(failures)


def main() -> int:
    """Run the damages that the arguments choose."""
    parser = argparse.ArgumentParser(prog="python -m tests.journal.every_damage")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--part", metavar="K/N")
    arguments = parser.parse_args()
    if arguments.part is None:
        return run_all(arguments.seed)
    part, parts = map(int, arguments.part.split("/"))
    return run_part(arguments.seed, part, parts)


if __name__ == "__main__":
    sys.exit(main())
