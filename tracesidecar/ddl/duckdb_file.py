"""A DuckDB file that holds the events itself: one table with the event id as key."""

from __future__ import annotations

from tracesidecar.ddl.statement import ROW, Statement, Types
from tracesidecar.ddl.views import total_views

TYPES = Types(
    {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"},
    time="TIMESTAMP",
)
"""Times are in UTC without a zone: with a zone, they print in the zone of the reader."""


def statements() -> tuple[Statement, ...]:
    """Return the statements to run once."""
    columns = ",\n".join(f"  {column.name} {TYPES.type_of(column)}" for column in ROW)
    return (
        Statement(
            "events",
            "all events, each once",
            f"CREATE TABLE IF NOT EXISTS events (\n{columns},\n  PRIMARY KEY (event_id)\n)",
        ),
        *total_views(""),
    )
