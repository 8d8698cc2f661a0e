"""Random histories of a trace file.

Whatever writers, rotation and restarts do, each line that could be read is read once.
"""

from __future__ import annotations

import gzip
import pathlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tail.follower import Follower, Writer
from tracesidecar.tail.build import ignore

SAFE = [
    "append",
    "append",
    "half",
    "rename",
    "copytruncate",
    "turn",
    "turn",
    "restart",
    "kill",
    "kill_while_rotating",
    "lag",
    "catch_up",
]
RUDE = [*SAFE, "truncate", "delete", "compress", "change_directory"]


class History:
    """What happens to one file.

    `may_be_lost` are lines that were destroyed before a scan had seen them, or that nothing could
    protect.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.follower = Follower(root)
        self.writer = Writer()
        self.a = self.follower.traces / "a.jsonl"
        self.away = root / "away"
        self.away.mkdir()
        self.here: list[bytes] = []
        self.half = b""
        self.rotations = 0
        self.halves = 0
        self.may_be_lost: set[bytes] = set()
        self.is_known = False

    def run(self, steps: list[str]) -> None:
        for step in steps:
            action: Callable[[], None] = getattr(self, step)
            action()
        self.catch_up()
        self.append()
        self.follower.turns(9)
        self.follower.stop()
        arrived, written = self.follower.count_lines(), Counter(self.writer.written)
        assert not arrived - written, "something arrived twice, or was never written"
        assert set(written - arrived) <= self.may_be_lost, "something is missing"
        assert not self.follower.rejected

    def append(self) -> None:
        data = self.half + self.writer.make(5, 200)
        lines = data.splitlines()
        if self.half:
            self.writer.written[-5] = lines[0]
        with self.a.open("ab") as file:
            file.write(data[len(self.half) :])
        self.half = b""
        self.here += lines

    def half_line(self) -> None:
        if not self.half:
            self.halves += 1  # the same bytes again would look like the old file
            self.half = b'{"half %d": ' % self.halves
            with self.a.open("ab") as file:
                file.write(self.half)

    def turn(self) -> None:
        self.follower.turn()
        self.is_known |= bool(self.here)

    def restart(self) -> None:
        self.follower.restart()

    def kill(self) -> None:
        """End abruptly: nothing is saved or closed in order."""
        self.follower.kill()
        self.is_known &= bool(self.here)

    def kill_while_rotating(self) -> None:
        """Crash in the next scan that has a rotation to save."""

        def die(moment: str) -> None:
            if moment == "rotating":
                raise KeyboardInterrupt

        self.follower.at = die
        self.follower.kill()
        try:
            self.follower.turn()
        except KeyboardInterrupt:
            self.follower.at = ignore
        self.follower.at = ignore
        self.kill()

    def lag(self) -> None:
        self.follower.behind = True

    def catch_up(self) -> None:
        self.follower.behind = False

    def rename(self) -> None:
        self._end_half()
        self._meet()
        if self.here:
            self.a.rename(self._choose_rotated_name())
            self.here = []

    def copytruncate(self) -> None:
        self._end_half()
        self._meet()
        if self.here:
            shutil.copyfile(self.a, self._choose_rotated_name())
            self._truncate()

    def compress(self) -> None:
        self._end_half()
        if self.here:
            self.turn()
            self._choose_rotated_name(".gz").write_bytes(gzip.compress(self.a.read_bytes()))
            self.a.unlink()
            self.here, self.is_known = [], False

    def truncate(self) -> None:
        if self.here:
            self.may_be_lost |= set(self.here)
            self._truncate()

    def delete(self) -> None:
        """Delete the file after a scan: one that was never seen would be lost."""
        self._end_half()
        if self.here:
            self.turn()
            self.a.unlink()
            self.here, self.is_known = [], False

    def change_directory(self) -> None:
        self._end_half()
        if self.here:
            self.turn()
            self.a.rename(self.away / str(self.rotations))
            self.rotations += 1
            self.here, self.is_known = [], False

    def _meet(self) -> None:
        """Scan before the first rotation under a name.

        Nothing shows that a file belongs to a source if it is rotated before it was ever seen.
        """
        if not self.is_known:
            self.turn()

    def _choose_rotated_name(self, suffix: str = "") -> pathlib.Path:
        self.rotations += 1
        return self.follower.traces / f"a.jsonl.{self.rotations}{suffix}"

    def _truncate(self) -> None:
        with self.a.open("r+b") as file:
            file.truncate(0)
        self.here, self.half = [], b""

    def _end_half(self) -> None:
        if self.half:
            self.append()


def live(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        History(pathlib.Path(directory)).run(
            ["half_line" if step == "half" else step for step in steps]
        )


@settings(max_examples=150)
@given(st.lists(st.sampled_from(SAFE), max_size=20))
def test_rotation_in_any_order_loses_and_repeats_nothing(steps: list[str]) -> None:
    live(["append", "turn", *steps])


@settings(max_examples=150)
@given(st.lists(st.sampled_from(RUDE), max_size=20))
def test_destruction_in_any_order_costs_only_what_was_destroyed(steps: list[str]) -> None:
    live(["append", "turn", *steps])
