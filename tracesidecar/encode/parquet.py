"""Parquet files of events, sorted by conversation and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import astuple

from tracesidecar.dialects import COLUMNS, Column, Event
from tracesidecar.encode.displaced import DISPLACED
from tracesidecar.encode.rejection import RejectedEvent, reject_event

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 16
"""Rows of a row group, which readers skip by its statistics: smaller groups would cost more than
they save.
"""

PARQUET_CHUNK_ROWS = 4096
PARQUET_CHUNK_BYTES = 4 << 20
"""When buffered rows become columns, at whichever is reached first: until then they are Python
objects, which take several times the memory.
"""

COMPRESSION_LEVEL = 1
"""The level of zstd: 3 saves a tenth of the size and costs half as much time again.

A compaction compresses harder.
"""

_OBJECT_BYTES = 2048
"""The memory that a buffered row takes in addition to its long texts."""
_OUTPUT_SHARE = 2.5
"""The memory while a file is finished, for each byte of columns: the columns, one sorted row group,
and the file.
"""

_WITHOUT_DICTIONARY = frozenset(
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
"""Columns whose values hardly repeat: the writer would build a dictionary and discard it."""
_WITHOUT_STATISTICS = frozenset(
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
"""Columns without statistics: no query skips row groups by their smallest and largest value."""


def parquet_schema() -> pa.Schema:
    """Return the columns of a file; `dt` and `dialect` are in its path instead."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(column.name, _type(column), metadata={"doc": column.doc}) for column in COLUMNS]
    )


class ColumnBuffer:
    """Turns events into record batches, in the order of the events."""

    def __init__(self) -> None:
        self._schema = parquet_schema()
        self._rows: list[tuple[object, ...]] = []
        self.held_bytes = 0

    def add(self, event: Event) -> pa.RecordBatch | None:
        """Add an event; return a batch if there are enough events for one."""
        self._rows.append(astuple(event))
        self.held_bytes += (
            _OBJECT_BYTES
            + len(event.raw or "")
            + len(event.text or "")
            + len(event.tool_arguments or "")
            + len(event.tool_result or "")
        )
        if (
            len(self._rows) >= PARQUET_CHUNK_ROWS
            or self.held_bytes >= PARQUET_CHUNK_BYTES + PARQUET_CHUNK_ROWS * _OBJECT_BYTES
        ):
            return self.flush()
        return None

    def flush(self) -> pa.RecordBatch | None:
        """Return the events since the last batch as a batch, None if there are none."""
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
    """Makes one Parquet file of events.

    The same events in the same order give the same bytes with the same version of pyarrow.
    """

    def __init__(self, *, is_careful: bool = False) -> None:
        """`is_careful`: look at once for events that cannot be columns, which costs as much again.

        Otherwise one of them is an error of `add` or `finish`, some time later.
        """
        self._columns = ColumnBuffer()
        self._is_careful = is_careful
        self.records = 0
        self._batches: list[pa.RecordBatch] = []
        self._batches_bytes = 0

    @property
    def size_bytes(self) -> int:
        """The size of the rows before they are encoded."""
        return self._columns.held_bytes + self._batches_bytes

    @property
    def held_bytes(self) -> int:
        """An estimate of the memory that it takes now and will take in `finish`."""
        return self._columns.held_bytes + int(self._batches_bytes * _OUTPUT_SHARE)

    def add(self, events: Sequence[Event], _dialect: str) -> list[RejectedEvent]:
        """Add events of a dialect; return those that become no row. A file has no limit."""
        rejected = _find_rejected(events) if self._is_careful else []
        if rejected:
            left_out = {id(each.event) for each in rejected}
            events = [event for event in events if id(event) not in left_out]
        for event in events:
            batch = self._columns.add(event)
            if batch is not None:
                self._keep(batch)
        self.records += len(events)
        return rejected

    def move_to(self, other: ParquetEncoder) -> None:
        """Add all rows to another file, marked as displaced; this one cannot be used again."""
        if (batch := self._columns.flush()) is not None:
            self._keep(batch)
        other.take(map(_mark_displaced, self._batches), self.records)
        self._batches, self._batches_bytes = [], 0

    def take(self, batches: Iterable[pa.RecordBatch], records: int) -> None:
        """Add rows that are columns already, after those that were added before."""
        if (batch := self._columns.flush()) is not None:
            self._keep(batch)
        for batch in batches:
            self._keep(batch)
        self.records += records

    def finish(self) -> bytes:
        """Return the sorted file; the encoder cannot be used again."""
        import pyarrow as pa

        if (batch := self._columns.flush()) is not None:
            self._keep(batch)
        table = pa.Table.from_batches(self._batches, parquet_schema())
        self._batches, self._batches_bytes = [], 0
        output = pa.BufferOutputStream()
        with open_parquet_writer(output, COMPRESSION_LEVEL) as file:
            write_sorted(file, table)
        return bytes(output.getvalue())

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._batches_bytes += int(batch.nbytes)


def _find_rejected(events: Sequence[Event]) -> list[RejectedEvent]:
    """Return the events that cannot be columns: by halves, as long as a half has one."""
    columns = ColumnBuffer()
    try:
        for event in events:
            columns.add(event)
        columns.flush()
    except Exception as error:  # noqa: BLE001 - a bug in one row stays in it
        if len(events) == 1:
            return [reject_event(events[0], error)]
        middle = len(events) // 2
        return _find_rejected(events[:middle]) + _find_rejected(events[middle:])
    return []


def _mark_displaced(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    at = batch.schema.get_field_index("event_time_source")
    field = batch.schema.field(at)
    return batch.set_column(at, field, pa.array([DISPLACED] * batch.num_rows, field.type))


def open_parquet_writer(output: object, compression_level: int) -> pq.ParquetWriter:
    """Return a writer for a file of events, at a path or in a stream of pyarrow."""
    import pyarrow.parquet as pq

    names = [column.name for column in COLUMNS]
    return pq.ParquetWriter(
        output,
        parquet_schema(),
        compression="zstd",
        compression_level=compression_level,
        use_dictionary=[name for name in names if name not in _WITHOUT_DICTIONARY],
        write_statistics=[name for name in names if name not in _WITHOUT_STATISTICS],
    )


def write_sorted(file: pq.ParquetWriter, table: pa.Table) -> None:
    """Write the rows by conversation and time; equal ones stay in their order.

    One row group is written at a time, so that the table is never in memory twice.
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
    if pa.types.is_floating(kind):  # a whole number beyond 2^53 would be an error
        values = tuple(float(each) if isinstance(each, int) else each for each in values)
    return pa.array(values, kind)
