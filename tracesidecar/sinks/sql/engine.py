"""What the SQL sink needs of an engine: one database to take records into, and the few words in
which engines differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tracesidecar.ddl import Statement, Types
from tracesidecar.model import Record

FILE_MODE = 0o640
"""Of a database that is a file, when it is made."""


class Database(Protocol):
    """One database, for one thread; only `abort` may be called from another."""

    def open(self) -> None:
        """Connect, and make or migrate the tables. Raises SinkError."""
        ...

    def take(self, records: Sequence[Record]) -> tuple[int, ...]:
        """Store all records in one transaction but those that are returned, which the engine cannot
        hold. Raises SinkError.
        """
        ...

    def abort(self) -> None:
        """Have a step that runs in the thread end soon, with an error."""
        ...

    def close(self) -> None:
        """Let go of the connection; never raises."""
        ...


class Session(Protocol):
    """A connection within a transaction."""

    def execute(
        self, statement: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Run a statement and return its rows."""
        ...

    def stream(self, query: str) -> Iterator[tuple[object, ...]]:
        """Run a query whose answer may be large; nothing else may be run before it is exhausted."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """How an engine says it. `{}` stands for a table's name in `columns_of`, for a column's in
    `time_text` (RFC 3339 with microseconds) and `day`.

    `tables` and `views` are made in this order; `document` is the type of JSON, `mark` a parameter,
    `day` the midnight in UTC before a time.
    """

    tables: tuple[Statement, ...]
    views: tuple[Statement, ...]
    types: Types
    document: str
    mark: str
    columns_of: str
    time_text: str
    day: str
