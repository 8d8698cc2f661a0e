"""Apache Iceberg through Athena: a table that takes in each day once, and its maintenance."""

from __future__ import annotations

from datetime import date

from tracesidecar.ddl.athena import PARQUET_TYPES, derive_id
from tracesidecar.ddl.distinct import merge
from tracesidecar.ddl.lake_location import Lake
from tracesidecar.ddl.statement import ROW, Statement
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
        *total_views(
            f"{lake.database}.", events=TABLE, view_prefix="iceberg_", derive_id=derive_id
        ),
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
    return merge(
        f"{lake.database}.{TABLE}",
        f"{lake.database}.events",
        derive_id,
        f"e.dt = '{day}'",
        same_partition=f"t.dt = s.dt AND t.dialect = s.dialect AND t.dt = '{day}'",
    )
