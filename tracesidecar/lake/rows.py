"""The events of an object of any format, as record batches of the current columns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import zstandard
from isal import igzip

from tracesidecar.dialects import SCHEMA_VERSION, Event
from tracesidecar.encode import (
    PARQUET_CHUNK_BYTES,
    PARQUET_CHUNK_ROWS,
    ColumnBuffer,
    compression_of,
    parquet_schema,
)
from tracesidecar.errors import TraceSidecarError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_FEWEST_ROWS = 16

_UNLIKE_EVENTS = (msgspec.DecodeError, RecursionError, OverflowError, KeyError, TypeError)
"""What reading rows raises that are none of ours: nested very deep, with numbers beyond 64 bits,
with columns that are missing, there twice, or of another type.
"""


class CannotRewrite(TraceSidecarError):
    """A partition does not match its manifests, or a newer program wrote it. It stays unchanged."""


def batches(path: str) -> Iterator[pa.RecordBatch]:
    """Yield the events of a file, a few MiB at a time.

    Raise CannotRewrite when the file has something that this program would lose.
    """
    import pyarrow as pa

    try:
        yield from _from_parquet(path) if path.endswith(".parquet") else _from_lines(path)
    except (pa.ArrowException, *_UNLIKE_EVENTS) as error:  # their messages may quote a row
        raise CannotRewrite(
            f"it cannot be read as events of this program ({type(error).__name__})"
        ) from None


def _from_lines(path: str) -> Iterator[pa.RecordBatch]:
    decode = msgspec.json.Decoder(Event).decode
    columns = ColumnBuffer()
    with _open(path) as lines:
        for line in lines:
            event = decode(line)
            _expect(event.schema_version)
            if (batch := columns.add(event)) is not None:
                yield batch
    if (batch := columns.flush()) is not None:
        yield batch


def _open(path: str) -> io.BufferedReader:
    compression = compression_of(path)
    if compression == "gzip":
        return io.BufferedReader(igzip.open(path, "rb"))  # type: ignore[no-untyped-call]
    if compression == "zstd":
        return io.BufferedReader(zstandard.open(path, "rb"))
    return open(path, "rb")


def _from_parquet(path: str) -> Iterator[pa.RecordBatch]:
    """Yield the events of a Parquet file.

    A column that an older program did not write is NULL; one that this program does not know would
    be lost.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = parquet_schema()
    with pq.ParquetFile(path, pre_buffer=False) as file:
        if set(file.schema_arrow.names) - set(wanted.names):
            raise _newer()
        for batch in file.iter_batches(batch_size=_choose_batch_rows(file.metadata)):
            _expect(pc.max(batch.column("schema_version")).as_py())
            arrays = [
                batch.column(field.name).cast(field.type)
                if field.name in batch.schema.names
                else pa.nulls(batch.num_rows, field.type)
                for field in wanted
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _choose_batch_rows(metadata: pq.FileMetaData) -> int:
    decoded = sum(
        int(metadata.row_group(at).total_byte_size) for at in range(metadata.num_row_groups)
    )
    return max(
        _FEWEST_ROWS,
        min(PARQUET_CHUNK_ROWS, PARQUET_CHUNK_BYTES * int(metadata.num_rows) // max(decoded, 1)),
    )


def _expect(version: int | None) -> None:
    if version is not None and version > SCHEMA_VERSION:
        raise _newer()


def _newer() -> CannotRewrite:
    return CannotRewrite(
        f"it has events of a schema later than {SCHEMA_VERSION}, "
        "which this program would lose in part: upgrade first"
    )
