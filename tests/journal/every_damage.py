"""`make damages`: do every damage to a journal, and see that each ends in a repair or one sentence.

usage: python -m tests.journal.every_damage [--seed N] [--part K/N]

Prints one line with seed, count and result, and each failure on stderr. Exits with 1 if there is
one. Part K/N is every Nth damage, so that several processes share them: 600 take about 40 minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path

from tests.journal.damage_scene import Scene
from tests.journal.damages import all_damages


def main() -> int:
    """Run the damages that the arguments choose."""
    parser = argparse.ArgumentParser(prog="python -m tests.journal.every_damage")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--part", default="1/1", metavar="K/N")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    with tempfile.TemporaryDirectory(prefix="damages-") as folder:
        scene = Scene(Path(folder), arguments.seed)
        damages = list(islice(all_damages(scene.saved / "state"), part - 1, None, parts))
        failures = scene.not_survived(damages)
    print(
        f"damages: seed {arguments.seed}, part {part}/{parts}, {len(damages)} damages,"
        f" {len(failures)} broke a promise"
    )
    for failure in failures:
        print(failure, file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
