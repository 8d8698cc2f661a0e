"""DuckDB: views over the objects in the lake; nothing is copied."""

from __future__ import annotations

from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, wrap_list
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import COLUMNS, Column

_TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"}
LARGEST_LINE_BYTES = 16 << 20
"""The longest line that the view reads; a row has at most 1 MiB."""


def statements(lake: Lake) -> tuple[Statement, ...]:
    """Return all statements for a lake.

    Leave a format out of `lake.formats` if it has no object yet: DuckDB rejects a view over
    nothing.
    """
    return (
        *(
            Statement(
                f"events_{lake_format}",
                f"the events in {lake_format}",
                _view(lake, lake_format),
            )
            for lake_format in lake.formats
        ),
        Statement("events", "all events, of all formats", _events(lake)),
        *total_views("", derive_id=derive_id),
    )


def derive_id(table: str) -> str:
    """Return the derived id of a row, see `distinct.py`."""
    return f"substr(sha256({table}.event_id || chr(0) || {table}.line_sha256), 1, 32)"


def _view(lake: Lake, lake_format: LakeFormat) -> str:
    source = _json(lake) if lake_format == "json" else _parquet(lake)
    expressions = wrap_list(_expression(column, lake_format) for column in ROW)
    return f"CREATE OR REPLACE VIEW events_{lake_format} AS\nSELECT\n{expressions}\nFROM {source}"


def _expression(column: Column, lake_format: LakeFormat) -> str:
    """Return a column as the view has it.

    Times are in UTC without a zone: with a zone, they print in the zone of the reader.
    """
    if not column.is_time:
        return column.name
    return (
        f"CAST({column.name} AS TIMESTAMP) AS {column.name}"
        if lake_format == "json"
        else f"{column.name} AT TIME ZONE 'UTC' AS {column.name}"
    )


def _json(lake: Lake) -> str:
    columns = ",\n".join(f"    {column.name}: '{_TYPES[column.type]}'" for column in COLUMNS)
    return f"""read_json(
  '{lake.prefix("json")}/dt=*/dialect=*/*.jsonl*',
  format = 'newline_delimited',
  maximum_object_size = {LARGEST_LINE_BYTES},
  hive_partitioning = true,
  hive_types = {{dt: 'VARCHAR', dialect: 'VARCHAR'}},
  columns = {{
{columns}
  }}
)"""


def _parquet(lake: Lake) -> str:
    """Return the source, by name of column: a file from before a column was added reads as NULL."""
    return f"""read_parquet(
  '{lake.prefix("parquet")}/dt=*/dialect=*/*.parquet',
  union_by_name = true,
  hive_partitioning = true,
  hive_types = {{dt: 'VARCHAR', dialect: 'VARCHAR'}}
)"""


def _events(lake: Lake) -> str:
    parts = "\nUNION ALL BY NAME\n".join(
        f"SELECT * FROM events_{lake_format}" for lake_format in lake.formats
    )
    return f"CREATE OR REPLACE VIEW events AS\n{parts}"
