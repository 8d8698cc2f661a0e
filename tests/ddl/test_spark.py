"""Spark reads the same lake by the same views, and gives the same totals."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ddl.lakes import CALLS, SESSIONS, as_row, rows, write
from tests.ddl.test_conflicts import GIVEN, KEPT
from tracesidecar.ddl import spark as ddl
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import Statement
from tracesidecar.dialects import COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("java") is None and "CI" not in os.environ, reason="Java is not installed here"
    ),
]

DAY = date(2026, 9, 1)
TIMES = ", ".join(
    f"date_format({c.name}, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\") AS {c.name}_text"
    for c in COLUMNS
    if c.is_time
)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    home = tmp_path_factory.mktemp("spark")
    builder = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
    )
    builder = (
        builder.config("spark.sql.warehouse.dir", str(home))
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
    )
    session = builder.config("spark.driver.memory", "1g").getOrCreate()
    yield session
    session.stop()


def begin(spark: SparkSession, lake: Lake) -> dict[str, Statement]:
    statements = {statement.name: statement for statement in ddl.statements(lake, DAY)}
    for statement in statements.values():
        if statement.use == "define":
            spark.sql(statement.text)
    return statements


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_spark_gives_every_row_and_the_right_totals(
    spark: SparkSession, tmp_path: Path, form: LakeFormat
) -> None:
    write(tmp_path, rows(), form)
    begin(spark, Lake(str(tmp_path), formats=(form,)))
    found = [
        row.asDict()
        for row in spark.sql(f"SELECT *, {TIMES} FROM events ORDER BY source_line").collect()
    ]
    shown = [
        {
            name: row.get(f"{name}_text", value)
            for name, value in row.items()
            if not name.endswith("_text")
        }
        for row in found
    ]
    assert shown == [as_row(dialect, event) for dialect, event in rows()]
    totals = spark.sql(
        "SELECT dialect, count(*), sum(input_tokens), sum(output_tokens) FROM model_calls GROUP "
        "BY dialect"
    ).collect()
    assert {tuple(row) for row in totals} == CALLS
    sessions = spark.sql(
        "SELECT dialect, conversation_id, input_tokens, output_tokens FROM session_totals"
    ).collect()
    assert {tuple(row) for row in sessions} == SESSIONS


def test_a_day_is_rewritten_with_each_event_once(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, rows(), "json")
    write(tmp_path, rows(), "parquet")
    statements = begin(spark, Lake(str(tmp_path)))
    spark.sql(statements["rewrite"].text)
    of_the_day = [
        event.event_id or ""
        for _, event in rows()
        if (event.event_time or "").startswith("2026-09-01")
    ]
    assert sorted(
        row[0] for row in spark.sql("SELECT event_id FROM events_rewritten_20260901").collect()
    ) == sorted(of_the_day)


def test_two_lines_with_one_id_are_both_in_the_totals_and_in_the_rewrite(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path, GIVEN, "json")
    statements = begin(spark, Lake(str(tmp_path), formats=("json",)))
    [(calls, tokens)] = spark.sql("SELECT count(*), sum(input_tokens) FROM model_calls").collect()
    assert (calls, tokens) == (2, 210)
    spark.sql("DROP TABLE IF EXISTS events_rewritten_20260901")
    spark.sql(statements["rewrite"].text)
    found = spark.sql("SELECT event_id, text FROM events_rewritten_20260901 ORDER BY text")
    assert [tuple(row) for row in found.collect()] == KEPT
