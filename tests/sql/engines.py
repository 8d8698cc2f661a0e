"""A database of each engine: how to make a sink for it, and how to query it from outside."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import msgspec

from tests.servers.postgres import PostgresServer
from tests.servers.stores import SECRET
from tracesidecar.sinks.sql import sink as sql
from tracesidecar.units import Secret

_numbers = itertools.count()


class Stored(Protocol):
    """A database under test. `time` is an expression that formats a column as a time."""

    time: str

    def options(self, **changes: object) -> sql.Options:
        """Make the options of a sink for it; `changes` replaces the usual ones."""
        ...

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        ...


def options(url: str, changes: dict[str, object]) -> sql.Options:
    """Make the options of a sink for it; `changes` replaces the usual ones."""
    usual = sql.Options(name="base", type="sql", url=Secret(url))
    return msgspec.structs.replace(usual, **changes)


@dataclass
class PostgresSchema:
    """A schema with an owner of its own."""

    server: PostgresServer
    schema: str
    time: str = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

    @classmethod
    @contextmanager
    def on(cls, server: PostgresServer) -> Iterator[PostgresSchema]:
        """Make a schema with its owner for the time of a test."""
        name = f"t{next(_numbers)}"
        server.run(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
        server.run(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
        try:
            yield cls(server, name)
        finally:
            if not server.is_running:  # a test that failed left it stopped
                server.start()
        server.run(f"DROP OWNED BY {name} CASCADE")
        server.run(f"DROP ROLE {name}")

    def options(self, **changes: object) -> sql.Options:
        """Make the options of a sink for it; `changes` replaces the usual ones."""
        url = f"postgresql://{self.schema}@127.0.0.1:{self.server.port}/postgres"
        return options(url, {"password": Secret(SECRET), "schema": self.schema, **changes})

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        with self.server.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass
class SqliteFile:
    """A file of SQLite."""

    path: Path
    time: str = "{}"

    def options(self, **changes: object) -> sql.Options:
        """Make the options of a sink for it; `changes` replaces the usual ones."""
        return options(f"sqlite://{self.path}", changes)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement).fetchall()


@dataclass
class DuckdbFile:
    """A file of DuckDB."""

    path: Path
    time: str = "strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ')"

    def options(self, **changes: object) -> sql.Options:
        """Make the options of a sink for it; `changes` replaces the usual ones."""
        return options(f"duckdb://{self.path}", changes)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(statement).fetchall()
