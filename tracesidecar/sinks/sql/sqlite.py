"""An SQLite file for the SQL sink."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from tracesidecar.ddl import ROW, Statement, sqlite
from tracesidecar.dialects import ColumnType
from tracesidecar.errors import Rejected
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh
from tracesidecar.sinks.sql.conflicts import Conflicts, find_conflicts
from tracesidecar.sinks.sql.engine import FILE_MODE, SqlSyntax, StoredRows, find_events
from tracesidecar.sinks.sql.errors import sqlite_error
from tracesidecar.sinks.sql.schema import migrate

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""The longest single wait for another writer, because it cannot be interrupted."""

_KINDS: dict[ColumnType, type] = {"string": str, "bigint": int, "double": float, "boolean": bool}
_Row = msgspec.defstruct(
    "_Row", [(column.name, _KINDS[column.type] | None, None) for column in ROW]
)
_decode = msgspec.json.Decoder(_Row).decode


class Sqlite:
    """A file behind one connection that stays open, see `SqlDatabase`.

    Readers are never blocked (write-ahead log), and a commit is on the disk when it returns.
    """

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._connection: sqlite3.Connection | None = None
        self._syntax = _syntax()

    def open(self) -> None:
        """Open the file, and create or migrate the tables."""
        self._transact(lambda _: None)

    def store(self, records: Sequence[Record]) -> StoredRows:
        """Store all records; none is left out."""
        rows = _rows(records)
        return self._transact(lambda connection: self._insert(connection, records, rows))

    def find(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which events of these ids are stored."""
        return self._transact(
            lambda connection: find_events(_SqliteTransaction(connection), self._syntax, ids)
        )

    def abort(self) -> None:
        """Interrupt the running statement."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transact(self, step: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._connect()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return step(connection)
        except (sqlite3.Error, OSError, OverflowError) as error:
            self.close()
            raise sqlite_error(error, self._path) from None  # not chained: it may quote a row

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            if not os.path.exists(self._path):
                _create(self._path)  # SQLite gives what it keeps beside it the same mode
            connection = sqlite3.connect(
                self._path,
                timeout=min(self._timeout_seconds / 2, BUSY_SECONDS),
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                migrate(_SqliteTransaction(connection), self._syntax)
        return self._connection

    def _insert(
        self,
        connection: sqlite3.Connection,
        records: Sequence[Record],
        rows: Sequence[Mapping[str, object]],
    ) -> StoredRows:
        transaction = _SqliteTransaction(connection)
        conflicts = Conflicts()
        if connection.executemany(sqlite.INSERT, rows).rowcount < len(rows):
            conflicts = find_conflicts(transaction, self._syntax, records)
            connection.executemany(sqlite.INSERT, _rows(conflicts.records))
        make_touched(transaction, self._syntax)
        connection.executemany(
            "INSERT INTO touched (dialect, conversation_id, thread, trace_id, since)"
            " VALUES (?, ?, ?, ?, ?)",
            _list_touched_threads(rows),
        )
        refresh(transaction, self._syntax)
        return StoredRows(conflicts=conflicts.count_by_path())


def _create(path: str) -> None:
    """Create an empty file with the documented mode, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        return self._connection.execute(query)


def _rows(records: Iterable[Record]) -> list[Mapping[str, object]]:
    try:
        return [msgspec.structs.asdict(_decode(record.body)) for record in records]
    except msgspec.MsgspecError:  # not chained: its message quotes the record
        raise Rejected("data", "a record does not fit the columns of events") from None


def _list_touched_threads(rows: Iterable[Mapping[str, object]]) -> list[tuple[object, ...]]:
    """Return the threads of these rows with their earliest time; rows already stored do no harm."""
    since: dict[tuple[object, ...], str] = {}
    for row in rows:
        thread, at = (
            tuple(
                row[name] or "" for name in ("dialect", "conversation_id", "agent_id", "trace_id")
            ),
            str(row["event_time"]),
        )
        since[thread] = min(at, since.get(thread, at))
    return [(*thread, at) for thread, at in since.items()]


def _syntax() -> SqlSyntax:
    definitions = [each for each in sqlite.statements() if each.use == "define"]
    views = [each for each in definitions if each.is_view]
    index = "CREATE INDEX IF NOT EXISTS agent_traces_by_{0} ON agent_traces ({1})"
    return SqlSyntax(
        tables=tuple(each for each in definitions if not each.is_view),
        views=(
            *(Statement(each.name, "", f"DROP VIEW IF EXISTS {each.name}") for each in views),
            *views,
            Statement("by_start", "", index.format("start", "started_at")),
            Statement("by_session", "", index.format("session", "session_id, started_at")),
        ),
        types=sqlite.TYPES,
        document="TEXT",
        parameter="?",
        columns_of="SELECT name FROM pragma_table_info('{}')",
        time_text="{}",
        day="substr({}, 1, 10) || 'T00:00:00.000000Z'",
    )
