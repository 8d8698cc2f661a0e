"""What the SQL sink needs of an engine.

A database that stores records, and the few places in which the SQL of engines differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracesidecar.ddl import Statement, Types
from tracesidecar.model import Record

STREAMED_ROWS = 2000
"""How many rows of an answer are in memory at once."""

FILE_MODE = 0o640
"""The mode of a database that is a file, when it is created."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """What became of the records of a transaction.

    `left_out` are the indexes of those that the engine cannot represent. `conflicts` counts those
    that are stored under a derived id now, by the path of their file.
    """

    left_out: tuple[int, ...] = ()
    conflicts: Mapping[str, int] = field(default_factory=dict)


class SqlDatabase(Protocol):
    """One database, used by one thread; only `abort` may be called from another.

    Calls block. Those that do not say otherwise raise SinkError.
    """

    def open(self) -> None:
        """Connect, and create or migrate the tables."""
        ...

    def store(self, records: Sequence[Record]) -> StoredRows:
        """Store the records in one transaction.

        An event that is already there stays as it is. If another line has its id, the record is
        stored under a derived one.
        """
        ...

    def find(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which events of these ids are stored."""
        ...

    def abort(self) -> None:
        """Make the call that runs in the thread end soon, with an error. Never raises."""
        ...

    def close(self) -> None:
        """Close the connection. Never raises."""
        ...


IDS_AT_ONCE = 500
"""How many parameters a query has at most: SQLite takes 999."""


class Transaction(Protocol):
    """A connection within a transaction."""

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Run a statement and return its rows."""
        ...

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        """Run a query with a large result. Nothing else may run before it is exhausted."""
        ...


@dataclass(frozen=True, slots=True)
class SqlSyntax:
    """The tables of an engine, and how it writes what differs between engines.

    `tables` and `views` are created in this order. `document` is the type of JSON, `parameter` the
    mark of a parameter. In the templates `{}` stands for a table's name (`columns_of`, which lists
    its columns) or a column's: `time_text` formats it as RFC 3339 with microseconds, `day` is the
    midnight in UTC before it.
    """

    tables: tuple[Statement, ...]
    views: tuple[Statement, ...]
    types: Types
    document: str
    parameter: str
    columns_of: str
    time_text: str
    day: str


def select_by_id(
    transaction: Transaction, syntax: SqlSyntax, columns: str, ids: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Yield these columns of the events of these ids, as far as they are in the table."""
    for first in range(0, len(ids), IDS_AT_ONCE):
        some = ids[first : first + IDS_AT_ONCE]
        marks = ", ".join([syntax.parameter] * len(some))
        query = f"SELECT {columns} FROM events WHERE event_id IN ({marks})"
        yield from transaction.execute(query, some)


def find_events(transaction: Transaction, syntax: SqlSyntax, ids: Sequence[str]) -> frozenset[str]:
    """Return which events of these ids are in the table.

    One that is there under a derived id counts: another line has its own.
    """
    return frozenset(
        str(event_id) for (event_id,) in select_by_id(transaction, syntax, "event_id", ids)
    )
