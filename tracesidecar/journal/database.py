"""The journal's file: opened by its one writer or beside it, and changed one transaction at a time.

Opening it for writing creates the schema, or upgrades that of an earlier version.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from tracesidecar.errors import JournalMissing, StateError
from tracesidecar.journal import schema

FILE_NAME = "journal.sqlite"

Row = TypeVar("Row")


class JournalDatabase:
    """An open connection. Any thread may call; calls take turns."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._db = connection
        self._path = path
        self._turn = threading.Lock()
        self._seen_version = 0

    @classmethod
    def open(cls, state_directory: str) -> JournalDatabase:
        """Open for writing, creating or upgrading the schema.

        Raise StateError if the file cannot be used.
        """
        path = os.path.join(state_directory, FILE_NAME)
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                "busy_timeout=5000",
            ):
                db.execute(f"PRAGMA {pragma}")
            database = cls(db, path)
            database._create_or_upgrade()
        except sqlite3.DatabaseError as error:
            raise StateError(_unusable(path, error)) from error
        os.chmod(path, 0o600)
        return database

    @classmethod
    def open_beside(cls, state_directory: str, *pragmas: str) -> JournalDatabase:
        """Open an existing file beside the process that holds the state directory.

        Raise JournalMissing if there is none, and StateError if it has another schema.
        """
        path = os.path.join(state_directory, FILE_NAME)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise JournalMissing(
                f"there is no journal at {path}: nothing has run with this state directory yet"
            ) from error
        except OSError as error:
            raise StateError(
                f"the journal {path} cannot be read ({error.strerror}): "
                "run this as the user of the daemon, or as root"
            ) from error
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("busy_timeout=5000", *pragmas):
                db.execute(f"PRAGMA {pragma}")
            database = cls(db, path)
            database._check(database.meta("schema"))
        except sqlite3.DatabaseError as error:
            raise StateError(_unusable(path, error)) from error
        return database

    def close(self) -> None:
        """Close the file; nothing is lost if this is not called."""
        with self._turn:
            self._db.close()

    def meta(self, key: str) -> bytes:
        """Return the value that was stored under a key when the journal was created."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"meta has no {key}")
        return bytes(row[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction; if the block raises, nothing is changed."""
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def read(self, shape: type[Row], query: str, *values: object) -> list[Row]:
        """Return the rows of a query, each converted to `shape` (a tuple type).

        Raise sqlite3.DatabaseError if a row does not have that shape.
        """
        with self._turn:
            rows = self._db.execute(query, values).fetchall()
        try:
            return msgspec.convert(rows, list[shape])  # type: ignore[valid-type]  # a runtime type
        except msgspec.ValidationError as error:
            raise sqlite3.DatabaseError(f"a row is not as expected: {error}") from error

    def has_changed(self) -> bool:
        """Return whether another process has written since the last call."""
        with self._turn:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
        before, self._seen_version = self._seen_version, version
        return bool(before != version)

    def _create_or_upgrade(self) -> None:
        if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check failed")
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            version = self.meta("schema")
            if version in schema.UPGRADES:
                with self.transaction() as db:
                    schema.upgrade(db, version)
            self._check(self.meta("schema"))
            return
        with self.transaction() as db:
            schema.create(db)
            values = [
                ("schema", schema.SCHEMA_VERSION),
                ("key", secrets.token_bytes(32)),
                ("installation", secrets.token_hex(8).encode()),
            ]
            db.executemany("INSERT INTO meta VALUES (?, ?)", values)

    def _check(self, version: bytes) -> None:
        if version in schema.UPGRADES:
            raise StateError(
                f"the journal {self._path} was written by an earlier version: "
                "the next run or ship --once brings it up to date"
            )
        if version != schema.SCHEMA_VERSION:
            raise StateError(
                f"the journal {self._path} has schema {version.decode(errors='replace')}, "
                f"but this program knows {schema.SCHEMA_VERSION.decode()}: "
                "run the version of tracesidecar that wrote it, "
                "or give this one a state directory of its own"
            )


def _unusable(path: str, error: sqlite3.DatabaseError) -> str:
    return (
        f"the journal {path} cannot be used ({error}): restore it from a backup, or move it away "
        "and start with an empty state directory (everything that is still on the disk is then "
        "delivered again)"
    )
