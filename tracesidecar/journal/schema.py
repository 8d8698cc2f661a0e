"""The journal's schema: created, or upgraded from that of an earlier version."""

from __future__ import annotations

import importlib.resources
import sqlite3

from tracesidecar.journal.segment_keys import fill_keys

SCHEMA_VERSION = b"12"
UPGRADES = {
    b"1": "upgrade_2.sql",
    b"2": "upgrade_3.sql",
    b"3": "upgrade_4.sql",
    b"4": "upgrade_5.sql",
    b"5": "upgrade_6.sql",
    b"6": "upgrade_7.sql",
    b"7": "upgrade_8.sql",
    b"8": "upgrade_9.sql",
    b"9": "upgrade_10.sql",
    b"10": "upgrade_11.sql",
    b"11": "upgrade_12.sql",
}
"""From which schema to the next."""

_FIRST_WITH_KEYS = 9
"""From this schema on each segment has a key, which SQL alone cannot make."""


def create(db: sqlite3.Connection) -> None:
    """Create all tables, within the caller's transaction."""
    _execute(db, "schema.sql")


def upgrade(db: sqlite3.Connection, version: bytes) -> None:
    """Bring the tables from `version` to the current schema, within the caller's transaction."""
    has_keys = int(version) >= _FIRST_WITH_KEYS
    while version in UPGRADES:
        _execute(db, UPGRADES[version])
        (version,) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if not has_keys:
        fill_keys(db)


def find_missing(db: sqlite3.Connection) -> str:
    """Return a table or column that the current schema has and the database has not, or nothing."""
    wanted = sqlite3.connect(":memory:")
    try:
        create(wanted)
        columns = _columns(wanted)
    finally:
        wanted.close()
    found = _columns(db)
    for table, column in sorted(columns - found):
        known = {name for name, _ in found}
        return f"column {column} of table {table}" if table in known else f"table {table}"
    return ""


def _columns(db: sqlite3.Connection) -> set[tuple[str, str]]:
    """Return (table, column) of all columns."""
    query = (
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
    )
    return {(str(table), str(column)) for table, column in db.execute(query)}


def _execute(db: sqlite3.Connection, name: str) -> None:
    script = importlib.resources.files("tracesidecar.journal").joinpath(name).read_text("utf-8")
    for statement in script.split(";\n"):
        db.execute(statement)
