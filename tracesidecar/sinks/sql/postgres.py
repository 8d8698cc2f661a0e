"""PostgreSQL for the SQL sink: records are copied into a temporary table as they stand, and the
server makes rows of them.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tracesidecar.ddl import ROW, Lake, Statement, column_names, postgres
from tracesidecar.errors import RetryLater
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh, touch
from tracesidecar.sinks.sql.engine import Engine
from tracesidecar.sinks.sql.options import Address, Options
from tracesidecar.sinks.sql.postgres_connection import GRANTS, judge, parameters
from tracesidecar.sinks.sql.schema import migrate

if TYPE_CHECKING:
    import psycopg

LOCKS = 0x74726163
"""The class of our advisory locks: number 0 guards the tables' making, the others are for
conversations.
"""
BUCKETS = 64
STREAMED_ROWS = 2000

NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped U+0000, where its backslash is not itself escaped."""

_SETTINGS = (
    "SELECT set_config('search_path', '{schema}', true), set_config('statement_timeout', '{timeout}', true), set_config('lock_timeout', '{timeout}', true),"
    " set_config('idle_in_transaction_session_timeout', '{timeout}', true)"
)
"""For one transaction, so that a pooler may stand between.

The last one frees the server of a sender that is gone without a word.
"""

_MAY_WRITE = """SELECT has_database_privilege(current_database(), 'TEMP')
  AND has_table_privilege('{0}.events', 'SELECT') AND has_table_privilege('{0}.events', 'INSERT')
  AND has_table_privilege('{0}.agent_traces', 'SELECT') AND has_table_privilege('{0}.agent_traces', 'INSERT')
  AND has_table_privilege('{0}.agent_traces', 'UPDATE') AND has_table_privilege('{0}.agent_traces', 'DELETE')"""

_TAKE_IN = f"""WITH new AS (
  INSERT INTO events (
{column_names(ROW)}
  )
  SELECT
{column_names(ROW, prefix="r.")}
  FROM lines, jsonb_populate_record(NULL::events, line::jsonb) AS r
  ON CONFLICT (event_id) DO NOTHING
  RETURNING dialect, conversation_id, agent_id, trace_id, event_time
)
{touch("new")}"""


class Postgres:
    """One connection, kept from batch to batch."""

    def __init__(self, options: Options, address: Address) -> None:
        self._options = options
        self._address = address
        self._engine = _engine(options.schema)
        self._connection: psycopg.Connection | None = None
        self._has_tables = False
        self._is_aborted = threading.Event()

    def open(self) -> None:
        """Connect, and make or migrate the tables."""
        self._attempt(lambda _: None)

    def take(self, records: Sequence[Record]) -> tuple[int, ...]:
        """Store what has no NUL in its text; return the rest."""
        bodies = [record.body for record in records]
        if self._options.nul == "replace":
            bodies = [
                NUL.sub(rb"\1\\ufffd", body) if b"\\u0000" in body else body for body in bodies
            ]
        unheld = {
            index for index, body in enumerate(bodies) if b"\\u0000" in body and NUL.search(body)
        }
        taken = [index for index in range(len(bodies)) if index not in unheld]
        if taken:
            buckets = {_bucket(records[index]) for index in taken}
            self._attempt(
                lambda connection: self._store(
                    connection, [bodies[index] for index in taken], buckets
                )
            )
        return tuple(sorted(unheld))

    def abort(self) -> None:
        """Cut the connection: a read that waits for an answer ends at once."""
        import psycopg

        self._is_aborted.set()
        connection = self._connection
        if connection is None:
            return
        try:
            with socket.socket(fileno=os.dup(connection.fileno())) as doubled:
                doubled.shutdown(socket.SHUT_RDWR)
        except (psycopg.Error, OSError):
            return  # it has ended by itself

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, step: Callable[[psycopg.Connection], None]) -> None:
        import psycopg

        self._is_aborted.clear()
        try:
            connection = self._connected()
            with connection.transaction():
                connection.execute(
                    _SETTINGS.format(
                        schema=self._options.schema, timeout=round(self._options.timeout * 1000)
                    ).encode()
                )
                self._have_tables(connection)
                step(connection)
        except (
            psycopg.Error,
            OSError,
        ) as error:  # not chained: a message of the server may quote a row
            self._has_tables = False
            self.close()
            raise judge(error, self._address) from None
        self._has_tables = True

    def _connected(self) -> psycopg.Connection:
        import psycopg

        if self._connection is None:
            self._connection = psycopg.connect(
                parameters(self._options, self._address), autocommit=True, prepare_threshold=None
            )
        if self._is_aborted.is_set():
            raise RetryLater("timeout", f"{self._address} did not let us in in time")
        return self._connection

    def _have_tables(self, connection: psycopg.Connection) -> None:
        if self._has_tables:
            return
        session = _Session(connection)
        session.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, 0)")
        if not session.execute(
            f"SELECT 1 FROM pg_namespace WHERE nspname = '{self._options.schema}'"
        ):
            session.execute(f"CREATE SCHEMA {self._options.schema}")
        migrate(session, self._engine)
        [(may_write,)] = session.execute(_MAY_WRITE.format(self._options.schema))
        if not may_write:
            raise RetryLater(
                "denied", f"the user of {self._address} may not write to the tables there: {GRANTS}"
            )

    def _store(
        self, connection: psycopg.Connection, bodies: Sequence[bytes], buckets: Iterable[int]
    ) -> None:
        """Writers of the same conversation come one after another: each folds its turns with what
        the other has committed.
        """
        session = _Session(connection)
        for bucket in sorted(buckets):
            session.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {bucket})")
        session.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS lines (line text) ON COMMIT DELETE ROWS"
        )
        with connection.cursor().copy(postgres.COPY.encode()) as copy:
            copy.write(b"\n".join(bodies) + b"\n")
        make_touched(session, self._engine)
        session.execute(_TAKE_IN)
        refresh(session, self._engine)


class _Session:
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


def _engine(schema: str) -> Engine:
    defining = [
        each
        for each in postgres.statements(Lake("/", database=schema))
        if each.use == "define" and each.name != "schema"
    ]
    by_start = "CREATE INDEX IF NOT EXISTS agent_traces_by_start ON {0}.agent_traces (started_at)"
    by_session = "CREATE INDEX IF NOT EXISTS agent_traces_by_session ON {0}.agent_traces (session_id, started_at)"
    indexes = (
        Statement(name, "", text.format(schema))
        for name, text in (("by_start", by_start), ("by_session", by_session))
    )
    return Engine(
        tables=tuple(each for each in defining if not each.is_view),
        views=(*(each for each in defining if each.is_view), *indexes),
        types=postgres.TYPES,
        document="jsonb",
        mark="%s",
        columns_of=f"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{schema}.{{}}') AND attnum > 0 AND NOT attisdropped",
        time_text="""to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        day="date_trunc('day', {}, 'UTC')",
    )
