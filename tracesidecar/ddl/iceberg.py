"""Apache Iceberg through Athena: a table that takes in each day once, and its maintenance."""

from __future__ import annotations

from datetime import date

from tracesidecar.ddl.athena import PARQUET_TYPES
from tracesidecar.ddl.lake_location import Lake
from tracesidecar.ddl.statement import ROW, Statement, column_names
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import PARTITIONS

TABLE = "events_iceberg"


def statements(lake: Lake, day: date) -> tuple[Statement, ...]:
    """Return the statements to run once, those for a day, and those for now and then.

    The table is filled from the Athena tables of the same lake.
    """
    return (
        Statement(
            "events_iceberg",
            "the table; the day is a column, so that a query needs no partition transform",
            _table(lake),
        ),
        Statement(
            "merge",
            f"insert the rows of {day} that are missing; it may be run again",
            _merge(lake, day),
            "load",
        ),
        Statement(
            "optimize",
            "rewrite small files as large ones",
            f"OPTIMIZE {lake.database}.{TABLE} REWRITE DATA USING BIN_PACK WHERE dt = '{day}'",
            "maintain",
        ),
        Statement(
            "vacuum",
            "remove files that no snapshot needs",
            f"VACUUM {lake.database}.{TABLE}",
            "maintain",
        ),
        *total_views(f"{lake.database}.", events=TABLE, view_prefix="iceberg_"),
    )


def _table(lake: Lake) -> str:
    return f"""CREATE TABLE IF NOT EXISTS {lake.database}.{TABLE} (
{PARQUET_TYPES.column_list(ROW)}
)
PARTITIONED BY ({", ".join(column.name for column in PARTITIONS)})
LOCATION '{lake.location.rstrip("/")}/iceberg/v1/'
TBLPROPERTIES (
  'table_type' = 'ICEBERG',
  'format' = 'parquet',
  'write_compression' = 'zstd',
  'optimize_rewrite_data_file_threshold' = '5',
  'vacuum_max_snapshot_age_seconds' = '432000'
)"""


def _merge(lake: Lake, day: date) -> str:
    latest = "PARTITION BY e.event_id ORDER BY e.ingest_time DESC, e.source_file, e.source_offset"
    return f"""MERGE INTO {lake.database}.{TABLE} AS t
USING (
  SELECT *
  FROM (
    SELECT e.*, ROW_NUMBER() OVER ({latest}) AS place
    FROM {lake.database}.events AS e
    WHERE e.dt = '{day}'
  ) AS numbered
  WHERE place = 1
) AS s
ON t.dt = s.dt AND t.dialect = s.dialect AND t.event_id = s.event_id AND t.dt = '{day}'
WHEN NOT MATCHED THEN INSERT (
{column_names(ROW)}
) VALUES (
{column_names(ROW, prefix="s.")}
)"""
