"""Records of format `event`: the columns of an event as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from tracesidecar.dialects import COLUMNS, Event

COLUMN_MAPPING: Mapping[str, str] = {column.name: f"`{column.name}`" for column in COLUMNS}

_encode = msgspec.json.Encoder().encode


def encode(event: Event, dialect: str) -> bytes:
    """Return every column that has a value, after `dt` and `dialect`."""
    return _partition((event.event_time or "")[:10], dialect) + _encode(event)[1:]


def encode_partitioned(event: Event, dialect: str) -> bytes:  # noqa: ARG001 - a RecordEncoder takes it
    """Return the record without `dt` and `dialect`.

    In a lake with Hive partitions the path has them, and Athena and Spark reject a table in which
    a partition is also a column.
    """
    return _encode(event)


@lru_cache(maxsize=64)
def _partition(dt: str, dialect: str) -> bytes:
    return b'{"dt":%s,"dialect":%s,' % (_encode(dt), _encode(dialect))
