"""SQLite for the SQL sink."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from tracesidecar.ddl import ROW, Statement, sqlite
from tracesidecar.dialects import ColumnType
from tracesidecar.errors import Rejected, RetryLater, SinkError
from tracesidecar.model import Record
from tracesidecar.sinks.sql.agent_traces import make_touched, refresh
from tracesidecar.sinks.sql.engine import FILE_MODE, Engine
from tracesidecar.sinks.sql.schema import migrate

BUSY_SECONDS = 5.0
"""How long another writer is waited for at once: such a wait cannot be interrupted."""

_KINDS: dict[ColumnType, type] = {"string": str, "bigint": int, "double": float, "boolean": bool}
_Row = msgspec.defstruct(
    "_Row", [(column.name, _KINDS[column.type] | None, None) for column in ROW]
)
_decode = msgspec.json.Decoder(_Row).decode

_ANSWERS = {
    sqlite3.SQLITE_FULL: ("no_space", "make room on its disk"),
    sqlite3.SQLITE_BUSY: ("locked", "another process writes to it; see which"),
    sqlite3.SQLITE_READONLY: (
        "denied",
        "give the user that tracesidecar runs as the right to write the file and its folder",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "denied",
        "make its folder, and give the user that tracesidecar runs as the right to write there",
    ),
    sqlite3.SQLITE_IOERR: ("io", "check the disk"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "restore it, or move it away: a new one is made"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "it is not an SQLite database; move it away"),
    sqlite3.SQLITE_INTERRUPT: ("timeout", "it took longer than timeout"),
}
_CONTENT = {
    sqlite3.SQLITE_TOOBIG: "too_large",
    sqlite3.SQLITE_CONSTRAINT: "constraint",
    sqlite3.SQLITE_MISMATCH: "data",
}


class Sqlite:
    """One connection, kept.

    Readers are not in the way (write-ahead log), and a commit is on the disk when it returns.
    """

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._connection: sqlite3.Connection | None = None
        self._engine = _engine()

    def open(self) -> None:
        """Open the file, and make or migrate the tables."""
        self._attempt(lambda _: None)

    def take(self, records: Sequence[Record]) -> tuple[int, ...]:
        """Store all records."""
        try:
            rows = [msgspec.structs.asdict(_decode(record.body)) for record in records]
        except msgspec.MsgspecError:  # not chained: its message quotes the record
            raise Rejected("data", "a record is no row") from None
        self._attempt(lambda connection: self._store(connection, rows))
        return ()

    def abort(self) -> None:
        """Interrupt the statement that runs."""
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, step: Callable[[sqlite3.Connection], None]) -> None:
        try:
            connection = self._opened()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                step(connection)
        except (
            sqlite3.Error,
            OSError,
            OverflowError,
        ) as error:  # not chained: a message may quote a row
            self.close()
            raise _judge(error, self._path) from None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, FILE_MODE))
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
                migrate(_Session(connection), self._engine)
        return self._connection

    def _store(self, connection: sqlite3.Connection, rows: Sequence[Mapping[str, object]]) -> None:
        session = _Session(connection)
        connection.executemany(sqlite.INSERT, rows)
        make_touched(session, self._engine)
        connection.executemany(
            "INSERT INTO touched (dialect, conversation_id, thread, trace_id, since) VALUES (?, ?, ?, ?, ?)",
            _touched(rows),
        )
        refresh(session, self._engine)


class _Session:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        return self._connection.execute(query)


def _touched(rows: Iterable[Mapping[str, object]]) -> list[tuple[object, ...]]:
    """The threads of these rows with their earliest time; a row that is there already does no harm."""
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


def _judge(error: sqlite3.Error | OSError | OverflowError, path: str) -> SinkError:
    if isinstance(error, OSError):
        return RetryLater(
            "denied", f"could not open {path}: {error.strerror}; mend its folder's rights, or url"
        )
    if isinstance(error, OverflowError):
        return Rejected("data", "a number is over what SQLite holds (64 bits)")
    code = getattr(error, "sqlite_errorcode", 0)
    if (code & 0xFF) in _CONTENT:
        return Rejected(_CONTENT[code & 0xFF], f"SQLite refused a row (code {code})")
    reason, advice = _ANSWERS.get(code & 0xFF, ("unavailable", "see what SQLite says of that code"))
    return RetryLater(reason, f"SQLite could not write {path} (code {code}): {advice}")


def _engine() -> Engine:
    defining = [each for each in sqlite.statements() if each.use == "define"]
    views = [each for each in defining if each.is_view]
    index = "CREATE INDEX IF NOT EXISTS agent_traces_by_{0} ON agent_traces ({1})"
    return Engine(
        tables=tuple(each for each in defining if not each.is_view),
        views=(
            *(Statement(each.name, "", f"DROP VIEW IF EXISTS {each.name}") for each in views),
            *views,
            Statement("by_start", "", index.format("start", "started_at")),
            Statement("by_session", "", index.format("session", "session_id, started_at")),
        ),
        types=sqlite.TYPES,
        document="TEXT",
        mark="?",
        columns_of="SELECT name FROM pragma_table_info('{}')",
        time_text="{}",
        day="substr({}, 1, 10) || 'T00:00:00.000000Z'",
    )
