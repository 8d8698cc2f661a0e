"""The journal's schema: created, or upgraded from that of an earlier version."""

from __future__ import annotations

import importlib.resources
import sqlite3

SCHEMA_VERSION = b"4"
UPGRADES = {b"1": "upgrade_2.sql", b"2": "upgrade_3.sql", b"3": "upgrade_4.sql"}
"""From which schema to the next."""


def create(db: sqlite3.Connection) -> None:
    """Create all tables, within the caller's transaction."""
    _execute(db, "schema.sql")


def upgrade(db: sqlite3.Connection, version: bytes) -> None:
    """Bring the tables from `version` to the current schema, within the caller's transaction."""
    while version in UPGRADES:
        _execute(db, UPGRADES[version])
        (version,) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()


def _execute(db: sqlite3.Connection, name: str) -> None:
    script = importlib.resources.files("tracesidecar.journal").joinpath(name).read_text("utf-8")
    for statement in script.split(";\n"):
        db.execute(statement)
