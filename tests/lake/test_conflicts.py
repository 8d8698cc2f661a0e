"""Two lines with one event id are both there after `compact`, whatever was compacted before."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.ddl.lakes import event
from tests.lake.shipped import Shipped
from tests.lake.test_compact import BEFORE, compact, store
from tracesidecar.cli import main
from tracesidecar.ddl.lake_location import LakeFormat
from tracesidecar.dialects import Event
from tracesidecar.lake.compact import Compacted
from tracesidecar.lake.verify import verify

ID = hashlib.sha256(b"event 1").hexdigest()


def line(text: str, minute: int = 0, **given: object) -> Event:
    """Make a row of the event, of a line with this text, that came in this minute."""
    columns: dict[str, object] = {
        "text": text,
        "line_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "ingest_time": f"2026-09-02T00:{minute:02}:00.000000Z",
    }
    return event(1, **(columns | given))


def derive_id(text: str) -> str:
    """Return the id under which a second line is stored, by its definition in the docs."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(f"{ID}\0{digest}".encode()).hexdigest()[:32]


def ship(root: Path, batches: Iterable[Sequence[Event]], form: LakeFormat = "json") -> Shipped:
    """Ship each of these as a batch of its own."""
    shipped = Shipped(root, form)
    for events in batches:
        shipped.batch([("codex", each) for each in events])
    return shipped


def rows(root: Path, done: Compacted) -> dict[str, str]:
    """Return the text of each row by its id, and hold that the store is as its records say."""
    assert done.obstacle == ""
    found = verify(store(root))
    assert (found.problems, found.notes) == ([], [])
    [after] = done.after
    table = pq.read_table(root / after.name, partitioning=None)
    pairs = list(zip(table["event_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    assert len(dict(pairs)) == len(pairs) == found.rows
    return dict(pairs)


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_the_line_that_came_first_keeps_the_id_in_whatever_object_it_is(
    tmp_path: Path, form: LakeFormat
) -> None:
    given = [
        [line("first", 1), line("second", 2)],
        [line("third", 3, source_file="/traces/b.jsonl")],
        [line("fourth", 3, source_file="/traces/c.jsonl"), line("second", 9), line("first", 8)],
    ]
    for number, order in enumerate(itertools.permutations(given)):
        root = tmp_path / str(number) / "lake"
        ship(root, order, form)
        [done] = compact(root)
        assert rows(root, done) == {
            ID: "first",
            derive_id("second"): "second",
            derive_id("third"): "third",
            derive_id("fourth"): "fourth",
        }
        assert (done.duplicates, done.conflicts) == (2, 3)


def test_what_arrives_after_a_compaction_is_compared_with_what_it_made(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    shipped = ship(root, [[line("first", 1)], [line("second", 3)]])
    compact(root)
    for number, (late, conflicts) in enumerate(
        [
            ([line("second", 2), line("second", 4), line("first", 5)], 0),
            ([line("third", 6)], 1),
            ([line("third", 7), line("second", 7)], 0),
        ]
    ):
        shipped.batch([("codex", each) for each in late])
        [done] = compact(root)
        kept = {ID: "first", derive_id("second"): "second"}
        assert rows(root, done) == kept | ({derive_id("third"): "third"} if number else {})
        assert done.conflicts == conflicts


def test_rows_of_other_rules_are_repeats_and_the_newest_rules_stay(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    old, new = {"processed_by": "1.0.0+00000000"}, {"processed_by": "1.1.0+00000000"}
    ship(
        root,
        [
            [line("mine, redacted by new rules", 5, **new), line("yours, by new rules", 6, **new)],
            [line("mine", 1, **old), line("yours", 2, **old), line("mine", 7, **new)],
            [line("of an early version", 3, processed_by=None)],
        ],
    )
    [done] = compact(root)
    assert sorted(rows(root, done).values()) == [
        "mine",
        "mine, redacted by new rules",
        "yours, by new rules",
    ]
    assert done.conflicts == 2


def test_a_line_in_conflict_stays_when_only_the_other_one_came_again_by_other_rules(
    tmp_path: Path,
) -> None:
    """Whether it was compacted in between or not."""
    yours = {"source_file": "/traces/b.jsonl"}
    again = line("first, by new rules", 5, processed_by="1.1.0+00000000")
    for between in (False, True):
        root = tmp_path / str(between) / "lake"
        shipped = ship(root, [[line("first", 1)], [line("second", 2, **yours)]])
        if between:
            compact(root)
        shipped.batch([("codex", again)])
        [done] = compact(root)
        kept = {ID: "first, by new rules", derive_id("second"): "second"}
        assert rows(root, done) == kept
        newer = line("second, by new rules", 6, processed_by="1.1.0+00000000", **yours)
        shipped.batch([("codex", newer)])
        [done] = compact(root)
        assert set(kept.values()) <= set(rows(root, done).values())


@pytest.mark.parametrize("columns", [{"processed_by": None}, {"line_sha256": None}])
def test_rows_that_do_not_say_of_which_line_they_are_are_repeats(
    tmp_path: Path, columns: dict[str, object]
) -> None:
    root = tmp_path / "lake"
    ship(root, [[line("one", 1, **columns)], [line("other", 2, **columns)]])
    [done] = compact(root)
    assert (rows(root, done), done.conflicts) == ({ID: "other"}, 0)


def test_a_derived_id_that_a_third_line_has_leads_to_the_next(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    squatter = line("squatter", 1, event_id=derive_id("second"))
    ship(root, [[line("first", 1)], [line("second", 2), squatter]])
    [done] = compact(root)
    digest = hashlib.sha256(b"second").hexdigest()
    next_id = hashlib.sha256(f"{derive_id('second')}\0{digest}".encode()).hexdigest()[:32]
    assert rows(root, done) == {
        ID: "first",
        derive_id("second"): "squatter",
        next_id: "second",
    }


def test_the_command_and_its_record_say_how_many_there_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "lake"
    ship(root, [[line("first", 1)], [line("second", 2)]])
    path = tmp_path / "tracesidecar.toml"
    path.write_text(
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "agent"\n'
        f'include = ["{tmp_path}/*.jsonl"]\n'
        '[[sink]]\nname = "lake"\ntype = "directory"\nformat = "event"\n'
        f'path = "{root}"\n'
    )
    words = ["compact", "lake", "--config", str(path), "--before", BEFORE, "--json"]
    assert main(words) == 0
    printed = capsys.readouterr()
    [partition] = json.loads(printed.out)["partitions"]
    assert (partition["duplicates"], partition["conflicts"]) == (0, 1)
    assert "1 events have an id that another line has" in printed.err
    assert ID not in printed.err
    [record] = (root / "_manifest" / "compact").rglob("*.json")
    assert json.loads(record.read_bytes())["conflicts"] == 1
