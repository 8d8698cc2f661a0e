"""PostgreSQL: one table with the event id as its key, and how lines are taken in."""

from __future__ import annotations

from tracesidecar.ddl.lake_location import Lake
from tracesidecar.ddl.statement import ROW, Statement, Types, names
from tracesidecar.ddl.views import totals

TYPES = Types(
    {"string": "text", "bigint": "bigint", "double": "double precision", "boolean": "boolean"},
    time="timestamptz",
)

NUL = r"'(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g'"
"""Text of PostgreSQL cannot hold U+0000: its escape, where that is not itself escaped, becomes
U+FFFD.
"""


COPY = r"COPY lines FROM STDIN WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
"""Each line as it stands: quote and delimiter are bytes that no JSON holds."""


def statements(lake: Lake) -> tuple[Statement, ...]:
    """What is to be run once, and how the lines of one object are loaded."""
    schema = lake.database
    return (
        Statement("schema", "where the table is", f"CREATE SCHEMA IF NOT EXISTS {schema}"),
        Statement("events", "all events, each once", _table(schema)),
        Statement(
            "by_conversation",
            "for one conversation in order",
            _index(schema, "events_by_conversation", "conversation_id, event_time"),
        ),
        Statement("by_day", "for a span of days", _index(schema, "events_by_day", "dt, dialect")),
        *totals(f"{schema}."),
        Statement(
            "lines",
            "the lines of one object, for this session",
            "CREATE TEMPORARY TABLE IF NOT EXISTS lines (line text)",
            "load",
        ),
        Statement(
            "copy",
            "gzip -dc OBJECT | psql -c this; quote and delimiter are bytes that no line holds",
            COPY,
            "load",
        ),
        Statement(
            "insert",
            "take in what is not there yet; say which partition the object lies in",
            _insert(schema),
            "load",
        ),
    )


def _table(schema: str) -> str:
    columns = ",\n".join(
        f"  {c.name} {'date' if c.name == 'dt' else TYPES.of(c)}{' NOT NULL' if c.name in {'dt', 'dialect'} else ''}"
        for c in ROW
    )
    return f"CREATE TABLE IF NOT EXISTS {schema}.events (\n{columns},\n  PRIMARY KEY (event_id)\n)"


def _index(schema: str, name: str, columns: str) -> str:
    return f"CREATE INDEX IF NOT EXISTS {name} ON {schema}.events ({columns})"


def _insert(schema: str) -> str:
    return f"""INSERT INTO {schema}.events (
{names(ROW)}
)
SELECT
{names(ROW, prefix="r.")}
FROM lines,
  jsonb_populate_record(
    NULL::{schema}.events,
    regexp_replace(line, {NUL})::jsonb || jsonb_build_object('dt', 'YYYY-MM-DD', 'dialect', 'DIALECT')
  ) AS r
ON CONFLICT (event_id) DO NOTHING"""
