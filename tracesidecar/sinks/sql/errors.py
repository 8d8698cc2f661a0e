"""What an engine's error means for the batch, and what a person can do about it.

No message of an engine is passed on: it may quote a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracesidecar.errors import Rejected, RetryAdvice, RetryLater, SinkError
from tracesidecar.sinks.sql.options import Address

if TYPE_CHECKING:
    import duckdb
    import psycopg

GRANTS = "make it the owner of the schema, or grant it what docs/sinks/sql.md lists"

_RIGHTS = "give the user that tracesidecar runs as the right to write"

_POSTGRES_RETRIES: Mapping[str, RetryAdvice] = {
    "28": (
        "credentials",
        "the server rejected the user or the password; correct url or the password",
    ),
    "3D": ("no_database", "the database does not exist; create it, or correct url"),
    "25006": ("read_only", "this server accepts no writes; set url to the primary"),
    "40": ("serialization", "it conflicted with another transaction"),
    "42501": ("denied", f"the user lacks a privilege: {GRANTS}"),
    "42P01": ("tables", "a table is missing and will be created again"),
    "42703": ("tables", "a column is missing and will be created again"),
    "3F000": ("tables", "the schema is missing and will be created again"),
    "53100": ("no_space", "its disk is full; make room"),
    "53300": ("too_many_connections", "it has no free connection; raise max_connections"),
    "55P03": ("timeout", "a lock was not released in time; see who holds it"),
    "57014": (
        "timeout",
        "it took longer than timeout; see what it waits for, or raise timeout",
    ),
}
"""By SQLSTATE or its class (PostgreSQL, appendix A): the batch waits."""

_POSTGRES_REJECTIONS = {"22": "data", "23": "constraint", "54000": "too_large"}
"""The server judged a row: a data exception, a constraint that somebody added, a key too long for
its index.
"""

_SQLITE_RETRIES: Mapping[int, RetryAdvice] = {
    sqlite3.SQLITE_FULL: ("no_space", "make room on its disk"),
    sqlite3.SQLITE_BUSY: ("locked", "another process is writing to it; see which"),
    sqlite3.SQLITE_READONLY: ("denied", f"{_RIGHTS} the file and its folder"),
    sqlite3.SQLITE_CANTOPEN: ("denied", f"create its folder, and {_RIGHTS} there"),
    sqlite3.SQLITE_IOERR: ("io", "check the disk"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "restore it, or move it away: a new one is created"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "it is not an SQLite database; move it away"),
    sqlite3.SQLITE_INTERRUPT: ("timeout", "it took longer than timeout"),
}
_SQLITE_REJECTIONS = {
    sqlite3.SQLITE_TOOBIG: "too_large",
    sqlite3.SQLITE_CONSTRAINT: "constraint",
    sqlite3.SQLITE_MISMATCH: "data",
}


def postgres_error(error: psycopg.Error | OSError, address: Address) -> SinkError:
    """Make the sink's error of one of psycopg or of the connection."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return _not_connected(error, address)
    name = type(error).__name__
    for key in (state, state[:2]):
        if key in _POSTGRES_REJECTIONS:
            return Rejected(
                _POSTGRES_REJECTIONS[key], f"{address} rejected a row (SQLSTATE {state}, {name})"
            )
        if key in _POSTGRES_RETRIES:
            reason, advice = _POSTGRES_RETRIES[key]
            return RetryLater(reason, f"{address} answered SQLSTATE {state}: {advice}")
    return RetryLater(
        "unavailable", f"{address} answered SQLSTATE {state} ({name}); see the server's log"
    )


def _not_connected(error: psycopg.Error | OSError, address: Address) -> RetryLater:
    """Explain a failed connection by libpq's words.

    Without a connection there is no SQLSTATE. The words can be passed on: only the user's name has
    been sent by then.
    """
    words = str(error).strip().rpartition("failed: ")[2].replace("\n", " ").strip()
    attempt = getattr(error, "pgconn", None)
    if attempt is None or "server closed the connection" in words:
        return RetryLater(
            "connection", f"the connection to {address} was lost; the batch is sent again"
        )
    if "certificate" in words or "SSL" in words:
        return RetryLater(
            "tls", f"TLS with {address} failed: {words}; correct tls, or the server's certificate"
        )
    if (
        attempt.used_password
        or attempt.needs_password
        or "pg_hba.conf" in words
        or "authentication failed" in words
    ):
        return RetryLater(
            "credentials", f"{address} rejected the login: {words}; correct url or the password"
        )
    return RetryLater(
        "unreachable",
        f"{address} could not be reached: {words}; correct url, or check whether the server runs",
    )


def sqlite_error(error: sqlite3.Error | OSError | OverflowError, path: str) -> SinkError:
    """Make the sink's error of one of SQLite or of its file."""
    if isinstance(error, OSError):
        return RetryLater(
            "denied",
            f"could not open {path}: {error.strerror}; correct the rights of its folder, or url",
        )
    if isinstance(error, OverflowError):
        return Rejected("data", "a number needs more than SQLite's 64 bits")
    code = getattr(error, "sqlite_errorcode", 0)
    if (code & 0xFF) in _SQLITE_REJECTIONS:
        return Rejected(_SQLITE_REJECTIONS[code & 0xFF], f"SQLite rejected a row (code {code})")
    reason, advice = _SQLITE_RETRIES.get(
        code & 0xFF, ("unavailable", "look the code up at sqlite.org/rescode.html")
    )
    return RetryLater(reason, f"SQLite could not write {path} (code {code}): {advice}")


def duckdb_error(error: duckdb.Error | OSError, path: str) -> SinkError:
    """Make the sink's error of one of DuckDB or of its file."""
    import duckdb

    name = type(error).__name__
    if isinstance(
        error,
        duckdb.ConversionException
        | duckdb.ConstraintException
        | duckdb.InvalidInputException
        | duckdb.OutOfRangeException,
    ):
        return Rejected("data", f"DuckDB rejected a row ({name})")
    if isinstance(error, duckdb.InterruptException):
        return RetryLater("timeout", f"DuckDB took longer than timeout to write {path}")
    if "lock" in str(error):
        return RetryLater(
            "locked", f"another process has {path} open; the batch is stored once it is closed"
        )
    return RetryLater(
        "io",
        f"DuckDB could not write {path} ({name}): "
        "check the rights of its folder and the free space on its disk",
    )
