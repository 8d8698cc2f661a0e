"""How PostgreSQL is reached, and what its errors mean for a batch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tracesidecar.errors import Rejected, RetryLater, SinkError
from tracesidecar.sinks.sql.options import Address, Options

if TYPE_CHECKING:
    import psycopg

GRANTS = "make it the owner of the schema, or grant it what docs/sinks/sql.md lists"

_ANSWERS = {
    "28": ("credentials", "the user or the password was refused; mend url or the password"),
    "3D": ("no_database", "the database does not exist; create it, or mend url"),
    "25006": ("read_only", "this server takes no writes; point url at the primary"),
    "40": ("serialization", "another transaction was in the way"),
    "42501": ("denied", f"the user lacks a privilege: {GRANTS}"),
    "42P01": ("tables", "a table is gone and will be made again"),
    "42703": ("tables", "a column is gone and will be made again"),
    "3F000": ("tables", "the schema is gone and will be made again"),
    "53100": ("no_space", "its disk is full; make room"),
    "53300": ("too_many_connections", "it has no connection to spare; raise max_connections"),
    "55P03": ("timeout", "a lock was not to be had in time; see who holds it"),
    "57014": ("timeout", "it took longer than timeout; see what it waits for, or raise timeout"),
}
"""By SQLSTATE or its class: what a batch waits for (PostgreSQL, appendix A)."""

_CONTENT = {"22": "data", "23": "constraint", "54000": "too_large"}
"""A judgment of a row: data exceptions, constraints (somebody added one), a key that is too long
for its index.
"""


def parameters(options: Options, address: Address) -> str:
    """Say how to connect, in libpq's words, with the password; raise RetryLater where the password
    cannot be read.
    """
    from psycopg.conninfo import make_conninfo

    found: dict[str, str | int] = {
        "dbname": address.path,
        "port": address.port,
        "application_name": "tracesidecar",
        "client_encoding": "UTF8",
        "connect_timeout": max(2, round(options.connect_timeout)),
        "tcp_user_timeout": round(options.timeout * 1000),
        "keepalives_idle": 30,
        **_tls(options, address),
    }
    given = {"host": address.host, "user": address.user, "password": _password(options, address)}
    return make_conninfo("", **{**{key: value for key, value in given.items() if value}, **found})


def judge(error: psycopg.Error | OSError, address: Address) -> SinkError:
    """Say what an error means, without what the server wrote: it may quote a row."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return _not_connected(error, address)
    for key in (state, state[:2]):
        if key in _CONTENT:
            return Rejected(
                _CONTENT[key], f"{address} refused a row (SQLSTATE {state}, {type(error).__name__})"
            )
        if key in _ANSWERS:
            reason, advice = _ANSWERS[key]
            return RetryLater(reason, f"{address} answered SQLSTATE {state}: {advice}")
    return RetryLater(
        "unavailable", f"{address} answered SQLSTATE {state} ({type(error).__name__})"
    )


def _not_connected(error: psycopg.Error | OSError, address: Address) -> RetryLater:
    """A server that does not let us in gives no SQLSTATE, only words; nothing of ours but the
    user's name has been sent by then.
    """
    said = str(error).strip().rpartition("failed: ")[2].replace("\n", " ").strip()
    attempt = getattr(error, "pgconn", None)
    if attempt is None or "server closed the connection" in said:
        return RetryLater(
            "connection", f"the connection to {address} was lost; what was under way is sent again"
        )
    if "certificate" in said or "SSL" in said:
        return RetryLater(
            "tls",
            f"{address} could not be spoken to over TLS: {said}; mend tls, or the server's certificate",
        )
    if (
        attempt.used_password
        or attempt.needs_password
        or "pg_hba.conf" in said
        or "authentication failed" in said
    ):
        return RetryLater(
            "credentials", f"{address} did not let us in: {said}; mend url or the password"
        )
    return RetryLater(
        "unreachable",
        f"{address} could not be reached: {said}; mend url, or see whether the server is up",
    )


def _password(options: Options, address: Address) -> str:
    if options.password_file is None:
        return options.password or address.password
    try:
        return Path(options.password_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise RetryLater(
            "credentials", f"could not read password_file {options.password_file}: {error.strerror}"
        ) from error
    except UnicodeDecodeError:  # not chained: its message quotes the bytes
        raise RetryLater(
            "credentials", f"password_file {options.password_file} is not UTF-8 text"
        ) from None


def _tls(options: Options, address: Address) -> dict[str, str]:
    """`system` is the CA bundle of the machine (libpq 16). libpq reads the files at each connect."""
    tls = options.tls
    if tls is None:
        if address.is_plain:
            return {"sslmode": "disable"}
        return (
            {"sslmode": "prefer"}
            if address.is_here
            else {"sslmode": "verify-full", "sslrootcert": "system"}
        )
    files = {"sslcert": tls.cert_file, "sslkey": tls.key_file or tls.cert_file}
    found = {key: path for key, path in files.items() if path}
    if not tls.verify:
        return {**found, "sslmode": "require"}
    if tls.server_hostname:
        found |= {"host": tls.server_hostname, "hostaddr": address.host}
    return {**found, "sslmode": "verify-full", "sslrootcert": tls.ca_file or "system"}
