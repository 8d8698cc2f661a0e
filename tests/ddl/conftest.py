"""The servers that statements are run on."""

from __future__ import annotations

from tests.servers.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
