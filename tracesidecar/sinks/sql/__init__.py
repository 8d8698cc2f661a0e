"""The SQL destination: rows in PostgreSQL, SQLite or DuckDB."""

from tracesidecar.sinks.sql.options import Options
from tracesidecar.sinks.sql.sink import SINK_TYPE, build

__all__ = ["SINK_TYPE", "Options", "build"]
