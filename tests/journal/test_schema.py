"""A journal that an earlier version wrote is brought up to date, all of it or not at all."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tracesidecar.errors import StateError
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.plan import Plan, PlannedObject, decode_plan
from tracesidecar.model import Checkpoint, Range
from tracesidecar.tail import SegmentRecord, SegmentState, SourceOptions
from tracesidecar.tail.build import build_tailer

FIRST = (Path(__file__).parent / "schema-1.sql").read_text("utf-8")
THIRD = (Path(__file__).parent / "schema-3.sql").read_text("utf-8")
"""The schema as of commit 220f27f."""

THIRD_RECORD = bytes.fromhex(
    "de0011a2696401a6736f75726365a56167656e74a470617468af2f7472616365732f612e6a736f6e6ca6646576696365"
    "01a5696e6f646502aa67656e65726174696f6e00ab636f6d7072657373696f6ea46e6f6e65a473697a650aad70726566"
    "69785f6c656e6774680aad7072656669785f646967657374c41064646464646464646464646464646464ab6d6f646966"
    "6965645f6e7305aa6368616e6765645f6e7306a57374617465a46c697665a46c6f7373c0a66c656e6774680aa869735f"
    "77686f6c65c2a66f726967696eaf2f7472616365732f622e6a736f6e6c"
)
"""A segment's record as the program of commit 220f27f wrote it."""


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
            "INSERT INTO quarantine VALUES (7, 1, '', 4, 8, 'agent', x'2f61', 0, 'not_json', "
            "x'6b', 5.0)"
        )
    db.close()
    return tmp_path


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """A state directory as the program of commit 220f27f left it."""
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.executescript(f"PRAGMA journal_mode=WAL; {THIRD};")
        db.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [("schema", b"3"), ("key", b"k" * 32), ("installation", b"i")],
        )
        db.execute("INSERT INTO segment VALUES (1, ?)", (THIRD_RECORD,))
        db.execute("INSERT INTO sink (name, destination) VALUES ('lake', 'directory:/lake')")
        db.execute("INSERT INTO offset VALUES ('lake', 1, 10, x'74', x'73')")
        db.execute(
            "INSERT INTO quarantine (id, segment, sink, start, end, source, path, generation, "
            "reason, at) "
            "VALUES (7, 1, '', 4, 8, 'agent', x'2f61', 0, 'not_json', 5.0)"
        )
    db.close()
    return tmp_path


def test_a_journal_of_commit_220f27f_keeps_its_segments_and_takes_their_protection(
    third: Path,
) -> None:
    journal = Journal.open(str(third))
    former = SegmentRecord(
        1, "agent", "/traces/a.jsonl", 1, 2, 0, "none", 10, 10, b"d" * 16, 5, 6,
        SegmentState.LIVE, None, 10, False, "/traces/b.jsonl",
    )  # fmt: skip
    assert journal.segments.load() == [former]
    assert former.find_current_protection(is_daemon_running=True) is None
    assert journal.sinks.load_offsets("lake") == {1: Checkpoint(10, b"t", b"s")}
    assert [entry.id for entry in journal.quarantine.load()] == [7]
    protected = replace(former, protection="link", can_link=True)
    journal.segments.save([protected])
    journal.close()
    assert Journal.open_to_read(str(third)).segments.load() == [protected]


def test_the_segments_of_an_earlier_journal_are_found_without_their_records(third: Path) -> None:
    resting = Journal.open(str(third)).segments.resting
    assert [folder.path for folder in resting.list_folders()] == ["/traces"]
    assert resting.find_with_inode(2) == [1]
    assert resting.list_prefix_lengths() == [10]
    assert resting.find_with_prefix([(10, b"d" * 16)]) == [1]
    assert resting.find_with_prefix([(9, b"d" * 16)]) == []
    assert resting.find_of_sources(["agent"]) == [1]


def test_a_damaged_record_is_reported_by_the_upgrade(third: Path) -> None:
    with sqlite3.connect(third / "journal.sqlite") as db:
        db.execute("UPDATE segment SET record = x'ff'")
    db.close()
    with pytest.raises(StateError, match="the record of a segment cannot be read"):
        Journal.open(str(third))


def test_the_tailer_records_protection_in_a_journal_of_commit_220f27f(third: Path) -> None:
    traces = third / "traces"
    traces.mkdir()
    (traces / "new.jsonl").write_bytes(b'{"n": 1}\n')
    journal = Journal.open(str(third))
    source = SourceOptions(name="agent", include=(f"{traces}/*.jsonl",))
    tailer = build_tailer(
        [source],
        journal.segments,
        key=journal.key,
        link_directory=str(third / "held"),
        held_limit=1 << 30,
    )
    tailer.scan(0.0)
    reader = Journal.open_to_read(str(third))
    recorded = {record.path: record.protection for record in reader.segments.load()}
    assert recorded == {"/traces/a.jsonl": "none", f"{traces}/new.jsonl": "link"}
    tailer.close()


def test_a_journal_of_the_first_schema_is_upgraded_with_all_that_is_in_it(first: Path) -> None:
    journal = Journal.open(str(first))
    [entry] = journal.quarantine.load()
    assert (
        entry.id,
        entry.line.start,
        entry.line.path,
        entry.line.sealed,
        entry.is_gone,
        entry.at,
    ) == (7, 4, "/a", "", False, 5.0)
    assert journal.sinks.load_offsets("lake") == {1: Checkpoint(10, b"t")}
    journal.redrive_requests.add({7: ["lake"]})
    journal.commit(Commit("lake", None, {}, (), redriven=(7,)), lambda _point: None)
    assert journal.quarantine.load() == []
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


@pytest.mark.parametrize("version", ["first", "third"])
def test_a_reader_does_not_upgrade_and_says_what_does(
    version: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(StateError, match="the next run or ship --once brings it up to date"):
        Journal.open_to_read(str(request.getfixturevalue(version)))


@pytest.mark.parametrize("version", ["first", "third"])
def test_an_upgraded_journal_has_the_tables_of_a_new_one(
    version: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    former = request.getfixturevalue(version)
    new = tmp_path / "new"
    new.mkdir()
    for folder in (former, new):
        Journal.open(str(folder)).close()
    shapes = []
    for folder in (former, new):
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


def test_the_file_shrinks_once_segments_are_forgotten(third: Path) -> None:
    """Also a file that an earlier version made: it is rewritten at the first start."""
    journal = Journal.open(str(third))
    [record] = journal.segments.load()
    journal.segments.save(replace(record, id=number) for number in range(2, 20_000))
    journal.close()
    path = third / "journal.sqlite"
    before = path.stat().st_size
    journal = Journal.open(str(third))
    for first in range(2, 20_000, 500):
        journal.segments.forget(range(first, first + 500))
    journal.close()
    assert path.stat().st_size < before / 4
    assert journal_is_whole(path)


def test_the_file_shrinks_while_it_is_in_use_too(third: Path) -> None:
    """A commit waits for a MiB of it at most, and not only what is forgotten makes room."""
    journal = Journal.open(str(third))
    [record] = journal.segments.load()
    journal.segments.save(replace(record, id=number) for number in range(2, 20_000))
    journal.segments.forget(range(2, 20_000))
    path = third / "journal.sqlite"
    other = Journal.open_to_read(str(third))  # or the last one to close would bring it up to date
    try:
        before = pages(other)
        for _ in range(100):
            journal.shrink()
        assert pages(other) < before / 4
    finally:
        other.close()
        journal.close()
    assert path.stat().st_size < (3 << 20)
    assert journal_is_whole(path)


def pages(journal: Journal) -> int:
    [(count,)] = journal._database.read(tuple[int], "PRAGMA page_count")
    return count


def journal_is_whole(path: Path) -> bool:
    with sqlite3.connect(path) as db:
        found = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return found == [("ok",)]
