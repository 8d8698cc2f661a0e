"""The stores that are looked at."""

from __future__ import annotations

from tests.servers.stores import object_store

__all__ = ["object_store"]
