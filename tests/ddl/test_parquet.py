"""Parquet files are sorted, deterministic, bounded in memory, and have the types of the engines."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ddl.lakes import event, rows
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.encode import parquet
from tracesidecar.encode.parquet import ParquetEncoder


def encode(events: list[Event]) -> bytes:
    encoder = ParquetEncoder()
    for one in events:
        encoder.add([one], "")
    return encoder.finish()


def test_times_are_instants_in_microseconds_and_all_else_is_as_in_the_schema() -> None:
    found = pq.read_schema(io.BytesIO(encode([one for _, one in rows()])))
    assert found.names == [column.name for column in COLUMNS]
    assert {found.field(column.name).type for column in COLUMNS if column.is_time} == {
        pa.timestamp("us", tz="UTC")
    }
    assert (
        found.field("input_tokens").type,
        found.field("cost_usd").type,
        found.field("truncated").type,
    ) == (pa.int64(), pa.float64(), pa.bool_())


def test_rows_are_sorted_by_conversation_then_time_then_the_order_of_their_lines() -> None:
    times = (
        "2026-09-01T00:00:02.000000Z",
        "2026-09-01T00:00:01.000000Z",
        "2026-09-01T00:00:02.000000Z",
    )
    events = [event(n, conversation_id=f"c{n % 2}", event_time=times[n % 3]) for n in range(12)]
    table = pq.read_table(io.BytesIO(encode(events)))
    expected = sorted(events, key=lambda one: (one.conversation_id, one.event_time))
    assert table.column("event_id").to_pylist() == [one.event_id for one in expected]


def test_equal_events_give_equal_bytes() -> None:
    events = [one for _, one in rows()]
    assert encode(events) == encode(events)


def test_compression_is_zstd_and_a_row_group_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(n, raw=None) for n in range(parquet.PARQUET_CHUNK_ROWS * 2)]
    metadata = pq.read_metadata(io.BytesIO(encode(events)))
    assert metadata.num_row_groups == 1
    assert {metadata.row_group(0).column(at).compression for at in range(metadata.num_columns)} == {
        "ZSTD"
    }
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1000)
    assert [
        group.num_rows
        for group in map(pq.read_metadata(io.BytesIO(encode(events))).row_group, range(9))
    ] == [1000] * 8 + [192]


def test_long_rows_do_not_wait_as_python_objects_and_are_counted() -> None:
    encoder = ParquetEncoder()
    line = "x" * (1 << 20)
    for number in range(32):
        encoder.add([event(number, raw=line)], "")
    assert len(encoder._columns._rows) < 16
    assert encoder.held_bytes >= 32 << 20


def test_a_file_of_no_events_can_be_read() -> None:
    assert pq.read_table(io.BytesIO(ParquetEncoder().finish())).num_rows == 0
