"""The tables of the SQL sink: made when they are not there, and given the columns that a later
version has.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from tracesidecar.ddl import ROW, TURN_COLUMNS, turn_type, turns_table
from tracesidecar.dialects import Column
from tracesidecar.sinks.sql.agent_traces import rebuild
from tracesidecar.sinks.sql.engine import Engine, Session

log = structlog.get_logger(__name__)

VERSION = 1
"""Counted up when a table gets a column or what a turn is changes; a test holds it against the
columns.
"""


def migrate(session: Session, engine: Engine) -> None:
    """Bring the tables to this version, for one writer at a time. Where they are, nothing is run
    that needs the right to define.

    Those of a later version are left alone: columns are only ever added, so they take our rows.
    Events that somebody else put there get their turns.
    """
    found = _version(session, engine)
    if found >= VERSION:
        return
    session.execute("CREATE TABLE IF NOT EXISTS tracesidecar_schema (version INTEGER NOT NULL)")
    for statement in engine.tables:
        session.execute(statement.text)
    session.execute(turns_table("agent_traces", engine.types, engine.document))
    _add_columns(
        session, engine, "events", ((column, engine.types.type_of(column)) for column in ROW)
    )
    _add_columns(
        session,
        engine,
        "agent_traces",
        ((column, turn_type(column, engine.types, engine.document)) for column in TURN_COLUMNS),
    )
    for statement in engine.views:
        session.execute(statement.text)
    rebuild(session, engine)
    session.execute(f"INSERT INTO tracesidecar_schema (version) VALUES ({VERSION})")
    log.info("sink.tables_migrated" if found else "sink.tables_made", version=VERSION)


def _version(session: Session, engine: Engine) -> int:
    if not all(
        _columns(session, engine, name)
        for name in ("events", "agent_traces", "tracesidecar_schema")
    ):
        return 0
    [(version,)] = session.execute("SELECT max(version) FROM tracesidecar_schema")
    return version if isinstance(version, int) else 0


def _columns(session: Session, engine: Engine, name: str) -> set[object]:
    return {found for (found,) in session.execute(engine.columns_of.format(name))}


def _add_columns(
    session: Session, engine: Engine, name: str, columns: Iterable[tuple[Column, str]]
) -> None:
    there = _columns(session, engine, name)
    for column, kind in columns:
        if column.name not in there:
            session.execute(f"ALTER TABLE {name} ADD COLUMN {column.name} {kind}")
