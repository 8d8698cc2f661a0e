"""The SQL sink's destinations: PostgreSQL behind a fault proxy, and the two files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.patience import PATIENT
from tests.servers.postgres import PostgresServer
from tests.servers.stores import SECRET
from tests.servers.toxiproxy import FaultyWay, Toxiproxy
from tests.sql.engines import DuckdbFile, PostgresSchema, SqliteFile
from tracesidecar.model import Compression
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.sql import sink as sql
from tracesidecar.units import Secret


@dataclass
class FilePlace:
    """An SQLite or DuckDB file."""

    stored: SqliteFile | DuckdbFile
    type: str = "sql"
    compression: Compression = "none"

    def sink(self) -> Sink:
        """Make a new sink for it."""
        return sql.build(self.stored.options())

    def lines(self) -> list[bytes]:
        """Return the lines batch by batch, each batch in the order of its lines.

        A table has no order: DuckDB stores the rows of one batch as its threads finish.
        """
        return [
            raw.encode()
            for (raw,) in self.stored.ask(
                "SELECT raw FROM events"
                " ORDER BY min(rowid) OVER (PARTITION BY source_file), source_offset"
            )
        ]


@dataclass
class PostgresPlace:
    """A PostgreSQL server."""

    stored: PostgresSchema
    way: FaultyWay
    credentials: Path
    type: str = "sql"
    compression: Compression = "none"

    def options(self, **changes: object) -> sql.Options:
        """Return the options of a sink that connects through the fault proxy."""
        url = Secret(f"postgresql://{self.stored.schema}@127.0.0.1:{self.way.port}/postgres")
        files = {"password": None, "password_file": str(self.credentials)}
        return self.stored.options(**{"url": url, **files, **PATIENT, **changes})

    def sink(self, **changes: object) -> Sink:
        """Make a new sink for it; `changes` replaces the usual options."""
        return sql.build(self.options(**changes))

    def lines(self) -> list[bytes]:
        """Read back every record that it has stored."""
        return [
            raw.encode()
            for (raw,) in self.stored.ask(
                "SELECT raw FROM events ORDER BY xmin::text::bigint, source_offset"
            )
        ]

    def credentials_with(self, secret: str) -> str:
        """Return what the file `credentials` must hold for a secret."""
        return f"{secret}\n"

    def accept_only(self, secret: str) -> None:
        """Change the password, and end the sessions: they would stay logged in."""
        self.stored.server.run(f"ALTER ROLE {self.stored.schema} PASSWORD '{secret}'")
        self.stored.server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "
            f"'{self.stored.schema}'"
        )

    def writes(self) -> int:
        """Return how many transactions have stored rows."""
        return len(self.stored.ask("SELECT DISTINCT xmin::text FROM events"))

    def start_server(self) -> None:
        """Start the server, for the first time or again."""
        self.stored.server.start()

    def stop_server(self) -> None:
        """Stop the server; it keeps what it has stored."""
        self.stored.server.stop()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> FilePlace:
    """Return a file of SQLite."""
    return FilePlace(SqliteFile(tmp_path / "traces.db"))


@pytest.fixture
def duckdb_place(tmp_path: Path) -> FilePlace:
    """Return a file of DuckDB."""
    return FilePlace(DuckdbFile(tmp_path / "traces.duckdb"))


@pytest.fixture
def postgres_place(
    tmp_path: Path, postgres_server: PostgresServer, toxiproxy: Toxiproxy
) -> Iterator[PostgresPlace]:
    """Return a schema of PostgreSQL behind a fault proxy."""
    credentials = tmp_path / "password"
    with (
        PostgresSchema.on(postgres_server) as stored,
        toxiproxy.before(postgres_server.port) as way,
    ):
        place = PostgresPlace(stored, way, credentials)
        credentials.write_text(place.credentials_with(SECRET))
        yield place
