"""The tables of the SQL sink: created when missing, extended by the columns of later versions."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from tracesidecar.ddl import ROW, TURN_COLUMNS, turn_type, turns_table
from tracesidecar.dialects import Column
from tracesidecar.sinks.sql.agent_traces import rebuild
from tracesidecar.sinks.sql.engine import SqlSyntax, Transaction

log = structlog.get_logger(__name__)

VERSION = 4
"""Incremented when a table gets a column or the definition of a turn changes. A test compares it
with the columns.
"""


def migrate(transaction: Transaction, syntax: SqlSyntax) -> None:
    """Bring the tables to this version; the caller makes sure that it is the only writer.

    Nothing that needs the right to create runs when they already have it. Tables of a later version
    stay as they are: columns are only ever added, so they can take our rows. Events that another
    program inserted get their turns.
    """
    found = _version(transaction, syntax)
    if found >= VERSION:
        return
    transaction.execute("CREATE TABLE IF NOT EXISTS tracesidecar_schema (version INTEGER NOT NULL)")
    for statement in syntax.tables:
        transaction.execute(statement.text)
    transaction.execute(turns_table("agent_traces", syntax.types, syntax.document))
    _add_columns(
        transaction, syntax, "events", ((column, syntax.types.type_of(column)) for column in ROW)
    )
    _add_columns(
        transaction,
        syntax,
        "agent_traces",
        ((column, turn_type(column, syntax.types, syntax.document)) for column in TURN_COLUMNS),
    )
    for statement in syntax.views:
        transaction.execute(statement.text)
    rebuild(transaction, syntax)
    transaction.execute(f"INSERT INTO tracesidecar_schema (version) VALUES ({VERSION})")
    log.info("sink.tables_migrated" if found else "sink.tables_made", version=VERSION)


def _version(transaction: Transaction, syntax: SqlSyntax) -> int:
    if not all(
        _columns(transaction, syntax, name)
        for name in ("events", "agent_traces", "tracesidecar_schema")
    ):
        return 0
    [(version,)] = transaction.execute("SELECT max(version) FROM tracesidecar_schema")
    return version if isinstance(version, int) else 0


def _columns(transaction: Transaction, syntax: SqlSyntax, name: str) -> set[object]:
    return {found for (found,) in transaction.execute(syntax.columns_of.format(name))}


def _add_columns(
    transaction: Transaction, syntax: SqlSyntax, name: str, columns: Iterable[tuple[Column, str]]
) -> None:
    existing = _columns(transaction, syntax, name)
    for column, kind in columns:
        if column.name not in existing:
            transaction.execute(f"ALTER TABLE {name} ADD COLUMN {column.name} {kind}")
