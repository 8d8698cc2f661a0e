"""BigQuery: a native table that is loaded day by day, and an external one over Parquet."""

from __future__ import annotations

from datetime import date

from tracesidecar.ddl.lake_location import Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, Types, names
from tracesidecar.ddl.views import totals
from tracesidecar.dialects import COLUMNS

TYPES = Types(
    {"string": "STRING", "bigint": "INT64", "double": "FLOAT64", "boolean": "BOOL"},
    time="TIMESTAMP",
)

_FORMATS: dict[LakeFormat, str] = {"json": "NEWLINE_DELIMITED_JSON", "parquet": "PARQUET"}


def statements(lake: Lake, day: date) -> tuple[Statement, ...]:
    """What is to be run once, and what for a day.

    Where the lake is not in Cloud Storage, a placeholder stands for its bucket.
    """
    dataset = f"{lake.project}.{lake.database}"
    loaded: LakeFormat = "json" if "json" in lake.formats else "parquet"
    return (
        Statement(
            "dataset",
            "where the tables are; it must be in the bucket's location",
            f"CREATE SCHEMA IF NOT EXISTS `{dataset}`",
        ),
        Statement("events", "the table to ask: what is loaded, each event once", _table(dataset)),
        *totals(f"{_quoted(dataset)}."),
        Statement(
            "load",
            f"what lies under {day}, into a table of its own (replaced each time)",
            _load(lake, dataset, loaded, day),
            "load",
        ),
        Statement(
            "merge",
            "take in what is not there yet; it may be run again",
            _merge(dataset, day),
            "load",
        ),
        *(
            (
                Statement(
                    "events_parquet", "or ask the objects where they lie", _external(lake, dataset)
                ),
            )
            if "parquet" in lake.formats
            else ()
        ),
    )


def _quoted(dataset: str) -> str:
    return ".".join(f"`{part}`" for part in dataset.split("."))


def _table(dataset: str) -> str:
    required = {"event_id", "dt", "dialect"}
    columns = ",\n".join(
        f"  {c.name} {'DATE' if c.name == 'dt' else TYPES.of(c)}{' NOT NULL' if c.name in required else ''}"
        for c in ROW
    )
    return f"""CREATE TABLE IF NOT EXISTS `{dataset}.events` (
{columns}
)
PARTITION BY dt
CLUSTER BY dialect, conversation_id, event_kind"""


def _load(lake: Lake, dataset: str, lake_format: LakeFormat, day: date) -> str:
    """The schema is given: autodetection looks at samples, and a column that they lack breaks a
    later load.
    """
    prefix = _prefix(lake, lake_format)
    lenient = "\n  ignore_unknown_values = TRUE," if lake_format == "json" else ""
    return f"""LOAD DATA OVERWRITE `{dataset}.events_stage` (
{TYPES.listed(COLUMNS)}
)
FROM FILES (
  format = '{_FORMATS[lake_format]}',{lenient}
  uris = ['{prefix}/dt={day}/*'],
  hive_partition_uri_prefix = '{prefix}'
)
WITH PARTITION COLUMNS (dt DATE, dialect STRING)"""


def _merge(dataset: str, day: date) -> str:
    return f"""MERGE INTO `{dataset}.events` AS t
USING (
  SELECT *
  FROM `{dataset}.events_stage`
  WHERE dt = DATE '{day}'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY ingest_time DESC, source_file, source_offset) = 1
) AS s
ON t.event_id = s.event_id AND t.dt = s.dt AND t.dt = DATE '{day}'
WHEN NOT MATCHED THEN INSERT (
{names(ROW)}
) VALUES (
{names(ROW, prefix="s.")}
)"""


def _external(lake: Lake, dataset: str) -> str:
    return f"""CREATE OR REPLACE EXTERNAL TABLE `{dataset}.events_parquet` (
{TYPES.listed(COLUMNS)}
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
