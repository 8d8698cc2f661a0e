"""The three engines under the same tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import postgres_server
from tests.sql.engines import DuckdbFile, PostgresSchema, SqliteFile, Stored

__all__ = ["postgres_server"]


@pytest.fixture(params=["postgres", "sqlite", "duckdb"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    if request.param == "postgres":
        with PostgresSchema.on(request.getfixturevalue("postgres_server")) as schema:
            yield schema
        return
    yield (
        SqliteFile(tmp_path / "traces.db")
        if request.param == "sqlite"
        else DuckdbFile(tmp_path / "traces.duckdb")
    )
