"""Every statement is valid in the grammar of its engine, and names every column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date

import pytest
import sqlglot
from _pytest.mark import ParameterSet
from sqlglot import expressions

from tracesidecar.ddl import athena, bigquery, duckdb, iceberg, postgres, spark, sqlite
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import Statement
from tracesidecar.dialects import COLUMNS, DIALECT_NAMES

DAY = date(2026, 9, 1)
UNKNOWN_TO_SQLGLOT = {
    ("iceberg", "optimize"),
    ("iceberg", "vacuum"),
    ("bigquery", "load"),
    ("bigquery", "events_parquet"),
}
"""Statements of documented grammar that sqlglot does not model."""


def engines(lake: Lake) -> dict[str, tuple[str, tuple[Statement, ...]]]:
    """Return statements by engine, with the dialect of sqlglot."""
    return {
        "athena": ("athena", athena.statements(lake)),
        "iceberg": ("athena", iceberg.statements(lake, DAY)),
        "bigquery": ("bigquery", bigquery.statements(lake, DAY)),
        "duckdb": ("duckdb", duckdb.statements(lake)),
        "postgres": ("postgres", postgres.statements(lake)),
        "sqlite": ("sqlite", sqlite.statements()),
        "spark": ("spark", spark.statements(lake, DAY)),
    }


def every() -> Iterator[ParameterSet]:
    forms: tuple[tuple[LakeFormat, ...], ...] = (("json", "parquet"), ("parquet",))
    for kinds in forms:
        for engine, (dialect, statements) in engines(
            Lake("gs://bucket/agents" if len(kinds) == 1 else "s3://bucket/agents", formats=kinds)
        ).items():
            for statement in statements:
                yield pytest.param(
                    engine, dialect, statement, id=f"{engine}-{statement.name}-{len(kinds)}"
                )


@pytest.mark.parametrize(("engine", "dialect", "statement"), list(every()))
def test_the_statement_can_be_parsed(engine: str, dialect: str, statement: Statement) -> None:
    if (engine, statement.name) in UNKNOWN_TO_SQLGLOT:
        return
    [parsed] = sqlglot.parse(statement.text, dialect=dialect)
    assert not isinstance(parsed, expressions.Command), "not understood"
    assert not statement.text.rstrip().endswith(";")


@pytest.mark.parametrize("engine", engines(Lake("s3://b")))
def test_the_tables_have_every_column(engine: str) -> None:
    for statement in engines(Lake("s3://b"))[engine][1]:
        if statement.name.startswith("events") and "SELECT * FROM" not in statement.text:
            assert [
                c.name for c in COLUMNS if not re.search(rf"\b{c.name}\b", statement.text)
            ] == [], statement.name


def test_athena_projects_every_dialect_and_no_table_reaches_into_another_prefix() -> None:
    tables = {
        s.name: s.text
        for s in athena.statements(Lake("s3://bucket/agents/"))
        if "EXTERNAL TABLE" in s.text
    }
    for name, text in tables.items():
        assert f"'projection.dialect.values' = '{','.join(DIALECT_NAMES)}'" in text, name
    locations = [re.findall(r"LOCATION '(.*)'", text) for text in tables.values()]
    assert locations == [["s3://bucket/agents/v1/"], ["s3://bucket/agents/parquet/v1/"]]
    for [location], text in zip(locations, tables.values(), strict=True):
        assert location + "dt=${dt}/dialect=${dialect}/" in text


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lake("s3://b/it's"),
        lambda: Lake("s3://b\n"),
        lambda: Lake("/x", database="a b"),
        lambda: Lake("/x", project="a`"),
    ],
)
def test_what_cannot_be_quoted_in_a_statement_is_rejected(make: Callable[[], Lake]) -> None:
    with pytest.raises(ValueError, match=r"must be|which the location"):
        make()
