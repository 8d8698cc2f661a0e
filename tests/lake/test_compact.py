"""A compacted lake has the same events in few files, can be verified at every moment, and is
finished by the next run after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.ddl.lakes import Rows, call, event, rows
from tests.lake.shipped import Shipped, kinds
from tracesidecar.cli import main
from tracesidecar.ddl import duckdb as ddl
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.errors import StateLocked
from tracesidecar.journal import hold_lock
from tracesidecar.lake.compact import Compacted, Compactor
from tracesidecar.lake.rewrite import RewriteLimits
from tracesidecar.lake.verify import verify
from tracesidecar.model import Compression
from tracesidecar.sinks.directory.objects import DirectoryObjects
from tracesidecar.sinks.directory.sink import Options
from tracesidecar.sinks.sink import StoredObjects

LIMITS = RewriteLimits(256 << 20, 64 << 20)
BEFORE = "2026-09-02"


class Interrupted(Exception):
    """The process ends here."""


class Failing:
    """A store whose process dies before its n-th change."""

    def __init__(self, store: StoredObjects, changes: int) -> None:
        self._store = store
        self._changes = changes

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        return self._store.list(prefix)

    def read(self, name: str) -> Iterator[bytes]:
        return self._store.read(name)

    def put(self, name: str, source: str) -> None:
        self._count()
        self._store.put(name, source)

    def remove(self, name: str) -> None:
        self._count()
        self._store.remove(name)

    def close(self) -> None:
        self._store.close()

    def _count(self) -> None:
        if self._changes == 0:
            raise Interrupted
        self._changes -= 1


def store(root: Path) -> DirectoryObjects:
    return DirectoryObjects(Options(name="lake", type="directory", path=str(root)))


def compact(
    root: Path,
    *,
    changes: int | None = None,
    before: str = BEFORE,
    under_way: frozenset[str] = frozenset(),
) -> list[Compacted]:
    scratch = root.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    opened: StoredObjects = store(root) if changes is None else Failing(store(root), changes)
    return list(Compactor(opened, str(scratch), LIMITS).run(before, under_way))


def small_batches(root: Path, given: Rows | None = None) -> Shipped:
    """Ship each event in a batch of its own, one of them twice."""
    shipped = Shipped(root)
    for each in given or [*rows(), rows()[1]]:
        shipped.batch([each])
    return shipped


def open_lake(root: Path) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    folders: dict[LakeFormat, str] = {"json": "v1", "parquet": "parquet/v1"}
    forms = tuple(form for form, folder in folders.items() if any((root / folder).rglob("*.*")))
    for statement in ddl.statements(Lake(str(root), formats=forms)):
        database.execute(statement.text)
    return database


def events(root: Path) -> list[tuple[object, ...]]:
    return open_lake(root).execute("SELECT DISTINCT * FROM events ORDER BY event_id").fetchall()


def totals(root: Path) -> set[tuple[object, ...]]:
    return set(
        open_lake(root)
        .execute(
            "SELECT dialect, count(*), sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT FROM "
            "model_calls GROUP BY dialect"
        )
        .fetchall()
    )


def test_days_that_are_over_become_one_file_a_dialect_with_each_event_once(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    small_batches(root)
    before = events(root)
    done = compact(root)
    assert [
        (each.partition.dialect, len(each.before), len(each.after), each.duplicates, each.obstacle)
        for each in done
    ] == [
        ("claude_code", 8, 1, 1, ""),
        ("codex", 2, 1, 0, ""),
        ("copilot", 1, 1, 0, ""),
        ("generic", 1, 1, 0, ""),
        ("otlp", 1, 1, 0, ""),
    ]
    assert events(root) == before
    assert [path.parent.parent.name for path in (root / "v1").rglob("*.jsonl.gz")] == [
        "dt=2026-09-02"
    ]
    found = verify(store(root))
    assert (found.problems, found.notes, found.compactions, found.duplicates, found.rows) == (
        [],
        [],
        5,
        1,
        len(rows()),
    )
    assert compact(root) == []


def test_a_file_is_sorted_and_has_the_types_of_a_file_that_was_shipped(tmp_path: Path) -> None:
    shipped = Shipped(tmp_path / "lake", "parquet")
    shipped.batch(
        [("codex", event(number, conversation_id=f"c{number % 3}")) for number in range(9)]
    )
    [name] = shipped.names
    direct = pq.read_schema(shipped.root / name)
    shipped.batch([("codex", event(20, conversation_id="c0"))])
    [done] = compact(shipped.root)
    table = pq.read_table(shipped.root / done.after[0].name, partitioning=None)
    assert {field.name: field.type for field in table.schema} == {
        field.name: field.type for field in direct
    }
    keys = list(
        zip(table["conversation_id"].to_pylist(), table["event_time"].to_pylist(), strict=True)
    )
    assert keys == sorted(keys)
    assert (
        pq.read_metadata(shipped.root / done.after[0].name).row_group(0).column(0).compression
        == "ZSTD"
    )


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_text_of_every_kind_survives(tmp_path: Path, compression: Compression) -> None:
    texts = [
        "NUL \x00 in it",
        "quote ' \" \\ back",
        "line\nbreak \u2028",
        "🙂 ünïcode",
        "",
        "x" * 200_000,
        "[REDACTED:aws-key]",
        "%s {i} $1",
    ]
    root = tmp_path / "it's a lake [1]*"
    shipped = Shipped(root, compression=compression)
    for number, text in enumerate(texts):
        shipped.batch(
            [
                (
                    "codex",
                    event(
                        number,
                        text=text,
                        input_tokens=2**53,
                        cost_usd=0.1,
                        is_subagent=number % 2 == 0,
                    ),
                )
            ]
        )
    [done] = compact(root)
    assert done.obstacle == ""
    table = pq.read_table(root / done.after[0].name, partitioning=None).sort_by("source_line")
    assert table["text"].to_pylist() == texts
    assert (table["input_tokens"].to_pylist()[0], table["cost_usd"].to_pylist()[0]) == (2**53, 0.1)


def test_a_crash_at_any_point_leaves_a_true_store_and_the_next_run_finishes(tmp_path: Path) -> None:
    """Three objects and two become one each, with a record each: nine changes. A run dies before
    each of them.
    """
    given = [rows()[at] for at in (1, 2, 1, 7, 8)]
    for changes in range(9):
        root = tmp_path / str(changes) / "lake"
        small_batches(root, given)
        before = events(root), totals(root)
        with pytest.raises(Interrupted):
            compact(root, changes=changes)
        assert verify(store(root)).problems == [], changes
        assert (events(root), totals(root)) == before
        compact(root)
        found = verify(store(root))
        assert (found.problems, found.notes, found.rows) == ([], [], 4), changes
        assert (events(root), totals(root)) == before
        assert not list((root.parent / "scratch").iterdir())
    small_batches(tmp_path / "whole" / "lake", given)
    compact(tmp_path / "whole" / "lake", changes=9)


def test_what_arrives_late_is_taken_in_by_the_next_run(tmp_path: Path) -> None:
    shipped = Shipped(tmp_path / "lake")
    shipped.batch(rows())
    compact(shipped.root)
    shipped.batch([("codex", call(80, "late", 1, 1)), rows()[7]])
    [done] = compact(shipped.root)
    assert (done.partition.dialect, len(done.before), len(done.after), done.duplicates) == (
        "codex",
        2,
        1,
        1,
    )
    found = verify(shipped_store := store(shipped.root))
    assert (found.problems, found.rows, found.compactions) == ([], len(rows()) + 1, 6)
    assert [name for name, _ in shipped_store.list("parquet/v1/dt=2026-09-01/dialect=codex/")] == [
        done.after[0].name
    ]


def test_of_an_event_that_came_twice_the_last_stays(tmp_path: Path) -> None:
    shipped = Shipped(tmp_path / "lake")
    for ingested, model in (
        ("2026-09-03T00:00:00.000000Z", "second"),
        ("2026-09-02T00:00:00.000000Z", "first"),
    ):
        shipped.batch([("codex", event(1, ingest_time=ingested, model=model))])
    [done] = compact(shipped.root)
    assert pq.read_table(shipped.root / done.after[0].name, partitioning=None)[
        "model"
    ].to_pylist() == ["second"]


def test_objects_under_way_and_without_a_manifest_are_left_alone(tmp_path: Path) -> None:
    shipped = small_batches(tmp_path / "lake")
    open_plan = shipped.batches[1]
    without = shipped.batches[2]
    next((shipped.root / "_manifest").rglob(f"{without.batch}.json")).unlink()
    compact(shipped.root, under_way=frozenset(each.name for each in open_plan.objects))
    for left in (*open_plan.objects, *without.objects):
        assert (shipped.root / left.name).exists()


def test_an_object_that_comes_back_after_it_was_replaced_is_removed_again(tmp_path: Path) -> None:
    """A host that died after sending a manifest and before its commit sends the batch again."""
    shipped = small_batches(tmp_path / "lake")
    name = shipped.batches[0].objects[0].name
    content = (shipped.root / name).read_bytes()
    compact(shipped.root)
    (shipped.root / name).write_bytes(content)
    found = verify(store(shipped.root))
    assert (found.problems, kinds(found.notes)) == ([], ["replaced"])
    compact(shipped.root)
    assert verify(store(shipped.root)).notes == []


def test_what_was_altered_is_not_made_to_look_right(tmp_path: Path) -> None:
    shipped = small_batches(tmp_path / "lake")
    name = shipped.batches[7].objects[0].name
    (shipped.root / name).write_bytes(
        (shipped.root / shipped.batches[8].objects[0].name).read_bytes()
    )
    done = {each.partition.dialect: each.obstacle for each in compact(shipped.root)}
    assert "not what was shipped" in done["codex"]
    assert [dialect for dialect, obstacle in done.items() if obstacle] == ["codex"]
    assert kinds(verify(store(shipped.root)).problems) == ["altered"]


def test_events_of_a_newer_program_are_not_rewritten(tmp_path: Path) -> None:
    shipped = Shipped(tmp_path / "lake")
    for number in range(2):
        shipped.batch([("codex", event(number, schema_version=4))])
    [done] = compact(shipped.root)
    assert "upgrade first" in done.obstacle
    assert len(events(shipped.root)) == 2


def test_a_large_partition_becomes_files_of_the_wanted_size_within_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracesidecar.encode.parquet.ROW_GROUP_ROWS", 2048)
    shipped = Shipped(tmp_path / "lake")
    for number in range(4):
        many: Rows = [
            (
                "codex",
                event(
                    number * 4000 + line,
                    conversation_id=f"c{line % 7}",
                    text=f"{number * line:x}" * 200,
                ),
            )
            for line in range(4000)
        ]
        shipped.batch(many)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    [done] = Compactor(store(shipped.root), str(scratch), RewriteLimits(8 << 20, 512 << 10)).run(
        BEFORE, frozenset()
    )
    assert done.obstacle == ""
    assert len(done.after) > 1
    assert sum(each.rows for each in done.after) == 16_000
    assert verify(store(shipped.root)).problems == []


def test_the_command_rewrites_and_rejects_days_that_are_not_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = small_batches(tmp_path / "lake")
    path = tmp_path / "tracesidecar.toml"
    head = (
        f'state_directory = "{tmp_path}/state"\n[[source]]\nname = "agent"\n'
        f'include = ["{tmp_path}/*.jsonl"]\n'
    )
    path.write_text(
        head
        + (
            '[[sink]]\nname = "lake"\ntype = "directory"\nformat = "event"\n'
            f'path = "{shipped.root}"\n'
        )
    )
    words = ["compact", "lake", "--config", str(path), "--before"]
    assert main([*words, "2999-01-01"]) == 64
    assert "not over" in capsys.readouterr().err
    assert main([*words, BEFORE, "--dry-run", "--json"]) == 0
    assert [
        each["after"]["objects"] for each in json.loads(capsys.readouterr().out)["partitions"]
    ] == [0, 0, 0, 0, 0]
    assert main([*words, BEFORE, "--memory", "256MiB", "--json"]) == 0
    assert [
        each["after"]["objects"] for each in json.loads(capsys.readouterr().out)["partitions"]
    ] == [1, 1, 1, 1, 1]
    assert main([*words, BEFORE]) == 0
    assert "nothing" in capsys.readouterr().out
    assert main(["verify", "lake", "--config", str(path)]) == 0


def test_two_compactions_at_once_are_rejected(tmp_path: Path) -> None:
    with (
        hold_lock(str(tmp_path), "compact.lock"),
        pytest.raises(StateLocked),
        hold_lock(str(tmp_path), "compact.lock"),
    ):
        pass
