"""PostgreSQL: one table with the event id as key, and statements that load lines."""

from __future__ import annotations

from tracesidecar.ddl.lake_location import Lake
from tracesidecar.ddl.statement import ROW, Statement, Types, column_names, wrap_list
from tracesidecar.ddl.views import total_views

TYPES = Types(
    {"string": "text", "bigint": "bigint", "double": "double precision", "boolean": "boolean"},
    time="timestamptz",
)

NUL = r"'(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g'"
"""Replaces the escape of U+0000 by U+FFFD, unless it is itself escaped.

Text of PostgreSQL cannot hold U+0000.
"""


COPY = r"COPY lines FROM STDIN WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"
"""Loads each line as it is: quote and delimiter are bytes that JSON does not contain."""


def statements(lake: Lake) -> tuple[Statement, ...]:
    """Return the statements to run once, and those that load the lines of one object."""
    schema = lake.database
    return (
        Statement("schema", "holds the table", f"CREATE SCHEMA IF NOT EXISTS {schema}"),
        Statement("events", "all events, each once", _table(schema)),
        Statement(
            "by_conversation",
            "for one conversation in order",
            _index(schema, "events_by_conversation", "conversation_id, event_time"),
        ),
        Statement("by_day", "for a span of days", _index(schema, "events_by_day", "dt, dialect")),
        *total_views(f"{schema}."),
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
            "insert the rows that are missing; set the partition of the object",
            _insert(schema),
            "load",
        ),
        Statement(
            "insert_conflicts",
            "then the rows whose id another line has, under derived ids; set the partition, too",
            _insert_conflicts(schema),
            "load",
        ),
    )


def _table(schema: str) -> str:
    columns = ",\n".join(
        f"  {c.name} {'date' if c.name == 'dt' else TYPES.type_of(c)}"
        f"{' NOT NULL' if c.name in {'dt', 'dialect'} else ''}"
        for c in ROW
    )
    return f"CREATE TABLE IF NOT EXISTS {schema}.events (\n{columns},\n  PRIMARY KEY (event_id)\n)"


def _index(schema: str, name: str, columns: str) -> str:
    return f"CREATE INDEX IF NOT EXISTS {name} ON {schema}.events ({columns})"


def _rows(schema: str) -> str:
    """Return the rows `r` that the lines are."""
    partitions = "jsonb_build_object('dt', 'YYYY-MM-DD', 'dialect', 'DIALECT')"
    return f"""FROM lines,
  jsonb_populate_record(
    NULL::{schema}.events,
    regexp_replace(line, {NUL})::jsonb || {partitions}
  ) AS r"""


def _insert_conflicts(schema: str) -> str:
    """Return the insert of lines that have the id of another one, by the same rules."""
    text = r"convert_to(r.event_id, 'UTF8') || '\x00'::bytea || convert_to(r.line_sha256, 'UTF8')"
    columns = wrap_list(
        f"left(encode(sha256({text}), 'hex'), 32)" if c.name == "event_id" else f"r.{c.name}"
        for c in ROW
    )
    return f"""INSERT INTO {schema}.events (
{column_names(ROW)}
)
SELECT
{columns}
{_rows(schema)}
  JOIN {schema}.events AS e ON e.event_id = r.event_id
    AND e.line_sha256 <> r.line_sha256 AND e.processed_by = r.processed_by
ON CONFLICT (event_id) DO NOTHING"""


def _insert(schema: str) -> str:
    return f"""INSERT INTO {schema}.events (
{column_names(ROW)}
)
SELECT
{column_names(ROW, prefix="r.")}
{_rows(schema)}
ON CONFLICT (event_id) DO NOTHING"""
