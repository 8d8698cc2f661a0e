"""The keys of a `[[sink]]` of type `sql`, and the address of its database."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from tracesidecar.extras import install_command
from tracesidecar.sinks.exposure import ClearText
from tracesidecar.sinks.options import BatchLimits, SinkOptions
from tracesidecar.sinks.transport import TlsOptions, is_unverified
from tracesidecar.units import Seconds, Secret, Size

NEEDS = {"postgresql": "psycopg", "sqlite": "sqlite3", "duckdb": "duckdb"}
"""The import that each scheme of a URL needs."""

_ENDINGS = {"sqlite": ("", "-wal", "-shm", "-journal"), "duckdb": ("", ".wal", ".tmp")}
"""Of the names of a database that is a file, and of what is kept beside it."""

FORM = "postgresql://user@host:5432/database, sqlite:///path or duckdb:///path"


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A database: PostgreSQL, SQLite or DuckDB.

    `url` may hold a password; `password_file` is read at each connect. Connections to another host
    use TLS and verify the server, unless the URL has `?sslmode=disable`. `schema` is PostgreSQL's.
    `nul` is for U+0000, which PostgreSQL cannot store in text: reject the record, or replace it
    with U+FFFD.
    """

    url: Secret
    password: Secret | None = None
    password_file: str | None = None
    schema: str = "agent_traces"
    nul: Literal["refuse", "replace"] = "refuse"
    format: Literal["event"] = "event"
    batch: BatchLimits = msgspec.field(
        default_factory=lambda: BatchLimits(
            bytes=Size(8 << 20), lines=10_000, age=Seconds(5.0), idle=Seconds(1.0)
        )
    )
    tls: TlsOptions | None = None
    timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("5m"))
    connect_timeout: Seconds = msgspec.field(default_factory=lambda: Seconds.parse("10s"))

    def __post_init__(self) -> None:
        address = Address.of(self.url)
        if importlib.util.find_spec(NEEDS[address.kind]) is None:
            raise ValueError(
                f"needs a package that is not installed; run: {install_command('sql')}"
            )
        if sum(bool(given) for given in (address.password, self.password, self.password_file)) > 1:
            raise ValueError(
                "the password is given in more than one place: "
                "keep one of url, password and password_file"
            )
        if not (
            self.schema.isascii()
            and self.schema.replace("_", "a").isalnum()
            and self.schema == self.schema.lower()
            and not self.schema[0].isdigit()
        ):
            raise ValueError("schema must be lower-case letters, digits and underscores")

    @property
    def trusts_any_server(self) -> bool:
        """Whether TLS is used, and the server's certificate is not verified."""
        return is_unverified(self.tls)

    def list_clear_text(self) -> tuple[ClearText, ...]:
        """Return the server if it is sent a password without TLS."""
        address = Address.of(self.url)
        if address.kind != "postgresql" or self.tls or not address.is_plain:
            return ()
        if address.password or self.password or self.password_file:
            return (ClearText("url", address.host, has_credentials=True),)
        variable = find_password_variable(os.environ)
        if variable is None:
            return ()
        return (ClearText("url", address.host, has_credentials=True, variable=variable),)

    def list_written(self) -> tuple[str, ...]:
        """Return the database, and what SQLite or DuckDB keeps beside it."""
        address = Address.of(self.url)
        return tuple(address.path + ending for ending in _ENDINGS.get(address.kind, ()))


def find_password_variable(environ: Mapping[str, str]) -> str | None:
    """Return where libpq finds a password if it is given none; None if nowhere.

    PostgreSQL's documentation, "Environment Variables", "The Password File", "The Connection
    Service File".
    """
    for name in ("PGPASSWORD", "PGSERVICE"):
        if environ.get(name):
            return name
    if os.path.exists(environ.get("PGPASSFILE") or os.path.expanduser("~/.pgpass")):
        return "PGPASSFILE" if environ.get("PGPASSFILE") else "~/.pgpass"
    return None


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a database.

    `path` is the file, or the name of a PostgreSQL database. `host` is empty or a folder for a Unix
    socket.
    """

    kind: Literal["postgresql", "sqlite", "duckdb"]
    path: str
    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)
    is_plain: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """Parse a URL. Raise ValueError that does not quote it."""
        try:
            parts = urlsplit(url)
            match parts.scheme:
                case "postgresql" | "postgres":
                    return cls._server(parts)
                case "sqlite" | "duckdb" as kind if not parts.netloc and parts.path.startswith("/"):
                    return cls(kind, "/" + unquote(parts.path).lstrip("/"))
        except ValueError:
            raise ValueError(f"url does not have the form {FORM}") from None
        raise ValueError(f"url does not have the form {FORM}; paths are absolute")

    @classmethod
    def _server(cls, parts: SplitResult) -> Address:
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        database, modes = unquote(parts.path.lstrip("/")), query.pop("sslmode", [])
        folder = query.pop("host", [""])[0]
        if query or not database or modes not in ([], ["disable"], ["verify-full"]):
            raise ValueError
        host = folder or parts.hostname or ""
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(
            "postgresql",
            database,
            host,
            parts.port or 5432,
            user,
            password,
            is_plain=modes == ["disable"],
        )

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, so that nothing crosses a network."""
        return (
            not self.host
            or self.host.startswith("/")
            or self.host in {"localhost", "127.0.0.1", "::1"}
        )

    def __str__(self) -> str:
        """Name the database, without credentials."""
        return (
            f"{self.kind}://{self.host}:{self.port}/{self.path}"
            if self.kind == "postgresql"
            else f"{self.kind}:{self.path}"
        )
