"""Which rows of a partition to keep, and into which part of the sorted output each of them goes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracesidecar.lake.repeats import resolve_repeats
from tracesidecar.lake.rows import CannotRewrite

if TYPE_CHECKING:
    import pyarrow as pa

KEY_BYTES = 384
"""The memory that a row takes here, including its sorting."""
DUPLICATE = -1
"""The part of a row of which another one with the same event and line stays."""

_LONG = ("raw", "text", "tool_arguments", "tool_result", "error_message")
_SHORT_BYTES = 500
_SLICE_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Division:
    """Where each row goes.

    `parts` has the part of each row, DUPLICATE for repeats, and `count` is the number of parts.
    `derived` has the new event ids of rows whose own another line keeps.
    """

    parts: array[int]
    count: int
    derived: dict[int, str] = field(default_factory=dict)


class Order:
    """The keys of all rows, in the order in which they were read.

    They stay in memory: more than `max_rows` raise CannotRewrite.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._keys: list[pa.Table] = []
        self._files = _Codes()
        self._programs = _Codes()
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the keys of a batch."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.rows += batch.num_rows
        self._require_memory(self.rows + len(self._files))
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
        self._keys.append(
            pa.table(
                {
                    **{name: batch.column(name) for name in keys},
                    "line": pc.fill_null(batch.column("line_sha256"), ""),
                    "program": self._programs.encode(batch.column("processed_by")),
                    "file": self._files.encode(batch.column("source_file")),
                    "offset": pc.fill_null(batch.column("source_offset"), -1),
                    "size": size,
                }
            )
        )

    def divide(self, part_bytes: int) -> Division:
        """Return where each row goes.

        A part has about `part_bytes`; by conversation and time all of it comes before the next.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        found = array("i", [DUPLICATE]) * self.rows
        if not self.rows:
            return Division(found, 0)
        keys = pa.concat_tables(self._keys)
        self._keys.clear()
        keys = keys.set_column(
            keys.schema.get_field_index("file"), "file", self._files.rank(keys.column("file"))
        )
        kept, derived = resolve_repeats(
            keys,
            self._programs.code_of(""),
            # a conflict is also in some lists and sets, which take as much as three rows
            lambda conflicts: self._require_memory(self.rows + 3 * conflicts),
        )
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
        return Division(found, int(parts[-1].as_py()) + 1, derived)

    def _require_memory(self, rows: int) -> None:
        if rows > self._max_rows:
            raise CannotRewrite(
                f"it has more than {self._max_rows:,} rows, too many for this memory: "
                "allow more (--memory), or rewrite it with `ddl iceberg` or `ddl spark`"
            )


class _Codes:
    """Numbers in place of texts that come again and again; no text is the empty one."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, column: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = pc.fill_null(column, "").dictionary_encode()
        codes = [self.code_of(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(codes, pa.int32()).take(encoded.indices)

    def code_of(self, text: str) -> int:
        return self._codes.setdefault(text, len(self._codes))

    def rank(self, codes: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return numbers that are ordered as the texts are."""
        import pyarrow as pa

        ranks = array("i", [0]) * len(self._codes)
        for rank, text in enumerate(sorted(self._codes)):
            ranks[self._codes[text]] = rank
        return pa.chunked_array([pa.array(ranks, pa.int32()).take(codes.combine_chunks())])
