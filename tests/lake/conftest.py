"""The stores of the lake's tests."""

from __future__ import annotations

from tests.servers.azurite import azurite, azurite_process
from tests.servers.google_storage import google_storage
from tests.servers.stores import object_store

__all__ = ["azurite", "azurite_process", "google_storage", "object_store"]
