"""A damaged journal is repaired, or named in one sentence with exit 78: never a traceback.

And no line is skipped: what is delivered after a damage, or after the person did what the sentence
says, is everything that is in the files.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.journal.damage_scene import NEVER_SHOWN, Scene
from tests.journal.damages import Damage, all_damages, journal, of_index, overwrite
from tracesidecar.errors import StateError
from tracesidecar.journal.journal import Journal

SEED = 11


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("damage"), SEED)


def choose_damages(state: Path, share: int) -> list[tuple[str, Damage]]:
    """Return every damage, or one in `share` of those of single values."""
    rng = Random(SEED)
    return [
        (name, damage)
        for name, damage in all_damages(state)
        if "." not in name or rng.randrange(share) == 0
    ]


def test_a_damage_ends_in_a_repair_or_in_one_sentence(scene: Scene) -> None:
    damages = Random(SEED).sample(choose_damages(scene.saved / "state", 30), 10)
    assert not scene.not_survived(damages)


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


def test_a_prefix_that_became_text_does_not_hang_the_start(tmp_path: Path) -> None:
    opened = Journal.open(str(tmp_path))
    with opened._database.transaction() as db:
        db.execute("INSERT INTO segment_by_prefix VALUES ('text', 1), (?, 2)", (10 << 50,))
    assert opened.segments.resting.list_prefix_lengths() == [10, 0]
    opened.close()


def test_damage_that_appears_while_running_ends_with_one_sentence(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    other = sqlite3.connect(journal(sidecar.state), isolation_level=None)
    other.execute("DROP TABLE offset")
    other.close()
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    assert sidecar.daemon is not None
    assert sidecar.daemon.wait(120) == 78
    shown = sidecar.log.read_text()
    assert not any(never in shown for never in NEVER_SHOWN)
    assert f"the journal {journal(sidecar.state)} is damaged" in shown


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_symbolic_link_that_leads_nowhere_is_named_with_exit_78(
    sidecar: Sidecar, suffix: str
) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
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
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    sidecar.start()
    sidecar.arrives(10)
    for suffix in ("", "-wal"):
        path = journal(sidecar.state).with_name(f"journal.sqlite{suffix}")
        overwrite(path, 0, bytes(path.stat().st_size))
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
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
    assert set(sidecar.lines()) == set(number_lines(0, 20))
