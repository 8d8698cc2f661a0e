"""Records of format `event`: the canonical columns as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from tracesidecar.dialects import COLUMNS, Event

PLACES: Mapping[str, str] = {column.name: f"`{column.name}`" for column in COLUMNS}

_encode = msgspec.json.Encoder().encode


def encode(event: Event, dialect: str) -> bytes:
    """Encode every column that has a value, `dt` and `dialect` first."""
    return _partition((event.event_time or "")[:10], dialect) + _encode(event)[1:]


def encode_partitioned(event: Event, dialect: str) -> bytes:  # noqa: ARG001
    """Encode without `dt` and `dialect`: in a Hive lake the path has them, and a column that is
    both fails there.
    """
    return _encode(event)


@lru_cache(maxsize=64)
def _partition(dt: str, dialect: str) -> bytes:
    return b'{"dt":%s,"dialect":%s,' % (_encode(dt), _encode(dialect))
