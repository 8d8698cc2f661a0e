"""An event is known by where its line stands and by what it is: nothing that an agent writes makes
one of two, or two of one.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, body, number_lines
from tests.daemon.test_crash import kill_at
from tests.daemon.test_recover import lose_state
from tests.dialects.golden import clean_chunk
from tests.servers.processes import wait_until
from tracesidecar import __version__
from tracesidecar.batch.manifest import ManifestRange, decode_manifest
from tracesidecar.daemon.processing import describe_processing
from tracesidecar.dialects.interpreter import Interpreter
from tracesidecar.tail import SourceOptions

Row = dict[str, object]


def rows(sidecar: Sidecar) -> list[Row]:
    """Return every row of the lake."""
    return [msgspec.json.decode(line, type=Row) for line in sidecar.lines()]


DATABASE = '[[sink]]\nname = "db"\ntype = "sql"\nurl = "sqlite:///{folder}/events.db"\n'


def both_stores(sidecar: Sidecar) -> str:
    """Return the sinks of a lake of events and a database."""
    lake = LAKE.format(lake=sidecar.lake) + 'format = "event"\n'
    return lake + DATABASE.format(folder=sidecar.folder)


def count_stored(sidecar: Sidecar) -> int:
    """Return how many rows the database has."""
    with sqlite3.connect(sidecar.folder / "events.db") as db:
        [(count,)] = db.execute("SELECT count(*) FROM events")
    return int(count)


def compact(sidecar: Sidecar) -> int:
    """Compact the lake; return how many rows it has then."""
    done = sidecar.call("compact", "lake", "--before", "2026-10-01", "--json")
    assert done.returncode == 0, done.stderr
    files = sidecar.lake.glob("parquet/v1/dt=*/dialect=*/*.parquet")
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


def ship(sidecar: Sidecar) -> None:
    """Ship all there is."""
    done = sidecar.ship()
    assert done.returncode == 0, done.stderr


def ids(sidecar: Sidecar) -> list[str]:
    """Return the event ids of the lake, sorted."""
    return sorted(str(row["event_id"]) for row in rows(sidecar))


def test_a_row_says_by_which_program_and_rules_it_was_made_the_same_for_all_sinks(
    sidecar: Sidecar,
) -> None:
    sinks = "".join(
        f'[[sink]]\nname = "{name}"\ntype = "directory"\npath = "{sidecar.folder / name}"\n'
        f'format = "event"\n{more}'
        for name, more in (("lake", ""), ("narrow", 'content = "metadata"\n'))
    )
    append(sidecar.traces / "a.jsonl", number_lines(0, 2))
    sidecar.configure(sinks)
    ship(sidecar)
    made = {row["processed_by"] for row in rows(sidecar)}
    sidecar.lake = sidecar.folder / "narrow"
    assert {row["processed_by"] for row in rows(sidecar)} == made
    [processed_by] = made
    assert str(processed_by).startswith(f"{__version__}+")


def test_other_rules_or_another_dialect_are_another_processing() -> None:
    source = SourceOptions(name="agent", include=("/t/*.jsonl",))
    made = describe_processing(source, "rules")
    # whatever else a host has: the root, the labels, other sources
    elsewhere = msgspec.structs.replace(source, include=("/u/*.jsonl",), labels={"a": "b"})
    assert describe_processing(elsewhere, "rules") == made
    repaired = msgspec.structs.replace(source, repair=True)
    mapped = msgspec.structs.replace(source, dialect={"text": "a"})
    others = [
        describe_processing(source, "other rules"),
        describe_processing(repaired, "rules"),
        describe_processing(mapped, "rules"),
    ]
    assert len({made, *others}) == 4


TIME = "2026-09-01T10:00:00Z"
"""Of a day that is over: only these are compacted."""
LINES = [json.dumps({"n": n, "text": "the same", "timestamp": TIME}).encode() for n in (1, 2)]
"""What an agent writes again and again."""
MESSAGES = [
    {"role": "user", "content": "Which pears are ripe?"},
    {"role": "assistant", "content": "The yellow ones."},
    {"role": "user", "content": "And the green ones?"},
    {"role": "assistant", "content": "In a week."},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "You are welcome."},
]


def test_two_folders_with_files_of_one_name_are_two_conversations(sidecar: Sidecar) -> None:
    for folder in ("morning", "evening"):
        (sidecar.traces / folder).mkdir()
        append(
            sidecar.traces / folder / "messages.jsonl",
            [json.dumps({**message, "timestamp": TIME}).encode() for message in MESSAGES],
        )
    append(sidecar.traces / "messages.jsonl", LINES)
    sidecar.configure(both_stores(sidecar))
    ship(sidecar)
    found = Counter(str(row["conversation_id"]) for row in rows(sidecar))
    assert found.pop("messages") == 2  # in the root itself
    assert sorted(found.values()) == [6, 6]
    assert all(re.fullmatch(r"messages-[0-9a-f]{12}", name) for name in found)
    assert count_stored(sidecar) == 14
    assert compact(sidecar) == 14


@pytest.mark.parametrize(
    "roots", ["two roots of a source", pytest.param("two sources", marks=pytest.mark.long)]
)
def test_files_of_one_name_below_two_roots_are_two_conversations_or_sources(
    sidecar: Sidecar, roots: str
) -> None:
    for folder in ("left", "right"):
        (sidecar.traces / folder).mkdir()
        append(sidecar.traces / folder / "messages.jsonl", number_lines(0, 3))
    sinks = both_stores(sidecar)
    sidecar.configure(sinks)
    text = sidecar.config.read_text()
    left, right = (f'"{sidecar.traces}/{folder}/*.jsonl"' for folder in ("left", "right"))
    other = f'[[source]]\nname = "other"\ninclude = [{right}]\ncopy_grace = "500ms"\n'
    whole = f'include = ["{sidecar.traces}/**/*.jsonl"]\n'
    if roots == "two sources":
        text = text.replace(whole, f"include = [{left}]\n").replace(sinks, other + sinks)
    else:
        text = text.replace(whole, f"include = [{left}, {right}]\n")
    sidecar.config.write_text(text)
    ship(sidecar)
    assert len({row["event_id"] for row in rows(sidecar)}) == 6
    assert count_stored(sidecar) == 6
    conversations = {row["conversation_id"] for row in rows(sidecar)}
    assert len(conversations) == (1 if roots == "two sources" else 2)


UNIQUE = "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3"
ALIKE = (
    ("alice@acme.com/messages.jsonl", "bob@acme.com/messages.jsonl"),
    ("carol@acme.com.jsonl", "dan@acme.com.jsonl"),
    (f"a/{UNIQUE}.jsonl", f"b/{UNIQUE}.jsonl"),
)
"""Names of files that are redacted alike, or equal."""


def test_files_whose_names_are_equal_when_redacted_keep_all_their_lines_and_conversations(
    sidecar: Sidecar,
) -> None:
    lines = [
        json.dumps({**message, "uuid": f"m{number}", "timestamp": TIME}).encode()
        for number, message in enumerate(MESSAGES)
    ]
    for name in (name for pair in ALIKE for name in pair):
        (sidecar.traces / name).parent.mkdir(exist_ok=True)
        append(sidecar.traces / name, lines)
    append(sidecar.traces / "numbered.jsonl", lines)
    append(sidecar.traces / "dated.jsonl", lines)
    sidecar.configure(both_stores(sidecar), more="[redaction]\npii = true\n")
    ship(sidecar)
    found = Counter(str(row["conversation_id"]) for row in rows(sidecar))
    assert sorted(found.values()) == [6] * 8
    before = ids(sidecar)
    assert len(set(before)) == 48
    assert count_stored(sidecar) == 48
    # read again from the beginning, after rotations
    lose_state(sidecar)
    shutil.rmtree(sidecar.lake)
    for name, now in (
        ("numbered.jsonl", "numbered.1.jsonl"),
        ("dated.jsonl", "dated-20261121.jsonl"),
        (ALIKE[0][0], f"{ALIKE[0][0]}.1"),
        (ALIKE[1][0], f"{ALIKE[1][0]}.1"),
    ):
        (sidecar.traces / name).rename(sidecar.traces / now)
    ship(sidecar)
    assert ids(sidecar) == before
    assert count_stored(sidecar) == 48
    assert compact(sidecar) == 48


@pytest.mark.parametrize("compressed", [False, pytest.param(True, marks=pytest.mark.long)])
def test_three_rotated_files_of_equal_lines_are_six_rows(
    sidecar: Sidecar, compressed: bool
) -> None:
    names = ("x.jsonl.2", "x.jsonl.1", "x.jsonl")
    for name in names:
        path = sidecar.traces / (f"{name}.gz" if compressed and name != "x.jsonl" else name)
        path.write_bytes(gzip.compress(body(LINES)) if path.suffix == ".gz" else body(LINES))
    sidecar.configure(both_stores(sidecar))
    ship(sidecar)
    assert len(ids(sidecar)) == 6
    assert count_stored(sidecar) == 6
    assert {(row["source_file"], row["generation"]) for row in rows(sidecar)} == {
        (str(sidecar.traces / "x.jsonl"), generation) for generation in range(3)
    }
    # the oldest is the first: the store says which file each is
    paths = {each.source_generation: each.path for each in ranges(sidecar)}
    assert [Path(paths[number]).name.removesuffix(".gz") for number in range(3)] == list(names)
    assert compact(sidecar) == 6


def ranges(sidecar: Sidecar) -> list[ManifestRange]:
    """Return the ranges of all manifests of the lake."""
    return [
        each
        for path in sorted(sidecar.lake.glob("_manifest/v1/dt=*/*.json"))
        for each in decode_manifest(path.read_bytes()).ranges
    ]


def count_known_files(sidecar: Sidecar) -> int:
    """Return how many files the journal knows."""
    with sqlite3.connect(f"file:{sidecar.state / 'journal.sqlite'}?mode=ro", uri=True) as db:
        [(count,)] = db.execute("SELECT count(*) FROM segment")
    return int(count)


@pytest.mark.long
def test_a_file_written_again_after_its_name_was_forgotten_is_another_generation(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(both_stores(sidecar))
    path = sidecar.traces / "x.jsonl"
    for number in (1, 2):
        sidecar.start()
        path.write_bytes(body(LINES))
        sidecar.arrives(2 * number)
        path.unlink()
        wait_until(lambda: count_known_files(sidecar) == 0)
        assert sidecar.stop() == 0
    assert count_stored(sidecar) == 4
    assert Counter(row["generation"] for row in rows(sidecar)) == {0: 2, 1: 2}


@pytest.mark.long
def test_a_file_rewritten_in_place_with_equal_lines_is_another_generation(
    sidecar: Sidecar,
) -> None:
    sidecar.configure(both_stores(sidecar))
    path = sidecar.traces / "x.jsonl"
    other = number_lines(7, 1)
    sidecar.start()
    for count, lines in ((2, LINES), (3, other), (5, LINES), (6, other)):
        path.write_bytes(body(lines))
        sidecar.arrives(count)
        wait_until(lambda: count_known_files(sidecar) == 1)
    # shortened, and its last line written again
    shortened = sidecar.traces / "y.jsonl"
    shortened.write_bytes(body(LINES))
    sidecar.arrives(8)
    rewritten = sum(each["event"] == "collect.rewritten" for each in sidecar.events())
    os.truncate(shortened, len(body(LINES[:1])))
    sidecar.wait_for_event("collect.rewritten", rewritten + 1)
    append(shortened, LINES[1:])
    wait_until(lambda: count_stored(sidecar) == 9)
    sidecar.arrives(9)  # what stayed of it has arrived, though its batch was under way
    assert sidecar.stop() == 0
    assert count_stored(sidecar) == 9
    assert Counter(row["generation"] for row in rows(sidecar)) == {0: 5, 1: 4}


def test_what_is_read_again_after_the_state_was_lost_has_the_ids_that_it_had(
    sidecar: Sidecar,
) -> None:
    (sidecar.traces / "deep").mkdir()
    for number, name in enumerate(("same", "rotated", "compressed", "both")):
        append(
            sidecar.traces / "deep" / f"{name}.jsonl", [*LINES, *LINES, *number_lines(number, 1)]
        )
    sidecar.configure(both_stores(sidecar))
    ship(sidecar)
    before = ids(sidecar)
    assert len(set(before)) == 20
    lose_state(sidecar)
    shutil.rmtree(sidecar.lake)
    sidecar.traces = sidecar.traces.rename(sidecar.folder / "elsewhere")
    sidecar.configure(both_stores(sidecar))
    for name, now in (
        ("rotated", "rotated.jsonl.1"),
        ("compressed", "compressed.jsonl.gz"),
        ("both", "both.jsonl.3.gz"),
    ):
        path = sidecar.traces / "deep" / f"{name}.jsonl"
        content = path.read_bytes()
        path.unlink()
        path.with_name(now).write_bytes(gzip.compress(content) if ".gz" in now else content)
    ship(sidecar)
    assert ids(sidecar) == before
    assert count_stored(sidecar) == 20


@pytest.mark.long
def test_a_sink_that_is_added_later_has_the_same_ids(sidecar: Sidecar) -> None:
    for name in ("x.jsonl.2", "x.jsonl.1", "x.jsonl"):
        (sidecar.traces / name).write_bytes(body(LINES))
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\n')
    ship(sidecar)
    before = {(row["generation"], row["source_offset"]): row["event_id"] for row in rows(sidecar)}
    assert len(set(before.values())) == 6
    sidecar.configure(both_stores(sidecar))
    ship(sidecar)
    with sqlite3.connect(sidecar.folder / "events.db") as db:
        found = db.execute("SELECT generation, source_offset, event_id FROM events").fetchall()
    assert {(generation, offset): event for generation, offset, event in found} == before


def test_what_version_1_had_planned_comes_once_and_its_file_goes_on(sidecar: Sidecar) -> None:
    sidecar.configure(DATABASE.format(folder=sidecar.folder))
    (sidecar.traces / "deep").mkdir()
    path = sidecar.traces / "deep" / "x.jsonl"
    path.write_bytes(body(LINES))
    kill_at(sidecar, "sent")
    become_version_1(sidecar, path)
    before = database_rows(sidecar)
    assert [conversation for _, conversation, _ in before] == ["x", "x"]
    ship(sidecar)
    assert database_rows(sidecar) == before
    append(path, LINES)
    ship(sidecar)
    found = database_rows(sidecar)
    assert found[:2] == before
    assert [(conversation, generation) for _, conversation, generation in found[2:]] == [
        ("x", 0),
        ("x", 0),
    ]
    # and what begins alike from now on is another
    path.rename(path.with_name("x.jsonl.1"))
    path.write_bytes(body(LINES))
    ship(sidecar)
    assert len({event_id for event_id, _, _ in database_rows(sidecar)}) == 6


def become_version_1(sidecar: Sidecar, path: Path) -> None:
    """Leave journal and database as the program did that made ids of version 1."""
    made, _ = Interpreter()(str(path), clean_chunk(path.read_bytes()), None, None)
    old = {each.event.source_offset: each.event.event_id for each in made}
    with sqlite3.connect(sidecar.folder / "events.db") as db:
        for offset, event_id in old.items():
            db.execute(
                "UPDATE events SET event_id = ?, conversation_id = 'x', schema_version = 1, "
                "generation = NULL, processed_by = NULL WHERE source_offset = ?",
                (event_id, offset),
            )
    with sqlite3.connect(sidecar.state / "journal.sqlite") as journal:
        for key, plan in journal.execute("SELECT id, body FROM plan").fetchall():
            members = msgspec.msgpack.decode(plan)
            del members["schema"]
            members["records"]["ids"] = bytes.fromhex("".join(map(str, old.values())))
            journal.execute(
                "UPDATE plan SET body = ? WHERE id = ?", (msgspec.msgpack.encode(members), key)
            )
        journal.execute("DROP TABLE file_identity")
        journal.execute("DROP TABLE file_name")
        journal.execute("DROP TABLE sink_source")
        journal.execute("DROP TABLE former_file")
        journal.execute("UPDATE meta SET value = CAST('9' AS BLOB) WHERE key = 'schema'")


def database_rows(sidecar: Sidecar) -> list[tuple[str, str, int | None]]:
    """Return id, conversation and generation of every row, in the order in which they came."""
    with sqlite3.connect(sidecar.folder / "events.db") as db:
        return db.execute(
            "SELECT event_id, conversation_id, generation FROM events ORDER BY rowid"
        ).fetchall()


@pytest.mark.long
def test_numbers_outlive_a_kill_and_a_recovery(sidecar: Sidecar) -> None:
    sidecar.configure(LAKE.format(lake=sidecar.lake) + 'format = "event"\n')
    names = ("x.jsonl.2", "x.jsonl.1", "x.jsonl")
    for name in names:
        (sidecar.traces / name).write_bytes(body(LINES))
    kill_at(sidecar, "planned")
    ship(sidecar)
    before = ids(sidecar)
    assert len(set(before)) == 6
    lose_state(sidecar)
    assert sidecar.call("recover", "lake").returncode == 0
    for name in names:
        append(sidecar.traces / name, number_lines(0, 1))
    ship(sidecar)
    last = [row for row in rows(sidecar) if row["source_line"] == 3]
    assert sorted(int(str(row["generation"])) for row in last) == [0, 1, 2]
    assert len(set(ids(sidecar))) == 9
    # what begins alike after it is the next
    for number in (2, 1):
        (sidecar.traces / f"x.jsonl.{number}").rename(sidecar.traces / f"x.jsonl.{number + 1}")
    (sidecar.traces / "x.jsonl").rename(sidecar.traces / "x.jsonl.1")
    (sidecar.traces / "x.jsonl").write_bytes(body(LINES))
    ship(sidecar)
    assert {row["generation"] for row in rows(sidecar)} == {0, 1, 2, 3}
