"""The labels of a source, which an event carries as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec


@lru_cache(maxsize=256)
def labels(column: str | None) -> Mapping[str, str]:
    """Decode the `labels` column; nothing where there are none."""
    return MappingProxyType(msgspec.json.decode(column, type=dict[str, str]) if column else {})
