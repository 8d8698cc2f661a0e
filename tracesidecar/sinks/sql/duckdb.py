"""A DuckDB file for the SQL sink: open for one transaction only, so that others can read it in
between.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tracesidecar.ddl import ROW, column_names, duckdb_file, wrap_list
from tracesidecar.errors import Rejected, RetryLater, SinkError
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh, touch
from tracesidecar.sinks.sql.engine import FILE_MODE, Engine
from tracesidecar.sinks.sql.schema import migrate

if TYPE_CHECKING:
    import duckdb

CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
STREAMED_ROWS = 2000

_SHAPE = json.dumps({column.name: "VARCHAR" for column in ROW})
_LINES = f"""CREATE TEMPORARY TABLE lines AS
SELECT unnest(row) FROM (SELECT from_json(line, '{_SHAPE}') AS row FROM (SELECT unnest($1) AS line))"""
"""A list of lines and not one array, which takes DuckDB a hundred times the memory of its text.

All is text, because a cast says what does not fit.
"""

_TAKE_IN = f"""INSERT INTO events (
{column_names(ROW)}
)
SELECT
{wrap_list(f"CAST({column.name} AS {duckdb_file.TYPES.type_of(column)})" for column in ROW)}
FROM lines
ON CONFLICT (event_id) DO NOTHING"""


class Duckdb:
    """A file that is opened for each step: DuckDB lets nobody else in while a writer has it open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._engine = _engine()

    def open(self) -> None:
        """Make or migrate the tables."""
        self._attempt(lambda _: None)

    def take(self, records: Sequence[Record]) -> tuple[int, ...]:
        """Store all records."""
        self._attempt(
            lambda connection: self._store(connection, [record.body.decode() for record in records])
        )
        return ()

    def abort(self) -> None:
        """Interrupt the statement that runs."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Nothing is open between steps."""

    def _attempt(self, step: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        import duckdb

        try:
            is_new = not os.path.exists(self._path)
            with duckdb.connect(self._path, config=CONFIGURATION) as connection:
                if is_new:
                    os.chmod(self._path, FILE_MODE)
                self._connection = connection
                connection.begin()
                migrate(_Session(connection), self._engine)
                step(connection)
                connection.commit()
        except (duckdb.Error, OSError) as error:  # not chained: a message may quote a row
            raise _judge(error, self._path) from None
        finally:
            self._connection = None

    def _store(self, connection: duckdb.DuckDBPyConnection, lines: list[str]) -> None:
        session = _Session(connection)
        connection.execute(_LINES, [lines])
        session.execute(_TAKE_IN)
        make_touched(session, self._engine)
        session.execute(touch("lines"))
        refresh(session, self._engine)


class _Session:
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


def _judge(error: duckdb.Error | OSError, path: str) -> SinkError:
    import duckdb

    if isinstance(
        error,
        duckdb.ConversionException
        | duckdb.ConstraintException
        | duckdb.InvalidInputException
        | duckdb.OutOfRangeException,
    ):
        return Rejected("data", f"DuckDB refused a row ({type(error).__name__})")
    if isinstance(error, duckdb.InterruptException):
        return RetryLater("timeout", f"DuckDB took longer than timeout with {path}")
    if "lock" in str(error):
        return RetryLater(
            "locked", f"another process has {path} open; a batch goes in as soon as it is closed"
        )
    return RetryLater(
        "io",
        f"DuckDB could not write {path} ({type(error).__name__}): check its folder's rights and the room on its disk",
    )


def _engine() -> Engine:
    defining = duckdb_file.statements()
    return Engine(
        tables=tuple(each for each in defining if not each.is_view),
        views=tuple(each for each in defining if each.is_view),
        types=duckdb_file.TYPES,
        document="JSON",
        mark="?",
        columns_of="SELECT column_name FROM duckdb_columns() WHERE table_name = '{}' AND NOT internal",
        time_text="strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ')",
        day="date_trunc('day', {})",
    )
