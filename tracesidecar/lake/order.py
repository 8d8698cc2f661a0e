"""Which rows of a partition to keep, and into which part of the sorted output each of them goes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from tracesidecar.lake.rows import CannotRewrite

if TYPE_CHECKING:
    import pyarrow as pa

KEY_BYTES = 256
"""The memory that a row takes here, including its sorting."""
DUPLICATE = -1
"""The part of a row that another row with the same event id replaces."""

_LONG = ("raw", "text", "tool_arguments", "tool_result", "error_message")
_SHORT_BYTES = 500
_SLICE_ROWS = 1 << 16


class Order:
    """The keys of all rows, in the order in which they were read.

    They stay in memory: more than `max_rows` raise CannotRewrite.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._keys: list[pa.Table] = []
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the keys of a batch."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.rows += batch.num_rows
        if self.rows > self._max_rows:
            raise CannotRewrite(
                f"it has more than {self._max_rows:,} rows, too many for this memory: "
                "allow more (--memory), or rewrite it with `ddl iceberg` or `ddl spark`"
            )
        if batch.column("event_id").null_count:
            raise CannotRewrite("it has rows without an event_id")
        size = pa.scalar(_SHORT_BYTES, pa.int64())
        for name in _LONG:
            size = pc.add(
                size,
                pc.coalesce(
                    pc.binary_length(batch.column(name)).cast(pa.int64()), pa.scalar(0, pa.int64())
                ),
            )
        keys = ("conversation_id", "event_time", "event_id", "ingest_time")
        self._keys.append(pa.table({**{name: batch.column(name) for name in keys}, "size": size}))

    def parts(self, part_bytes: int) -> tuple[array[int], int]:
        """Return the part of each row, DUPLICATE for repeats, and the number of parts.

        A part has about `part_bytes`; by conversation and time all of it comes before the next.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        found = array("i", [DUPLICATE]) * self.rows
        if not self.rows:
            return found, 0
        keys = pa.concat_tables(self._keys)
        self._keys.clear()
        kept = _last_of_each(keys.select(["event_id", "ingest_time"]))
        keys = keys.select(["conversation_id", "event_time", "size"]).take(kept)
        order = pc.sort_indices(
            keys, sort_keys=[("conversation_id", "ascending"), ("event_time", "ascending")]
        )
        ends = pc.cumulative_sum(keys.column("size").take(order))
        parts = pc.divide(pc.subtract(ends, 1), pa.scalar(part_bytes, pa.int64()))
        rows = kept.take(order)
        for start in range(0, len(rows), _SLICE_ROWS):
            for row, part in zip(
                rows.slice(start, _SLICE_ROWS).to_pylist(),
                parts.slice(start, _SLICE_ROWS).to_pylist(),
                strict=True,
            ):
                found[row] = part
        return found, int(parts[-1].as_py()) + 1


def _last_of_each(keys: pa.Table) -> pa.Array:
    """Return the rows to keep, in their order.

    For each event id the one with the latest `ingest_time`, the first of several.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.count_distinct(keys.column("event_id")).as_py() == keys.num_rows:
        return pa.array(range(keys.num_rows), pa.int64())
    order = pc.sort_indices(
        keys, sort_keys=[("event_id", "ascending"), ("ingest_time", "descending")]
    )
    ids = keys.column("event_id").take(order).combine_chunks()
    is_first = pa.concat_arrays(
        [pa.array([True]), pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))]
    )
    kept = order.filter(is_first)
    return kept.take(pc.sort_indices(kept)).cast(pa.int64())
