"""Statements and schemas over the canonical events, for each engine.

`athena`, `bigquery`, `duckdb`, `iceberg` and `spark` are over the objects of a `Lake`;
`duckdb_file`, `postgres` and `sqlite` are databases that hold the rows themselves. Each has
`statements(…)`. Nothing here runs a statement but `apply_statements` and `put_templates`, which
import an engine's client when they are called.
"""

from tracesidecar.ddl import (
    athena,
    bigquery,
    duckdb,
    duckdb_file,
    iceberg,
    postgres,
    spark,
    sqlite,
)
from tracesidecar.ddl.agent_traces import TURN_COLUMNS, turn_type, turns_table
from tracesidecar.ddl.apply import (
    ENGINES_TO_APPLY,
    apply_statements,
    list_clear_hosts,
    put_templates,
)
from tracesidecar.ddl.elasticsearch import Template, templates
from tracesidecar.ddl.json_schema import event_schema
from tracesidecar.ddl.lake_location import LAKE_ROOTS, Lake, LakeFormat
from tracesidecar.ddl.statement import ROW, Statement, Types, column_names, wrap_list

__all__ = [
    "ENGINES_TO_APPLY",
    "LAKE_ROOTS",
    "ROW",
    "TURN_COLUMNS",
    "Lake",
    "LakeFormat",
    "Statement",
    "Template",
    "Types",
    "apply_statements",
    "athena",
    "bigquery",
    "column_names",
    "duckdb",
    "duckdb_file",
    "event_schema",
    "iceberg",
    "list_clear_hosts",
    "postgres",
    "put_templates",
    "spark",
    "sqlite",
    "templates",
    "turn_type",
    "turns_table",
    "wrap_list",
]
