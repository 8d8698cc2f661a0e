"""BigQuery: a native table that is loaded day by day, and an external table over Parquet."""

from __future__ import annotations

from datetime import date

from tracesidecar.ddl.distinct import merge
from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, Types
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import COLUMNS

TYPES = Types(
    {"string": "STRING", "bigint": "INT64", "double": "FLOAT64", "boolean": "BOOL"},
    time="TIMESTAMP",
)

_FORMATS: dict[LakeFormat, str] = {"json": "NEWLINE_DELIMITED_JSON", "parquet": "PARQUET"}


def statements(lake: Lake, day: date) -> tuple[Statement, ...]:
    """Return the statements to run once, and those for a day.

    If the lake is not in Cloud Storage, a placeholder takes the place of the bucket.
    """
    dataset = f"{lake.project}.{lake.database}"
    loaded: LakeFormat = "json" if "json" in lake.formats else "parquet"
    return (
        Statement(
            "dataset",
            "holds the tables; it must be in the location of the bucket",
            f"CREATE SCHEMA IF NOT EXISTS `{dataset}`",
        ),
        Statement("events", "the table to query: what is loaded, each event once", _table(dataset)),
        *total_views(f"{_quote(dataset)}.", derive_id=derive_id),
        Statement(
            "load",
            f"the objects of {day} into a staging table, which is replaced each time",
            _load(lake, dataset, loaded, day),
            "load",
        ),
        Statement(
            "merge",
            "insert the rows that are missing; it may be run again",
            _merge(dataset, day),
            "load",
        ),
        *(
            (
                Statement(
                    "events_parquet", "or query the objects in place", _external(lake, dataset)
                ),
            )
            if "parquet" in lake.formats
            else ()
        ),
    )


def derive_id(table: str) -> str:
    """Return the derived id of a row, see `distinct.py`."""
    text = f"CONCAT({table}.event_id, CODE_POINTS_TO_STRING([0]), {table}.line_sha256)"
    return f"SUBSTR(TO_HEX(SHA256({text})), 1, 32)"


def _quote(dataset: str) -> str:
    return ".".join(f"`{part}`" for part in dataset.split("."))


def _table(dataset: str) -> str:
    required = {"event_id", "dt", "dialect"}
    columns = ",\n".join(
        f"  {c.name} {'DATE' if c.name == 'dt' else TYPES.type_of(c)}"
        f"{' NOT NULL' if c.name in required else ''}"
        for c in ROW
    )
    return f"""CREATE TABLE IF NOT EXISTS `{dataset}.events` (
{columns}
)
PARTITION BY dt
CLUSTER BY dialect, conversation_id, event_kind"""


def _load(lake: Lake, dataset: str, lake_format: LakeFormat, day: date) -> str:
    """Return the statement that loads a day.

    The schema is explicit: autodetection looks at samples, and a column that they lack breaks a
    later load.
    """
    prefix = _prefix(lake, lake_format)
    lenient = "\n  ignore_unknown_values = TRUE," if lake_format == "json" else ""
    return f"""LOAD DATA OVERWRITE `{dataset}.events_stage` (
{TYPES.column_list(COLUMNS)}
)
FROM FILES (
  format = '{_FORMATS[lake_format]}',{lenient}
  uris = ['{prefix}/dt={day}/*'],
  hive_partition_uri_prefix = '{prefix}'
)
WITH PARTITION COLUMNS (dt DATE, dialect STRING)"""


def _merge(dataset: str, day: date) -> str:
    return merge(
        f"`{dataset}.events`",
        f"`{dataset}.events_stage`",
        derive_id,
        f"e.dt = DATE '{day}'",
        same_partition=f"t.dt = s.dt AND t.dt = DATE '{day}'",
    )


def _external(lake: Lake, dataset: str) -> str:
    return f"""CREATE OR REPLACE EXTERNAL TABLE `{dataset}.events_parquet` (
{TYPES.column_list(COLUMNS)}
)
WITH PARTITION COLUMNS (dt DATE, dialect STRING)
OPTIONS (
  format = 'PARQUET',
  uris = ['{_prefix(lake, "parquet")}/*'],
  hive_partition_uri_prefix = '{_prefix(lake, "parquet")}',
  require_hive_partition_filter = TRUE
)"""


def _prefix(lake: Lake, lake_format: LakeFormat) -> str:
    return (
        lake.prefix(lake_format)
        if lake.location.startswith("gs://")
        else f"gs://BUCKET/{lake.prefix(lake_format).removeprefix(lake.location.rstrip('/') + '/')}"
    )
