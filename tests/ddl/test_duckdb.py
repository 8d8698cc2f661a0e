"""DuckDB reads a lake through the printed statements."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.ddl.lakes import CALLS, SESSIONS, as_row, rows, write
from tracesidecar.ddl import duckdb as ddl
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.dialects import COLUMNS

TIMES = ", ".join(
    f"strftime({c.name}, '%Y-%m-%dT%H:%M:%S.%fZ') AS {c.name}" for c in COLUMNS if c.is_time
)


def open_lake(lake: Lake) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    for statement in ddl.statements(lake):
        database.execute(statement.text)
    return database


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_every_column_of_every_event_comes_back(tmp_path: Path, form: LakeFormat) -> None:
    write(tmp_path, rows(), form)
    found = open_lake(Lake(str(tmp_path), formats=(form,))).execute(
        f"SELECT * REPLACE ({TIMES}) FROM events ORDER BY source_line"
    )
    names = [column[0] for column in found.description or ()]
    assert [dict(zip(names, row, strict=True)) for row in found.fetchall()] == [
        as_row(dialect, event) for dialect, event in rows()
    ]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_totals_are_right_over_repeats_forks_and_session_totals(
    tmp_path: Path, form: LakeFormat
) -> None:
    write(tmp_path, rows(), form)
    database = open_lake(Lake(str(tmp_path), formats=(form,)))
    sums = (
        "SELECT dialect, count(*), sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT FROM "
        "model_calls GROUP BY dialect"
    )
    assert set(database.execute(sums).fetchall()) == CALLS
    assert (
        set(
            database.execute(
                "SELECT dialect, conversation_id, input_tokens, output_tokens FROM session_totals"
            ).fetchall()
        )
        == SESSIONS
    )


def test_a_lake_that_is_partly_compacted_counts_each_call_once(tmp_path: Path) -> None:
    """Also while the old objects remain."""
    write(tmp_path, rows(), "json")
    write(tmp_path, rows()[:6], "parquet")
    database = open_lake(Lake(str(tmp_path)))
    assert (
        set(
            database.execute(
                "SELECT dialect, count(*), sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT "
                "FROM model_calls GROUP BY dialect"
            ).fetchall()
        )
        == CALLS
    )


def test_a_day_and_a_dialect_are_found_by_their_folders_alone(tmp_path: Path) -> None:
    write(tmp_path, rows(), "json")
    database = open_lake(Lake(str(tmp_path), formats=("json",)))
    plan = database.execute(
        "EXPLAIN ANALYZE SELECT count(*) FROM events WHERE dt = '2026-09-02' AND dialect = "
        "'claude_code'"
    ).fetchall()
    assert "Total Files Read: 1" in str(plan)
