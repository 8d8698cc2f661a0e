"""SQLite: one table with the event id as its key."""

from __future__ import annotations

from tracesidecar.ddl.statement import ROW, Statement, Types, names
from tracesidecar.ddl.views import totals

_VALUES = ", ".join(f":{column.name}" for column in ROW)
INSERT = (
    f"INSERT INTO events (\n{names(ROW)}\n) VALUES ({_VALUES})\nON CONFLICT (event_id) DO NOTHING"
)

TYPES = Types(
    {"string": "TEXT", "bigint": "INTEGER", "double": "REAL", "boolean": "INTEGER"}, time="TEXT"
)


def statements() -> tuple[Statement, ...]:
    """What is to be run once, and how a row is taken in."""
    index = (
        "CREATE INDEX IF NOT EXISTS events_by_conversation ON events (conversation_id, event_time)"
    )
    return (
        Statement("events", "all events, each once", _table()),
        Statement("by_conversation", "for one conversation in order", index),
        *totals("", create="CREATE VIEW IF NOT EXISTS"),
        Statement("insert", "take in one row", INSERT, "load"),
    )


def _table() -> str:
    columns = ",\n".join(
        f"  {c.name} {TYPES.of(c)}{' PRIMARY KEY' if c.name == 'event_id' else ''}" for c in ROW
    )
    return f"CREATE TABLE IF NOT EXISTS events (\n{columns}\n)"
