"""A private table on disk for what a verification has to remember: a store may list millions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from tracesidecar.errors import RetryLater

_CACHE_KIB = 16 << 10
"""So much of it is kept in memory."""


def open_scratch(schema: str) -> sqlite3.Connection:
    """Return a database that nobody else sees, and that is gone when it is closed."""
    connection = sqlite3.connect("", isolation_level=None)
    connection.executescript(
        f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{_CACHE_KIB};"
        f"PRAGMA temp_store = FILE; {schema} BEGIN;"
    )
    return connection


@contextmanager
def needing_room() -> Iterator[None]:
    """Raise RetryLater if there is no room for the database."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RetryLater(
            "io",
            f"what is listed in the store does not fit on the disk of this machine ({error}): name "
            "a directory with more room in TMPDIR",
        ) from error


def pack(text: str) -> bytes:
    """Return a text as it is kept: names in a file system need not be UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def unpack(kept: bytes) -> str:
    """Undo `pack`."""
    return kept.decode("utf-8", "surrogatepass")
