"""Printed statements keep both lines of one event id, and one row of a line that came again."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import psycopg
import pytest

from tests.ddl.lakes import Rows, as_row, call, write
from tests.ddl.test_postgres import LAKE
from tests.ddl.test_postgres import load as load_postgres
from tracesidecar.ddl import athena, bigquery, duckdb_file, iceberg, sqlite
from tracesidecar.ddl import duckdb as ddl
from tracesidecar.ddl import postgres as postgres_ddl
from tracesidecar.ddl.distinct import DeriveId
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement
from tracesidecar.dialects import Event, derive_id

DAY = date(2026, 9, 1)
ID = call(1, None, 0, 0).event_id or ""
SUMS = "SELECT count(*), CAST(sum(input_tokens) AS integer) FROM {}model_calls"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def line(text: str, minute: int, input_tokens: int, **given: object) -> tuple[str, Event]:
    """Make a row of one event, of a line with this text, that came in this minute."""
    columns: dict[str, object] = {
        "text": text,
        "line_sha256": digest(text),
        "ingest_time": f"2026-09-02T00:{minute:02}:00.000000Z",
    }
    return "codex", call(1, None, input_tokens, 1, **(columns | given))


OLD = {"processed_by": "0.9.0+00000000"}
GIVEN: Rows = [
    line("first", 1, 10),
    line("second", 2, 200),
    line("second", 3, 200),
    line("first, by old rules", 0, 4000, **OLD),
    line("of an early version", 0, 50_000, processed_by=None),
]
KEPT = [(ID, "first"), (derive_id(ID, digest("second")), "second")]


def open_lake(lake: Lake) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    for statement in ddl.statements(lake):
        database.execute(statement.text)
    return database


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_the_totals_of_a_lake_have_the_tokens_of_both_lines(
    tmp_path: Path, form: LakeFormat
) -> None:
    write(tmp_path, GIVEN, form)
    database = open_lake(Lake(str(tmp_path), formats=(form,)))
    assert database.execute(SUMS.format("")).fetchall() == [(2, 210)]


def test_a_line_in_conflict_counts_when_only_the_other_one_came_again_by_other_rules(
    tmp_path: Path,
) -> None:
    yours = line("second", 2, 200, source_file="/traces/b.jsonl")
    again = line("first, by new rules", 5, 10, processed_by="1.1.0+00000000")
    write(tmp_path, [GIVEN[0], yours, again], "json")
    database = open_lake(Lake(str(tmp_path), formats=("json",)))
    assert database.execute(SUMS.format("")).fetchall() == [(2, 210)]


def test_a_lake_that_is_partly_compacted_has_each_line_once(tmp_path: Path) -> None:
    """Also while the old objects remain: the derived id is the one that `compact` gives."""
    write(tmp_path, GIVEN, "json")
    compacted = line("second", 3, 200, event_id=KEPT[1][0])
    write(tmp_path, [GIVEN[0], compacted], "parquet")
    database = open_lake(Lake(str(tmp_path)))
    assert database.execute(SUMS.format("")).fetchall() == [(2, 210)]


def in_duckdb(statement: Statement, derive: DeriveId) -> str:
    """Return a statement in the words of DuckDB: only the digest has other ones."""
    text = statement.text.replace("`", "")
    for table in "rd":
        text = text.replace(derive(table), ddl.derive_id(table))
    return text


@pytest.mark.parametrize("engine", ["iceberg", "bigquery"])
def test_a_merge_inserts_both_lines_and_a_repeat_of_it_nothing(engine: str) -> None:
    lake = Lake("gs://bucket/agents", database="traces", project="p")
    statements = (iceberg if engine == "iceberg" else bigquery).statements(lake, DAY)
    [merge] = [each for each in statements if each.name == "merge"]
    derive = (athena if engine == "iceberg" else bigquery).derive_id
    text = in_duckdb(merge, derive).replace("p.traces.", "traces.")
    source, target = (
        ("events", "events_iceberg") if engine == "iceberg" else ("events_stage", "events")
    )
    columns = ", ".join(
        f"{c.name} {'DATE' if c.name == 'dt' else duckdb_file.TYPES.names[c.type]}" for c in ROW
    )
    database = duckdb.connect()
    database.execute("CREATE SCHEMA traces")
    for name in (source, target):
        database.execute(f"CREATE TABLE traces.{name} ({columns})")
    marks = ", ".join(f"${c.name}" for c in ROW)

    def arrive(rows: Rows) -> None:
        for dialect, each in rows:
            database.execute(f"INSERT INTO traces.{source} VALUES ({marks})", as_row(dialect, each))
        database.execute(text)

    def read_kept() -> list[tuple[object, ...]]:
        found = database.execute(f"SELECT event_id, text FROM traces.{target} ORDER BY text")
        return found.fetchall()

    arrive(GIVEN)
    assert read_kept() == KEPT
    arrive([])
    assert read_kept() == KEPT
    third = line("third", 0, 1)
    arrive([third])
    assert read_kept() == [*KEPT, (derive_id(ID, digest("third")), "third")], (
        "it came too late for ID"
    )
    arrive([third])
    assert len(read_kept()) == 3


def test_postgres_loads_both_lines_once(postgres: str, tmp_path: Path) -> None:
    objects = write(tmp_path, GIVEN[:3], "json")
    statements = {statement.name: statement for statement in postgres_ddl.statements(LAKE)}
    with psycopg.connect(postgres) as database:
        for statement in statements.values():
            if statement.use == "define":
                database.execute(statement.text.encode())
        database.execute("TRUNCATE traces_test.events")
        for _ in range(2):
            for name, content in objects.items():
                load_postgres(database, name, content)
                dt, dialect = (part.partition("=")[2] for part in name.split("/")[1:3])
                database.execute(
                    statements["insert_conflicts"]
                    .text.replace("YYYY-MM-DD", dt)
                    .replace("DIALECT'", f"{dialect}'")
                    .encode()
                )
        found = database.execute("SELECT event_id, text FROM traces_test.events ORDER BY text")
        assert found.fetchall() == KEPT
        assert database.execute(SUMS.format("traces_test.").encode()).fetchall() == [(2, 210)]
        database.execute("TRUNCATE traces_test.events")


def test_sqlite_takes_both_lines_once() -> None:
    *defined, insert, insert_conflict = sqlite.statements()
    with closing(sqlite3.connect(":memory:")) as database:
        for statement in defined:
            database.execute(statement.text)
        for dialect, each in [*GIVEN, *GIVEN]:
            row = as_row(dialect, each)
            derived = derive_id(each.event_id or "", each.line_sha256 or "")
            database.execute(insert.text, row)
            database.execute(insert_conflict.text, row | {"derived_id": derived})
        assert (
            database.execute("SELECT event_id, text FROM events ORDER BY text").fetchall() == KEPT
        )
        assert database.execute(SUMS.format("")).fetchall() == [(2, 210)]
