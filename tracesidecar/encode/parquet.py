"""Events into the bytes of one Parquet file, sorted by conversation and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from tracesidecar.dialects import COLUMNS, Column, Event

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 16
"""Rows of a row group: its statistics let a reader skip it, and fewer rows would cost more than
they save.
"""

CHUNK_ROWS = 4096
CHUNK_BYTES = 4 << 20
"""When buffered rows become columns, whichever is reached first: until then they are Python
objects, which take several times the room.
"""

COMPRESSION_LEVEL = 1
"""Of zstd: 3 makes a tenth less and costs half as much again; a compaction compresses harder."""

_OBJECT_BYTES = 2048
"""What a buffered row takes beside its long texts."""
_OUTPUT_SHARE = 2.5
"""What is held while a file is finished, for each byte of columns: them, one row group sorted, and
the file.
"""

_UNREPEATED = frozenset(
    (
        "event_id",
        "native_id",
        "parent_id",
        "api_call_id",
        "tool_call_id",
        "event_time",
        "text",
        "tool_arguments",
        "tool_result",
        "line_sha256",
        "raw",
    )
)
"""Columns whose values hardly repeat: a dictionary of them would only be thrown away again."""
_UNCOMPARED = frozenset(
    (
        "text",
        "tool_arguments",
        "tool_result",
        "error_message",
        "raw",
        "labels",
        "redaction_kinds",
        "line_sha256",
    )
)
"""Columns by whose smallest and largest value no reader skips anything."""


def schema() -> pa.Schema:
    """The columns of a file; `dt` and `dialect` are not among them."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(column.name, _type(column), metadata={"doc": column.doc}) for column in COLUMNS]
    )


class Columns:
    """Events in, record batches out, in the order of the events."""

    def __init__(self) -> None:
        self._schema = schema()
        self._rows: list[tuple[object, ...]] = []
        self.held_bytes = 0

    def add(self, event: Event) -> pa.RecordBatch | None:
        """Take one event; return a batch when there are enough."""
        self._rows.append(astuple(event))
        self.held_bytes += (
            _OBJECT_BYTES
            + len(event.raw or "")
            + len(event.text or "")
            + len(event.tool_arguments or "")
            + len(event.tool_result or "")
        )
        if (
            len(self._rows) >= CHUNK_ROWS
            or self.held_bytes >= CHUNK_BYTES + CHUNK_ROWS * _OBJECT_BYTES
        ):
            return self.flush()
        return None

    def flush(self) -> pa.RecordBatch | None:
        """Return what was taken since the last batch, None where that is nothing."""
        import pyarrow as pa

        if not self._rows:
            return None
        arrays = [
            _array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._rows.clear()
        self.held_bytes = 0
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class ParquetEncoder:
    """Events in, one Parquet file out; deterministic for the same events in the same order, and the
    same version of pyarrow.
    """

    def __init__(self) -> None:
        self._columns = Columns()
        self._batches: list[pa.RecordBatch] = []
        self._batches_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Estimate the memory that it takes now and will take while it finishes."""
        return self._columns.held_bytes + int(self._batches_bytes * _OUTPUT_SHARE)

    def add(self, event: Event) -> None:
        """Take one event."""
        if (batch := self._columns.add(event)) is not None:
            self._keep(batch)

    def finish(self) -> bytes:
        """Sort, write, and return the file; the encoder is spent."""
        import pyarrow as pa

        if (batch := self._columns.flush()) is not None:
            self._keep(batch)
        table = pa.Table.from_batches(self._batches, schema())
        self._batches, self._batches_bytes = [], 0
        output = pa.BufferOutputStream()
        with writer(output, COMPRESSION_LEVEL) as file:
            write_sorted(file, table)
        return bytes(output.getvalue())

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._batches_bytes += int(batch.nbytes)


def writer(output: object, compression_level: int) -> pq.ParquetWriter:
    """Begin a file of events at a path or in a stream of pyarrow."""
    import pyarrow.parquet as pq

    names = [column.name for column in COLUMNS]
    return pq.ParquetWriter(
        output,
        schema(),
        compression="zstd",
        compression_level=compression_level,
        use_dictionary=[name for name in names if name not in _UNREPEATED],
        write_statistics=[name for name in names if name not in _UNCOMPARED],
    )


def write_sorted(file: pq.ParquetWriter, table: pa.Table) -> None:
    """Write rows by conversation and time, equal ones as they come; a row group at a time, so that
    never the whole table is there twice.
    """
    import pyarrow.compute as pc

    order = pc.sort_indices(
        table, sort_keys=[("conversation_id", "ascending"), ("event_time", "ascending")]
    )
    for start in range(0, len(order), ROW_GROUP_ROWS):
        group = table.take(order.slice(start, ROW_GROUP_ROWS)).combine_chunks()
        file.write_table(group, row_group_size=ROW_GROUP_ROWS)


def _type(column: Column) -> pa.DataType:
    import pyarrow as pa

    if column.is_time:
        return pa.timestamp("us", tz="UTC")
    return {
        "string": pa.string(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
    }[column.type]


def _array(values: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)
