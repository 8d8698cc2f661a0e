"""A DuckDB file for the SQL sink.

It is open for one transaction at a time, so that others can read it in between.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from tracesidecar.ddl import ROW, column_names, duckdb_file, wrap_list
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh, touch
from tracesidecar.sinks.sql.conflicts import find_conflicts
from tracesidecar.sinks.sql.engine import (
    FILE_MODE,
    STREAMED_ROWS,
    SqlSyntax,
    StoredRows,
    find_events,
)
from tracesidecar.sinks.sql.errors import duckdb_error
from tracesidecar.sinks.sql.schema import migrate

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

_SHAPE = json.dumps({column.name: "VARCHAR" for column in ROW})
_LINES = f"""CREATE OR REPLACE TEMPORARY TABLE lines AS
SELECT unnest(row) FROM (
  SELECT from_json(line, '{_SHAPE}') AS row FROM (SELECT unnest($1) AS line)
)"""
"""Lines as a list: one JSON array would take DuckDB a hundred times the memory of its text.

All columns are text here, because the cast into `events` then says which value does not fit.
"""

_INSERT = f"""INSERT INTO events (
{column_names(ROW)}
)
SELECT
{wrap_list(f"CAST({column.name} AS {duckdb_file.TYPES.type_of(column)})" for column in ROW)}
FROM lines
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id"""


class Duckdb:
    """A file that is opened for each transaction, see `SqlDatabase`.

    DuckDB lets no other process read a file that a writer has open.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._syntax = _syntax()

    def open(self) -> None:
        """Create or migrate the tables."""
        self._transact(lambda _: None)

    def store(self, records: Sequence[Record]) -> StoredRows:
        """Store all records; none is left out."""
        return self._transact(lambda connection: self._store(connection, records))

    def find(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which events of these ids are stored."""
        return self._transact(
            lambda connection: find_events(_DuckdbTransaction(connection), self._syntax, ids)
        )

    def abort(self) -> None:
        """Interrupt the running statement."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _transact(self, step: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        import duckdb

        try:
            is_new = not os.path.exists(self._path)
            with duckdb.connect(self._path, config=CONFIGURATION) as connection:
                if is_new:
                    os.chmod(self._path, FILE_MODE)
                self._connection = connection
                connection.begin()
                migrate(_DuckdbTransaction(connection), self._syntax)
                result = step(connection)
                connection.commit()
                self._widen_log()
        except (duckdb.Error, OSError) as error:
            raise duckdb_error(error, self._path) from None  # not chained: it may quote a row
        finally:
            self._connection = None
        return result

    def _widen_log(self) -> None:
        """Give the write-ahead log the mode of the file: after a crash, a reader needs both."""
        with suppress(FileNotFoundError):
            os.chmod(f"{self._path}.wal", stat.S_IMODE(os.stat(self._path).st_mode))

    def _store(
        self, connection: duckdb.DuckDBPyConnection, records: Sequence[Record]
    ) -> StoredRows:
        transaction = _DuckdbTransaction(connection)
        inserted = _insert(connection, records)
        make_touched(transaction, self._syntax)
        transaction.execute(touch("lines"))
        # Only what may have met another row is looked up: DuckDB uses its index for a few ids, and
        # reads the whole column for many.
        times = Counter(record.id for record in records)
        doubtful = [
            record for record in records if record.id not in inserted or times[record.id] > 1
        ]
        conflicts = find_conflicts(transaction, self._syntax, doubtful)
        if conflicts.records:  # their threads are touched already
            _insert(connection, conflicts.records)
        refresh(transaction, self._syntax)
        return StoredRows(conflicts=conflicts.count_by_path())


def _insert(connection: duckdb.DuckDBPyConnection, records: Sequence[Record]) -> frozenset[str]:
    """Put the records into `lines`, and those whose id is free into `events`; return their ids."""
    connection.execute(_LINES, [[record.body.decode() for record in records]])
    return frozenset(str(id_) for (id_,) in connection.execute(_INSERT).fetchall())


class _DuckdbTransaction:
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        self._connection.execute(query)
        while rows := self._connection.fetchmany(STREAMED_ROWS):
            yield from rows


def _syntax() -> SqlSyntax:
    definitions = duckdb_file.statements()
    return SqlSyntax(
        tables=tuple(each for each in definitions if not each.is_view),
        views=tuple(each for each in definitions if each.is_view),
        types=duckdb_file.TYPES,
        document="JSON",
        parameter="?",
        columns_of="SELECT column_name FROM duckdb_columns()"
        " WHERE table_name = '{}' AND NOT internal",
        time_text="strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ')",
        day="date_trunc('day', {})",
    )
