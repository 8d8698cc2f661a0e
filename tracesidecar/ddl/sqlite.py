"""SQLite: one table with the event id as key."""

from __future__ import annotations

from tracesidecar.ddl.statement import ROW, Statement, Types, column_names
from tracesidecar.ddl.views import total_views

_VALUES = ", ".join(f":{column.name}" for column in ROW)
INSERT = (
    f"INSERT INTO events (\n{column_names(ROW)}\n) VALUES ({_VALUES})\n"
    "ON CONFLICT (event_id) DO NOTHING"
)

INSERT_CONFLICT = (
    f"INSERT INTO events (\n{column_names(ROW)}\n)\n"
    f"SELECT {_VALUES.replace(':event_id', ':derived_id')}\n"
    "WHERE EXISTS (\n"
    "  SELECT 1 FROM events WHERE event_id = :event_id\n"
    "    AND line_sha256 <> :line_sha256 AND processed_by = :processed_by\n"
    ")\n"
    "ON CONFLICT (event_id) DO NOTHING"
)

TYPES = Types(
    {"string": "TEXT", "bigint": "INTEGER", "double": "REAL", "boolean": "INTEGER"}, time="TEXT"
)


def statements() -> tuple[Statement, ...]:
    """Return the statements to run once, and the insert of one row."""
    index = (
        "CREATE INDEX IF NOT EXISTS events_by_conversation ON events (conversation_id, event_time)"
    )
    return (
        Statement("events", "all events, each once", _table()),
        Statement("by_conversation", "for one conversation in order", index),
        *total_views("", create="CREATE VIEW IF NOT EXISTS"),
        Statement("insert", "insert one row", INSERT, "load"),
        Statement(
            "insert_conflict",
            "then this, if another line has the row's id: derived_id is the first 32 hexadecimal "
            "digits of the SHA-256 of event_id, a NUL byte and line_sha256",
            INSERT_CONFLICT,
            "load",
        ),
    )


def _table() -> str:
    columns = ",\n".join(
        f"  {c.name} {TYPES.type_of(c)}{' PRIMARY KEY' if c.name == 'event_id' else ''}"
        for c in ROW
    )
    return f"CREATE TABLE IF NOT EXISTS events (\n{columns}\n)"
