"""PostgreSQL for the SQL sink.

Records are copied into a temporary table as they are, and the server turns them into rows.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from tracesidecar.ddl import ROW, Lake, Statement, column_names, postgres
from tracesidecar.errors import RetryLater
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh, touch
from tracesidecar.sinks.sql.conflicts import Conflicts, find_conflicts
from tracesidecar.sinks.sql.engine import STREAMED_ROWS, SqlSyntax, StoredRows, find_events
from tracesidecar.sinks.sql.errors import GRANTS, postgres_error
from tracesidecar.sinks.sql.options import Address, Options
from tracesidecar.sinks.sql.postgres_connection import connection_string
from tracesidecar.sinks.sql.schema import migrate

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

LOCKS = 0x74726163
"""The class of our advisory locks: number 0 guards the creation of tables, the others are for
conversations.
"""
BUCKETS = 64

NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped U+0000 whose backslash is not itself escaped."""

_SETTINGS = (
    "SELECT set_config('search_path', '{schema}', true),"
    " set_config('statement_timeout', '{timeout}', true),"
    " set_config('lock_timeout', '{timeout}', true),"
    " set_config('idle_in_transaction_session_timeout', '{timeout}', true)"
)
"""Settings for one transaction, so that they also work through a connection pooler.

The last one frees the server from a sender that has disappeared.
"""

_MAY_WRITE = """SELECT has_database_privilege(current_database(), 'TEMP')
  AND has_table_privilege('{0}.events', 'SELECT')
  AND has_table_privilege('{0}.events', 'INSERT')
  AND has_table_privilege('{0}.agent_traces', 'SELECT')
  AND has_table_privilege('{0}.agent_traces', 'INSERT')
  AND has_table_privilege('{0}.agent_traces', 'UPDATE')
  AND has_table_privilege('{0}.agent_traces', 'DELETE')"""

_INSERT = f"""WITH new AS (
  INSERT INTO events (
{column_names(ROW)}
  )
  SELECT
{column_names(ROW, prefix="r.")}
  FROM lines, jsonb_populate_record(NULL::events, line::jsonb) AS r
  ON CONFLICT (event_id) DO NOTHING
  RETURNING dialect, conversation_id, agent_id, trace_id, event_time
), touching AS (
{touch("new")}
)
SELECT count(*) FROM new"""

_MERGE_TOUCHED = """WITH each AS (DELETE FROM touched RETURNING *)
INSERT INTO touched (dialect, conversation_id, thread, trace_id, since)
SELECT dialect, conversation_id, thread, trace_id, MIN(since) FROM each
GROUP BY dialect, conversation_id, thread, trace_id"""


class Postgres:
    """A server behind one connection that is kept from batch to batch, see `SqlDatabase`."""

    def __init__(self, options: Options, address: Address) -> None:
        self._options = options
        self._address = address
        self._syntax = _syntax(options.schema)
        self._connection: psycopg.Connection | None = None
        self._has_tables = False
        self._is_aborted = threading.Event()

    def open(self) -> None:
        """Connect, and create or migrate the tables."""
        self._transact(lambda _: None)

    def store(self, records: Sequence[Record]) -> StoredRows:
        """Store the records; leave out those with U+0000 in their text, unless it is replaced."""
        if self._options.nul == "replace":
            records = [
                record._replace(body=NUL.sub(rb"\1\\ufffd", record.body))
                if b"\\u0000" in record.body
                else record
                for record in records
            ]
        left_out = {
            index
            for index, record in enumerate(records)
            if b"\\u0000" in record.body and NUL.search(record.body)
        }
        taken = [record for index, record in enumerate(records) if index not in left_out]
        conflicts = Conflicts()
        if taken:
            conflicts = self._transact(lambda connection: self._store(connection, taken))
        return StoredRows(tuple(sorted(left_out)), conflicts.count_by_path())

    def find(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which events of these ids are stored."""
        return self._transact(
            lambda connection: find_events(_PostgresTransaction(connection), self._syntax, ids)
        )

    def abort(self) -> None:
        """Shut the connection down: a read that waits for the server ends at once."""
        import psycopg

        self._is_aborted.set()
        connection = self._connection
        if connection is None:
            return
        try:
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)
        except (psycopg.Error, OSError):
            return  # the call has ended by itself

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transact(self, step: Callable[[psycopg.Connection], T]) -> T:
        import psycopg

        self._is_aborted.clear()
        try:
            connection = self._connect()
            with connection.transaction():
                connection.execute(
                    _SETTINGS.format(
                        schema=self._options.schema, timeout=round(self._options.timeout * 1000)
                    ).encode()
                )
                self._ensure_tables(connection)
                result = step(connection)
        except (psycopg.Error, OSError) as error:
            self._has_tables = False
            self.close()
            raise postgres_error(error, self._address) from None  # not chained: it may quote a row
        self._has_tables = True
        return result

    def _connect(self) -> psycopg.Connection:
        import psycopg

        if self._connection is None:
            try:
                self._connection = psycopg.connect(
                    connection_string(self._options, self._address),
                    autocommit=True,
                    prepare_threshold=None,
                )
            except UnicodeError:  # a label of more than 63 characters, or none between two dots
                raise RetryLater(
                    "dns", f"the host name of {self._address} is not valid; correct url"
                ) from None
        if self._is_aborted.is_set():
            raise RetryLater("timeout", f"connecting to {self._address} took longer than timeout")
        return self._connection

    def _ensure_tables(self, connection: psycopg.Connection) -> None:
        if self._has_tables:
            return
        transaction = _PostgresTransaction(connection)
        transaction.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, 0)")
        if not transaction.execute(
            f"SELECT 1 FROM pg_namespace WHERE nspname = '{self._options.schema}'"
        ):
            transaction.execute(f"CREATE SCHEMA {self._options.schema}")
        migrate(transaction, self._syntax)
        [(may_write,)] = transaction.execute(_MAY_WRITE.format(self._options.schema))
        if not may_write:
            raise RetryLater(
                "denied", f"the user of {self._address} may not write to the tables: {GRANTS}"
            )

    def _store(self, connection: psycopg.Connection, records: Sequence[Record]) -> Conflicts:
        """Insert the events and update their turns.

        The locks make writers of one conversation wait for each other, so that each computes its
        turns, and compares its lines, from what the other has committed.
        """
        transaction = _PostgresTransaction(connection)
        for bucket in sorted({_bucket(record) for record in records}):
            transaction.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {bucket})")
        transaction.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS lines (line text) ON COMMIT DELETE ROWS"
        )
        make_touched(transaction, self._syntax)
        conflicts = Conflicts()
        if _insert(connection, records) < len(records):
            conflicts = find_conflicts(transaction, self._syntax, records)
        if conflicts.records:
            transaction.execute("DELETE FROM lines")
            _insert(connection, conflicts.records)
            transaction.execute(_MERGE_TOUCHED)
        refresh(transaction, self._syntax)
        return conflicts


def _insert(connection: psycopg.Connection, records: Sequence[Record]) -> int:
    """Copy the records, insert those whose id is free, touch their threads; return how many."""
    with connection.cursor().copy(postgres.COPY.encode()) as copy:
        copy.write(b"\n".join([record.body for record in records]) + b"\n")
    [(inserted,)] = connection.execute(_INSERT.encode()).fetchall()
    return int(inserted)


class _PostgresTransaction:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        cursor = self._connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        with self._connection.cursor(name="steps") as cursor:
            cursor.itersize = STREAMED_ROWS
            yield from cursor.execute(query.encode())


def _bucket(record: Record) -> int:
    return (
        1
        + zlib.crc32(f"{record.dialect}\0{record.conversation}".encode("utf-8", "surrogatepass"))
        % BUCKETS
    )


def _syntax(schema: str) -> SqlSyntax:
    definitions = [
        each
        for each in postgres.statements(Lake("/", database=schema))
        if each.use == "define" and each.name != "schema"
    ]
    index = "CREATE INDEX IF NOT EXISTS agent_traces_by_{} ON {}.agent_traces ({})"
    indexes = (
        Statement(f"by_{name}", "", index.format(name, schema, columns))
        for name, columns in (("start", "started_at"), ("session", "session_id, started_at"))
    )
    return SqlSyntax(
        tables=tuple(each for each in definitions if not each.is_view),
        views=(*(each for each in definitions if each.is_view), *indexes),
        types=postgres.TYPES,
        document="jsonb",
        parameter="%s",
        columns_of="SELECT attname FROM pg_attribute"
        f" WHERE attrelid = to_regclass('{schema}.{{}}') AND attnum > 0 AND NOT attisdropped",
        time_text="""to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        day="date_trunc('day', {}, 'UTC')",
    )
