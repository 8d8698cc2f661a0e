"""A journal that an earlier version wrote is brought up to date, all of it or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from tracesidecar.errors import StateError
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.plan import Plan, PlannedObject, decode_plan
from tracesidecar.model import Checkpoint, Range

FIRST = (Path(__file__).parent / "schema-1.sql").read_text("utf-8")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A state directory as version 1 left it."""
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.executescript(f"PRAGMA journal_mode=WAL; {FIRST};")
        db.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [("schema", b"1"), ("key", b"k" * 32), ("installation", b"i")],
        )
        db.execute("INSERT INTO sink (name, destination) VALUES ('lake', 'directory:/lake')")
        db.execute("INSERT INTO offset VALUES ('lake', 1, 10, x'74')")
        db.execute(
            "INSERT INTO quarantine VALUES (7, 1, '', 4, 8, 'agent', x'2f61', 0, 'not_json', x'6b', 5.0)"
        )
    db.close()
    return tmp_path


def test_a_journal_of_the_first_schema_is_upgraded_with_all_that_is_in_it(first: Path) -> None:
    journal = Journal.open(str(first))
    [entry] = journal.quarantine()
    assert (
        entry.id,
        entry.line.start,
        entry.line.path,
        entry.line.sealed,
        entry.is_gone,
        entry.at,
    ) == (7, 4, "/a", "", False, 5.0)
    assert journal.offsets("lake") == {1: Checkpoint(10, b"t")}
    journal.ask_redrive({7: ["lake"]})
    journal.commit(Commit("lake", None, {}, (), redriven=(7,)), lambda _point: None)
    assert journal.quarantine() == []
    journal.close()
    Journal.open_to_read(str(first)).close()


def test_an_upgrade_that_fails_in_the_middle_leaves_the_journal_as_it_was(first: Path) -> None:
    with sqlite3.connect(first / "journal.sqlite") as db:
        db.execute("CREATE TABLE redrive (obstacle)")
    db.close()
    with pytest.raises(StateError, match="cannot be used"):
        Journal.open(str(first))
    with sqlite3.connect(first / "journal.sqlite") as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (b"1",)
        assert db.execute("SELECT id, start FROM quarantine").fetchall() == [(7, 4)]
        assert (
            db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'former%'").fetchall() == []
        )


def test_a_reader_does_not_upgrade_and_says_what_does(first: Path) -> None:
    with pytest.raises(StateError, match="the next run or ship --once brings it up to date"):
        Journal.open_to_read(str(first))


def test_an_upgraded_journal_has_the_tables_of_a_new_one(first: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for folder in (first, new):
        Journal.open(str(folder)).close()
    shapes = []
    for folder in (first, new):
        with sqlite3.connect(folder / "journal.sqlite") as db:
            shapes.append(
                {
                    name: db.execute(f"PRAGMA table_xinfo({name})").fetchall()
                    for (name,) in db.execute(
                        "SELECT name FROM sqlite_master WHERE type = 'table'"
                    ).fetchall()
                }
            )
    assert shapes[0] == shapes[1]


def test_a_plan_of_an_earlier_version_is_read() -> None:
    plan = Plan(
        "b1",
        "lake",
        100,
        "host",
        "f",
        3,
        (Range(1, 0, 10, b"r", b"t", 3),),
        (PlannedObject("raw/x", (b"s",)),),
    )
    body = msgspec.msgpack.decode(msgspec.msgpack.encode(plan))
    del body["redriven"]
    assert decode_plan(msgspec.msgpack.encode(body)) == plan
