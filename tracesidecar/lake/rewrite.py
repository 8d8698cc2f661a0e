"""Rewrite the objects of one partition to few large Parquet files, each event once.

It keeps a memory limit: what does not fit waits on disk.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracesidecar.encode import open_parquet_writer, parquet_schema, write_sorted
from tracesidecar.lake.order import DUPLICATE, KEY_BYTES, Division, Order
from tracesidecar.lake.rows import batches

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION_LEVEL = 6
MIN_MEMORY_BYTES = 128 << 20

_PART_SHARE = 8
"""The share of the memory for one part, which is in memory as read, as sorted and as compressed."""


@dataclass(frozen=True, slots=True)
class RewriteLimits:
    """How much a rewrite may use.

    `memory_bytes` is what it may use beside the program itself, `file_bytes` the target size of a
    file.
    """

    memory_bytes: int = 1 << 30
    file_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Paths in the order of their rows, the number of rows read, and how many were duplicates.

    `conflicts` counts those that got a derived id, because another line has theirs.
    """

    files: tuple[str, ...]
    rows: int
    duplicates: int
    conflicts: int


def rewrite(paths: Sequence[str], scratch: str, limits: RewriteLimits) -> Rewritten:
    """Write the events of all files into the folder `scratch`, sorted by conversation and time.

    `repeats.py` says which rows of an event are kept. The folder needs room for the partition
    twice, lightly compressed. The same input gives the same files. Raise CannotRewrite.
    """
    spilled = os.path.join(scratch, "rows.arrow")
    order = Order(limits.memory_bytes // KEY_BYTES)
    with _spill(spilled) as rows:
        for path in paths:
            for batch in batches(path):
                order.add(batch)
                rows.write_batch(batch)
    division = order.divide(limits.memory_bytes // _PART_SHARE)
    _divide(spilled, division, scratch)
    os.unlink(spilled)
    return Rewritten(
        tuple(_files(scratch, division.count, limits.file_bytes)),
        order.rows,
        division.parts.count(DUPLICATE),
        len(division.derived),
    )


def _spill(path: str) -> pa.ipc.RecordBatchFileWriter:
    import pyarrow as pa

    return pa.ipc.new_file(
        path, parquet_schema(), options=pa.ipc.IpcWriteOptions(compression="lz4")
    )


def _read(path: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.OSFile(path) as file, pa.ipc.open_file(file) as reader:
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


def _part(scratch: str, part: int) -> str:
    return os.path.join(scratch, f"part-{part:06d}.arrow")


def _divide(spilled: str, division: Division, scratch: str) -> None:
    """Write each row to the file of its part, in the order in which it was read."""
    import pyarrow as pa

    with ExitStack() as opened:
        files: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        first = 0
        for batch in _read(spilled):
            rows: dict[int, list[int]] = defaultdict(list)
            for row, part in enumerate(division.parts[first : first + batch.num_rows]):
                rows[part].append(row)
            rows.pop(DUPLICATE, None)
            named = _rename(batch, first, division.derived)
            for part, chosen in rows.items():
                if part not in files:
                    files[part] = opened.enter_context(_spill(_part(scratch, part)))
                files[part].write_batch(named.take(pa.array(chosen)))
            first += batch.num_rows


def _rename(batch: pa.RecordBatch, first: int, derived: dict[int, str]) -> pa.RecordBatch:
    """Return a batch whose first row is row `first`, with the derived event ids."""
    import pyarrow as pa

    new = {row: derived[first + row] for row in range(batch.num_rows) if first + row in derived}
    if not new:
        return batch
    at = batch.schema.get_field_index("event_id")
    ids = [new.get(row, id_) for row, id_ in enumerate(batch.column(at).to_pylist())]
    arrays = batch.columns
    arrays[at] = pa.array(ids, batch.schema.field(at).type)
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _files(scratch: str, parts: int, file_bytes: int) -> Iterator[str]:
    """Write part after part; start a new file once one has reached its size."""
    import pyarrow as pa

    part = 0
    for number in range(parts):
        if part == parts:
            return
        path = os.path.join(scratch, f"out-{number:05d}.parquet")
        with open_parquet_writer(path, COMPRESSION_LEVEL) as file:
            while part < parts and os.path.getsize(path) < file_bytes:
                if os.path.exists(_part(scratch, part)):
                    write_sorted(
                        file, pa.Table.from_batches(_read(_part(scratch, part)), parquet_schema())
                    )
                    os.unlink(_part(scratch, part))
                part += 1
        yield path
