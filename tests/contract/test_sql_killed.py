"""A daemon that is killed while it sends has each line in the database once, and the turns match
the stored events.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.killing import kill_while_sending
from tests.faults.destinations import DELIVERED
from tests.faults.oracle import differences
from tests.servers.postgres import PostgresServer
from tests.servers.stores import SECRET
from tests.sql.engines import DuckdbFile, PostgresSchema, SqliteFile, Stored
from tests.sql.rebuilding import rebuild_turns


@pytest.fixture
def schema(postgres_server: PostgresServer) -> Iterator[PostgresSchema]:
    with PostgresSchema.on(postgres_server) as schema:
        yield schema


def run(folder: Path, stored: Stored, more: str, kills: int) -> list[str]:
    """Return what is wrong.

    Equal lines at the same offset of files that begin alike
    are one event: one of them is enough.
    """
    url = stored.options().url
    expected = kill_while_sending(
        folder, f'name = "base"\ntype = "sql"\nurl = "{str.__str__(url)}"\n{more}', kills=kills
    )
    found = Counter(dict(stored.ask(DELIVERED)))
    digests = {
        hashlib.sha256(line).hexdigest(): count for line, count in expected.delivered.items()
    }
    wanted = Counter(
        {digest: min(count, max(found[digest], 1)) for digest, count in digests.items()}
    )
    before = stored.ask("SELECT * FROM agent_traces ORDER BY id")
    rebuild_turns(stored)
    assert stored.ask("SELECT * FROM agent_traces ORDER BY id") == before != []
    return differences("base", wanted, found)


@pytest.mark.long
def test_postgres_has_each_line_once_after_five_kills(
    tmp_path: Path, schema: PostgresSchema
) -> None:
    assert run(tmp_path, schema, f'schema = "{schema.schema}"\npassword = "{SECRET}"\n', 5) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_postgres_has_each_line_once_after_fifty_kills(
    tmp_path: Path, schema: PostgresSchema
) -> None:
    assert run(tmp_path, schema, f'schema = "{schema.schema}"\npassword = "{SECRET}"\n', 50) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_sqlite_has_each_line_once_after_fifty_kills(tmp_path: Path) -> None:
    assert run(tmp_path, SqliteFile(tmp_path / "traces.db"), "", 50) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_duckdb_has_each_line_once_after_fifty_kills(tmp_path: Path) -> None:
    assert run(tmp_path, DuckdbFile(tmp_path / "traces.duckdb"), "", 50) == []
