"""Athena: external tables over JSON and Parquet with partition projection, and the views."""

from __future__ import annotations

from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, Types, wrap_list
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import COLUMNS, PARTITIONS, Column, ColumnType

_NAMES: dict[ColumnType, str] = {
    "string": "string",
    "bigint": "bigint",
    "double": "double",
    "boolean": "boolean",
}
# The SerDe reads RFC 3339 as NULL if the column is a timestamp.
JSON_TYPES = Types(_NAMES, time="string")
PARQUET_TYPES = Types(_NAMES, time="timestamp")

_STORED: dict[LakeFormat, str] = {
    # Not the OpenX SerDe, which can lose rows according to AWS. This one fails a query at a line
    # that is not JSON, and the lake has none.
    "json": """ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'""",
    "parquet": "STORED AS PARQUET",
}


def statements(lake: Lake) -> tuple[Statement, ...]:
    """Return all statements for a lake, in the order in which to run them."""
    return (
        Statement("database", "holds the tables", f"CREATE DATABASE IF NOT EXISTS {lake.database}"),
        *(_table(lake, lake_format) for lake_format in lake.formats),
        Statement("events", "all events, of all formats", _events(lake)),
        *total_views(f"{lake.database}.", derive_id=derive_id),
    )


def derive_id(table: str) -> str:
    """Return the derived id of a row, see `distinct.py`."""
    text = f"{table}.event_id || chr(0) || {table}.line_sha256"
    return f"substr(lower(to_hex(sha256(to_utf8({text})))), 1, 32)"


def _table(lake: Lake, lake_format: LakeFormat) -> Statement:
    types = JSON_TYPES if lake_format == "json" else PARQUET_TYPES
    text = f"""CREATE EXTERNAL TABLE IF NOT EXISTS {lake.database}.events_{lake_format} (
{types.column_list(COLUMNS)}
)
PARTITIONED BY ({", ".join(f"{column.name} string" for column in PARTITIONS)})
{_STORED[lake_format]}
LOCATION '{lake.prefix(lake_format)}/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '{lake.first_day.isoformat()},NOW+1DAYS',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'projection.dialect.type' = 'enum',
  'projection.dialect.values' = '{",".join(lake.dialects)}',
  'storage.location.template' = '{lake.prefix(lake_format)}/dt=${{dt}}/dialect=${{dialect}}/'
)"""
    made = {
        "json": "as they are shipped",
        "parquet": "as a sink of format parquet or `compact` writes them",
    }[lake_format]
    return Statement(f"events_{lake_format}", f"the events {made}", text)


def _events(lake: Lake) -> str:
    parts = "\nUNION ALL\n".join(_select(lake, lake_format) for lake_format in lake.formats)
    return f"CREATE OR REPLACE VIEW {lake.database}.events AS\n{parts}"


def _select(lake: Lake, lake_format: LakeFormat) -> str:
    """Return the events of one format; times are timestamps of the precision that Glue can keep."""
    expressions = wrap_list(_expression(column, lake_format) for column in ROW)
    return f"SELECT\n{expressions}\nFROM {lake.database}.events_{lake_format}"


def _expression(column: Column, lake_format: LakeFormat) -> str:
    if column.is_time and lake_format == "json":
        return f"CAST(from_iso8601_timestamp({column.name}) AS timestamp) AS {column.name}"
    return column.name
