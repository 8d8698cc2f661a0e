"""Many objects of one partition into few large Parquet files, each event once, by DuckDB within a memory limit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracesidecar.dialects.columns import COLUMNS, ColumnType
from tracesidecar.dialects.event import SCHEMA_VERSION
from tracesidecar.encode.parquet import ROW_GROUP_ROWS
from tracesidecar.errors import TraceSidecarError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TYPES: dict[ColumnType, str] = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"}
_TIME = "TIMESTAMP WITH TIME ZONE"
LARGEST_LINE_BYTES = 16 << 20
COMPRESSION_LEVEL = 9


class CannotRewrite(TraceSidecarError):
    """A partition is not what its manifests say, or was written by a newer program: nothing of it was changed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_bytes` bounds the rewrite, `file_bytes` is what a file aims at; a file is larger by at most one row group."""

    memory_bytes: int = 1 << 30
    file_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Files in the order of their rows, and how many rows there were and how many of them twice."""

    files: tuple[str, ...]
    rows: int
    duplicates: int


def rewrite(paths: Sequence[str], scratch: str, limits: Limits) -> Rewritten:
    """Write the events of all files into `scratch`, by conversation and time. An event that is there more than once stays as it came in last."""
    import duckdb

    settings = {"memory_limit": f"{limits.memory_bytes}B", "temp_directory": os.path.join(scratch, "spill"), "threads": "1"}
    try:
        with duckdb.connect(os.path.join(scratch, "events.duckdb"), config=settings) as database:  # type: ignore[arg-type]
            database.execute(f"CREATE TABLE events AS {_union(paths)}")
            rows, unique = _counted(database)
            folder = os.path.join(scratch, "out")
            database.execute(_copy(folder, limits, has_duplicates=unique < rows))
    except duckdb.Error as error:  # its message may quote a row
        raise CannotRewrite(f"DuckDB could not read or write it ({type(error).__name__})") from None
    files = sorted(os.listdir(folder), key=lambda name: int(name.partition("-")[2].partition(".")[0]))
    return Rewritten(tuple(os.path.join(folder, name) for name in files), rows, rows - unique)


def _counted(database: DuckDBPyConnection) -> tuple[int, int]:
    found = database.execute("SELECT count(*), count(DISTINCT event_id), count(event_id), max(schema_version) FROM events").fetchone() or (0, 0, 0, None)
    rows, unique, keyed, version = found
    if keyed < rows:
        raise CannotRewrite(f"{rows - keyed} of its rows have no event_id")
    if version is not None and version > SCHEMA_VERSION:
        raise CannotRewrite(f"it has events of schema version {version}, and this program knows {SCHEMA_VERSION}: upgrade first")
    return int(rows), int(unique)


def _union(paths: Sequence[str]) -> str:
    """By name, beside no row of every column: a file that was written before a column was added has NULL there."""
    shape = ", ".join(f"CAST(NULL AS {_TIME if column.is_time else _TYPES[column.type]}) AS {column.name}" for column in COLUMNS)
    parts = [f"SELECT {shape} WHERE false"]
    if lines := [path for path in paths if not path.endswith(".parquet")]:
        parts.append(_from_json(lines))
    if files := [path for path in paths if path.endswith(".parquet")]:
        parts.append(f"SELECT * FROM read_parquet({_listed(files)}, union_by_name = true, hive_partitioning = false)")
    return " UNION ALL BY NAME ".join(parts)


def _from_json(paths: Sequence[str]) -> str:
    columns = ", ".join(f"{column.name}: '{_TYPES[column.type]}'" for column in COLUMNS)
    times = ", ".join(f"CAST({column.name} AS {_TIME}) AS {column.name}" for column in COLUMNS if column.is_time)
    options = f"format = 'newline_delimited', maximum_object_size = {LARGEST_LINE_BYTES}, hive_partitioning = false, columns = {{{columns}}}"
    return f"SELECT * REPLACE ({times}) FROM read_json({_listed(paths)}, {options})"


def _copy(folder: str, limits: Limits, *, has_duplicates: bool) -> str:
    last = " QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY ingest_time DESC, source_file, source_offset) = 1" if has_duplicates else ""
    selected = f"SELECT {', '.join(column.name for column in COLUMNS)} FROM events{last}"
    order = "conversation_id, event_time, source_file, source_offset, event_id"
    form = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {COMPRESSION_LEVEL}, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
    return f"COPY ({selected} ORDER BY {order}) TO {_quoted(folder)} ({form}, FILE_SIZE_BYTES {limits.file_bytes}, FILENAME_PATTERN 'part-{{i}}')"


def _listed(paths: Sequence[str]) -> str:
    """A star in a name would be a pattern: none of ours has one, and a folder's is made a class of one."""
    return f"[{', '.join(_quoted(''.join(f'[{c}]' if c in '*?[' else c for c in path)) for path in paths)}]"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
