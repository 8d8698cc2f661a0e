"""One folder that a damage is done to, again and again, and what must be true after each."""

from __future__ import annotations

import gc
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.journal.damages import Damage
from tests.warm import warm
from tracesidecar.cli import main
from tracesidecar.journal.journal import Journal
from tracesidecar.journal.losses import LostBytes
from tracesidecar.journal.plan import Plan, PlannedObject
from tracesidecar.model import Range

SHIP = ("ship", "--once")
READING = (
    ("status", "--json"),
    ("explain", "{file}"),
    ("quarantine", "list"),
    ("verify", "lake"),
)
NEVER_SHOWN = ("Traceback", "which is a bug")


class Scene:
    """One folder that is as it was before each damage."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.sidecar = sidecar = Sidecar(folder)
        sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "1s"\n')
        for number in range(40):
            append(sidecar.traces / f"{number}.jsonl", number_lines(1000 + number, 2))
        self.growing = sidecar.traces / "a.jsonl"
        append(self.growing, [*number_lines(0, 50), *[b"not JSON"] * 30])
        assert self.call("ship", "--once")[0] == 0
        self.size = self.growing.stat().st_size
        self.saved = folder / "saved"
        self.saved.mkdir()
        writer = Journal.open(str(sidecar.state))
        _write_rows(writer)
        # as after a crash: what was written last is in the WAL
        shutil.copytree(
            sidecar.state, self.saved / "state", ignore=shutil.ignore_patterns("*.sock")
        )
        writer.close()
        shutil.copytree(sidecar.lake, self.saved / "lake")

    def restore(self) -> None:
        """Bring back state and lake, and append lines that are still to be delivered."""
        sidecar = self.sidecar
        for name in ("state", "lake"):
            shutil.rmtree(sidecar.folder / name)
            shutil.copytree(self.saved / name, sidecar.folder / name)
        os.truncate(self.growing, self.size)
        append(self.growing, number_lines(50, 25))

    def call(self, *words: str) -> tuple[int, str]:
        """Run a command in this process; return its exit code, and all that it showed."""
        shown = io.StringIO()
        with redirect_stderr(shown), redirect_stdout(_Text(shown)):
            code = main(["--config", str(self.sidecar.config), *words])
        gc.unfreeze()  # a command keeps what it made for as long as its process lives
        return code, shown.getvalue()

    def survives(self, damage: Damage, name: str) -> None:
        """Do a damage, run every command, and look for all lines in the lake."""
        self.restore()
        damage(self.sidecar.state, Random(f"{self.seed} {name}"))
        for command in READING:
            self.run_cleanly(*command)
        code = self.ship()
        for command in READING:
            self.run_cleanly(*command)
        if code == 78:
            # what the sentence says: move the journal away, and start with an empty directory
            shutil.rmtree(self.sidecar.state)
            warm(self.sidecar.state)
            assert self.ship() == 0
        assert code in (0, 78)
        missing = Counter(self.lines()) - Counter(self.sidecar.lines())
        assert not missing, f"{sum(missing.values())} lines were skipped"

    def not_survived(self, damages: Iterable[tuple[str, Damage]]) -> list[str]:
        """Go through damages; return a sentence for each that breaks a promise."""
        failures = []
        for name, damage in damages:
            try:
                self.survives(damage, name)
            except AssertionError as error:
                failures.append(f"{name}: {str(error)[:600]}")
        return failures

    def ship(self) -> int:
        """Ship until nothing is left behind, or that is not possible."""
        for _ in range(10):
            if (code := self.run_cleanly(*SHIP)) != 75:
                return code
        return 75

    def lines(self) -> list[bytes]:
        """All valid lines of all files."""
        return [*number_lines(0, 75), *(n for k in range(40) for n in number_lines(1000 + k, 2))]

    def run_cleanly(self, *words: str) -> int:
        """Run a command; what it shows is never a traceback, and 78 names the journal."""
        code, shown = self.call(*(word.format(file=self.growing) for word in words))
        assert code in (0, 64, 65, 75, 78), (words, code, shown)
        assert not any(never in shown for never in NEVER_SHOWN), (words, shown)
        if code == 78:
            assert "journal" in shown, (words, shown)
            assert str(self.sidecar.state) in shown, (words, shown)
        return code


class _Text(io.TextIOWrapper):
    """A standard output, with the binary buffer below it, that shows what is written."""

    def __init__(self, shown: io.StringIO) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogateescape")
        self._shown = shown

    def write(self, text: str) -> int:
        return self._shown.write(text)


def _write_rows(writer: Journal) -> None:
    """Write a row into each table that a plain run leaves empty."""
    entry = writer.quarantine.load()[0]
    segment = entry.line.segment
    writer.redrive_requests.add({entry.id: ["lake", "other"]})
    writer.losses.record([LostBytes(segment, "agent", "/gone.jsonl", 0, 7, "deleted")])
    planned = Range(segment, 0, 9, b"d" * 16, b"t" * 16, 1)
    objects = (PlannedObject("raw/v1/dt=2026-01-01/x.jsonl.gz", (b"s" * 32,)),)
    writer.plans.save(Plan("p", "lake", 1, "host", "f", 1, (planned,), objects))
