"""A damaged journal is repaired, or named in one sentence with exit 78: never a traceback.

And no line is skipped: what is delivered after a damage, or after the person did what the sentence
says, is everything that is in the files.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, numbered
from tests.journal.damages import Damage, all_damages, journal, of_index, overwrite
from tests.warm import warm
from tracesidecar.cli import main
from tracesidecar.errors import StateError
from tracesidecar.journal.journal import Journal
from tracesidecar.journal.losses import LostBytes
from tracesidecar.journal.plan import Plan, PlannedObject
from tracesidecar.model import Range

SEED = 11
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

    def __init__(self, folder: Path) -> None:
        self.sidecar = sidecar = Sidecar(folder)
        sidecar.configure(LAKE.format(lake=sidecar.lake), daemon='drain_deadline = "1s"\n')
        for number in range(40):
            append(sidecar.traces / f"{number}.jsonl", numbered(1000 + number, 2))
        self.growing = sidecar.traces / "a.jsonl"
        append(self.growing, [*numbered(0, 50), *[b"not JSON"] * 30])
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
        append(self.growing, numbered(50, 25))

    def call(self, *words: str) -> tuple[int, str]:
        """Run a command in this process; return its exit code, and all that it showed."""
        shown = io.StringIO()
        with redirect_stderr(shown), redirect_stdout(_Text(shown)):
            code = main(["--config", str(self.sidecar.config), *words])
        return code, shown.getvalue()

    def survives(self, damage: Damage, name: str) -> None:
        """Do a damage, run every command, and look for all lines in the lake."""
        self.restore()
        damage(self.sidecar.state, Random(f"{SEED} {name}"))
        for command in READING:
            self.says_it_well(*command)
        code = self.ship()
        for command in READING:
            self.says_it_well(*command)
        if code == 78:
            # what the sentence says: move the journal away, and start with an empty directory
            shutil.rmtree(self.sidecar.state)
            warm(self.sidecar.state)
            assert self.ship() == 0
        assert code in (0, 78)
        missing = Counter(self.lines()) - Counter(self.sidecar.lines())
        assert not missing, f"{sum(missing.values())} lines were skipped"

    def ship(self) -> int:
        """Ship until nothing is left behind, or that is not possible."""
        for _ in range(10):
            if (code := self.says_it_well(*SHIP)) != 75:
                return code
        return 75

    def lines(self) -> list[bytes]:
        """All valid lines of all files."""
        return [*numbered(0, 75), *(n for k in range(40) for n in numbered(1000 + k, 2))]

    def says_it_well(self, *words: str) -> int:
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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("damage"))


def chosen(state: Path, share: int) -> list[tuple[str, Damage]]:
    """Return every damage, or one in `share` of those of single values."""
    rng = Random(SEED)
    return [
        (name, damage)
        for name, damage in all_damages(state)
        if "." not in name or rng.randrange(share) == 0
    ]


def survive_all(scene: Scene, damages: list[tuple[str, Damage]]) -> None:
    """Go through damages, and report all that are not survived."""
    failures = []
    for name, damage in damages:
        try:
            scene.survives(damage, name)
        except AssertionError as error:
            failures.append(f"{name}: {str(error)[:600]}")
    assert not failures, f"{len(failures)} of {len(damages)}\n" + "\n".join(failures)


def test_a_damage_ends_in_a_repair_or_in_one_sentence(scene: Scene) -> None:
    damages = Random(SEED).sample(chosen(scene.saved / "state", 30), 10)
    survive_all(scene, damages)


@pytest.mark.parametrize(
    ("change", "load"),
    [
        ("UPDATE counter SET labels = '[1'", lambda journal: journal.counters.load()),
        ("UPDATE counter SET labels = '3'", lambda journal: journal.counters.load()),
        ("UPDATE counter SET value = -1", lambda journal: journal.counters.load()),
        ("UPDATE counter SET value = 9e999", lambda journal: journal.counters.load()),
        ("UPDATE sink SET lines = -1", lambda journal: journal.sinks.load()),
        ("UPDATE sink SET bytes = -1", lambda journal: journal.sinks.load()),
        ("INSERT INTO meta VALUES ('rewrites', x'ff')", lambda journal: journal.rewrites.load()),
        ("INSERT INTO meta VALUES ('notices', '[1]')", lambda journal: journal.notices.load()),
        (
            "UPDATE meta SET value = 'x' WHERE key = 'sources'",
            lambda journal: journal.sources.load(),
        ),
    ],
)
def test_a_value_that_nobody_wrote_is_a_damage(
    tmp_path: Path, change: str, load: Callable[[Journal], object]
) -> None:
    opened = Journal.open(str(tmp_path))
    opened.sinks.begin("lake", "directory:/x", {})
    opened.counters.save({("scans_total", ("a",)): 1.0})
    opened.sources.save({"a": "a"})
    with opened._database.transaction() as db:
        db.execute(change)
    with pytest.raises(StateError, match="is damaged"):
        load(opened)
    opened.close()


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)  # hundreds of damages, each with ten commands
def test_every_damage_ends_in_a_repair_or_in_one_sentence(scene: Scene) -> None:
    survive_all(scene, list(all_damages(scene.saved / "state")))


def test_a_damaged_index_is_repaired(scene: Scene) -> None:
    scene.restore()
    of_index(scene.sidecar.state, Random(SEED))
    code, shown = scene.call("ship", "--once")
    assert code == 0
    assert "journal.repaired" in shown
    with sqlite3.connect(journal(scene.sidecar.state)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert not Counter(scene.lines()) - Counter(scene.sidecar.lines())


def test_damage_that_appears_while_running_ends_with_one_sentence(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", numbered(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    other = sqlite3.connect(journal(sidecar.state), isolation_level=None)
    other.execute("DROP TABLE offset")
    other.close()
    append(sidecar.traces / "a.jsonl", numbered(10, 10))
    assert sidecar.daemon is not None
    assert sidecar.daemon.wait(120) == 78
    shown = sidecar.log.read_text()
    assert not any(never in shown for never in NEVER_SHOWN)
    assert f"the journal {journal(sidecar.state)} is damaged" in shown


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_symbolic_link_that_leads_nowhere_is_named_with_exit_78(
    sidecar: Sidecar, suffix: str
) -> None:
    append(sidecar.traces / "a.jsonl", numbered(0, 10))
    assert sidecar.ship().returncode == 0
    path = journal(sidecar.state).with_name(f"journal.sqlite{suffix}")
    path.unlink(missing_ok=True)
    path.symlink_to(sidecar.state / "nowhere" / path.name)
    for words in (("ship", "--once"), ("status",)):
        done = sidecar.call(*words)
        assert done.returncode == 78, words
        assert f"{path.name} is a symbolic link to".encode() in done.stderr
        assert not any(never.encode() in done.stderr for never in NEVER_SHOWN)


@pytest.mark.long
def test_a_file_that_is_overwritten_while_running_costs_no_line(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", numbered(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    for suffix in ("", "-wal"):
        path = journal(sidecar.state).with_name(f"journal.sqlite{suffix}")
        overwrite(path, 0, bytes(path.stat().st_size))
    append(sidecar.traces / "a.jsonl", numbered(10, 10))
    sidecar.arrives(20)  # SQLite goes on with the pages that it has in memory, or notices
    assert sidecar.stop() in (0, 75, 78) if not sidecar.has_ended() else True
    shown = sidecar.log.read_text()
    assert not any(never in shown for never in NEVER_SHOWN)
    done = sidecar.ship()
    if done.returncode == 78:
        assert f"the journal {journal(sidecar.state)}".encode() in done.stderr
        assert b'set start = "beginning" for each sink' in done.stderr
        for path in sidecar.state.glob("journal.sqlite*"):
            path.unlink()
        sidecar.configure(LAKE.format(lake=sidecar.lake) + 'start = "beginning"\n')
        assert sidecar.ship().returncode == 0
    assert set(sidecar.lines()) == set(numbered(0, 20))
