"""Spark: views over the objects in the lake, and the rewrite of a day at scale."""

from __future__ import annotations

from datetime import date

from tracesidecar.ddl.distinct import KEPT_ID, indent, select_distinct
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, Types, wrap_list
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import COLUMNS, PARTITIONS, Column, ColumnType

_NAMES: dict[ColumnType, str] = {
    "string": "STRING",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
}
_TYPES: dict[LakeFormat, Types] = {
    "json": Types(_NAMES, time="STRING"),
    "parquet": Types(_NAMES, time="TIMESTAMP"),
}


def statements(lake: Lake, day: date) -> tuple[Statement, ...]:
    """Return the statements that begin a session, and the rewrite of one day.

    Leave a format out of `lake.formats` if it has no object yet.
    """
    return (
        *(_view(lake, lake_format) for lake_format in lake.formats),
        Statement("events", "all events, of all formats", _events(lake)),
        *total_views("", create="CREATE OR REPLACE TEMPORARY VIEW", derive_id=derive_id),
        Statement(
            "rewrite",
            f"{day} in few files, each event once, beside the lake and not in its manifests",
            _rewrite(lake, day),
            "maintain",
        ),
    )


def derive_id(table: str) -> str:
    """Return the derived id of a row, see `distinct.py`."""
    text = f"concat({table}.event_id, char(0), {table}.line_sha256)"
    return f"substring(sha2({text}, 256), 1, 32)"


def _view(lake: Lake, lake_format: LakeFormat) -> Statement:
    text = f"""CREATE OR REPLACE TEMPORARY VIEW events_{lake_format} (
{_TYPES[lake_format].column_list((*COLUMNS, *PARTITIONS))}
)
USING {lake_format}
OPTIONS (path '{lake.prefix(lake_format)}')"""
    return Statement(f"events_{lake_format}", f"the events in {lake_format}", text)


def _expression(column: Column, lake_format: LakeFormat) -> str:
    return (
        f"CAST({column.name} AS TIMESTAMP) AS {column.name}"
        if column.is_time and lake_format == "json"
        else column.name
    )


def _events(lake: Lake) -> str:
    parts = (
        "SELECT\n"
        + wrap_list(_expression(column, lake_format) for column in ROW)
        + f"\nFROM events_{lake_format}"
        for lake_format in lake.formats
    )
    return "CREATE OR REPLACE TEMPORARY VIEW events AS\n" + "\nUNION ALL\n".join(parts)


def _rewrite(lake: Lake, day: date) -> str:
    columns = wrap_list(
        f"{KEPT_ID} AS event_id" if column.name == "event_id" else column.name
        for column in ROW
        if column.name != "dt"
    )
    return f"""CREATE TABLE events_rewritten_{day:%Y%m%d}
USING parquet
OPTIONS (compression 'zstd')
PARTITIONED BY (dialect)
LOCATION '{lake.location.rstrip("/")}/rewritten/v1/dt={day}'
AS SELECT /*+ REPARTITION(dialect) */
{columns}
FROM (
{indent(select_distinct("events", derive_id, f"e.dt = '{day}'"), 2)}
) AS rewritten
SORT BY dialect, conversation_id, event_time"""
