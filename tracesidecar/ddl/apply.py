"""Run the statements that define tables and views, in a database or search engine."""

from __future__ import annotations

import base64
import http.client
import importlib.util
import os
import urllib.error
import urllib.parse
from collections.abc import Mapping

import msgspec

from tracesidecar.ddl.elasticsearch import templates
from tracesidecar.ddl.statement import Statement
from tracesidecar.errors import ConfigurationError
from tracesidecar.extras import install_command

ENGINES_TO_APPLY = ("duckdb", "postgres", "elasticsearch")
"""Engines that can be reached from here; for others the statements are printed."""
TIMEOUT_SECONDS = 30.0
ANSWER_LIMIT_BYTES = 4 << 20

_MAY_BE_CLEAR = frozenset({"disable", "allow", "prefer"})
_OWN_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})
_TLS = frozenset({"sslmode", "sslrootcert"})


class _Version(msgspec.Struct):
    distribution: str = "elasticsearch"


class _Acknowledgement(msgspec.Struct):
    acknowledged: bool


class _Info(msgspec.Struct):
    version: _Version


def apply_statements(engine: str, where: str, statements: tuple[Statement, ...]) -> list[str]:
    """Run the statements that define, all or none, and return their names.

    `where` is the file of DuckDB, or the URL of PostgreSQL. Raise ConfigurationError if that
    fails.
    """
    definitions = [statement for statement in statements if statement.use == "define"]
    (_duckdb if engine == "duckdb" else _postgres)(where, definitions)
    return [statement.name for statement in definitions]


def list_clear_hosts(engine: str, where: str) -> tuple[str, ...]:
    """Return the servers that `--apply` would send credentials without encryption.

    For PostgreSQL these are in the URL, or where libpq finds them. Raise ConfigurationError.
    """
    if engine == "elasticsearch":
        parts = _split_address(where)
        is_clear = parts.scheme == "http" and parts.username is not None
        return (parts.hostname or "",) if is_clear else ()
    if engine != "postgres":
        return ()
    found = _read_postgres(where)
    if found.get("sslmode", "prefer") not in _MAY_BE_CLEAR or not _has_password(found):
        return ()
    return tuple(filter(None, (found.get("hostaddr") or found.get("host") or "").split(",")))


def _has_password(found: Mapping[str, str]) -> bool:
    file = found.get("passfile") or os.path.expanduser("~/.pgpass")
    return bool(found.get("password")) or "service" in found or os.path.exists(file)


def _read_postgres(url: str) -> dict[str, str]:
    """Return the parameters of a connection, with those that libpq takes from the environment.

    Without a word on TLS, a server of another machine is verified, as by the sink.
    """
    _require_package("psycopg", "sql")
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:  # not chained: it may quote the password
        raise ConfigurationError(
            "--apply needs the address of the database: postgresql://user@host:5432/database"
        ) from None
    known = {
        option.keyword.decode(): option.val.decode()
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.val
    }
    found = {**known, **given}
    if found.get("sslmode", "prefer") == "prefer" and "sslmode" not in given:
        hosts = (found.get("hostaddr") or found.get("host") or "").split(",")
        if not all(host.startswith("/") or host in _OWN_HOSTS for host in hosts):
            found["sslmode"] = "verify-full"
            found.setdefault("sslrootcert", "system")
    return found


def _split_address(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            "--apply needs the address of the server: https://user:password@host:9200"
        )
    return parts


def _require_package(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"--apply needs {package}, which is not installed; run: {install_command(extra)}"
        )


def _duckdb(path: str, statements: list[Statement]) -> None:
    _require_package("duckdb", "sql")
    import duckdb

    try:
        with duckdb.connect(path) as database:
            database.begin()
            for statement in statements:
                database.execute(statement.text)
            database.commit()
    except duckdb.IOException as error:
        raise ConfigurationError(
            f"DuckDB cannot open {path}, or the lake has no object yet: ship first"
        ) from error
    except duckdb.Error as error:
        raise ConfigurationError(
            f"DuckDB rejected a statement in {path} ({type(error).__name__})"
        ) from error


def _postgres(url: str, statements: list[Statement]) -> None:
    _require_package("psycopg", "sql")
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        way = {key: value for key, value in _read_postgres(url).items() if key in _TLS}
        address = make_conninfo(url, **way)
        with psycopg.connect(address, connect_timeout=int(TIMEOUT_SECONDS)) as database:
            for statement in statements:
                database.execute(statement.text.encode())
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            "PostgreSQL cannot be reached, rejected the credentials, or has a certificate that is "
            "not trusted here: check the URL, which may end in ?sslrootcert=FILE"
        ) from error
    except psycopg.Error as error:
        raise ConfigurationError(
            f"PostgreSQL rejected a statement (SQLSTATE {error.sqlstate}): "
            "check the privileges of the user"
        ) from error


def put_templates(url: str) -> list[str]:
    """Put the index templates into Elasticsearch or OpenSearch, and return their names.

    The server is asked which of the two it is. User and password may be part of the URL. Raise
    ConfigurationError if that fails.
    """
    _split_address(url)
    try:
        info = msgspec.json.decode(_request(url, "GET", "", b""), type=_Info)
        made = templates(
            flattened="flat_object" if info.version.distribution == "opensearch" else "flattened"
        )
        for template in made:
            answer = _request(
                url, "PUT", f"_index_template/{template.name}", msgspec.json.encode(template.body)
            )
            if not msgspec.json.decode(answer, type=_Acknowledgement).acknowledged:
                raise ConfigurationError(
                    f"the server did not acknowledge the template {template.name} in time: "
                    "look at the health of the cluster, then run this again"
                )
    except urllib.error.HTTPError as error:
        raise ConfigurationError(
            f"the server answered {error.code}: check the credentials, "
            "and that they may manage index templates"
        ) from error
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"no Elasticsearch or OpenSearch answered at that address ({type(error).__name__})"
        ) from error
    return [template.name for template in made]


def _request(url: str, method: str, path: str, body: bytes) -> bytes:
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    address = urllib.parse.urlunsplit(
        (parts.scheme, host, f"{parts.path.rstrip('/')}/{path}", "", "")
    )
    headers = {"Content-Type": "application/json"}
    if parts.username is not None:
        pair = (
            f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        )
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    request = urllib.request.Request(address, body or None, headers, method=method)  # noqa: S310 - put_templates has checked the scheme
    opener = urllib.request.build_opener(_no_redirects())
    with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
        return bytes(response.read(ANSWER_LIMIT_BYTES))


def _no_redirects() -> urllib.request.HTTPRedirectHandler:
    """Make a handler that follows no redirect: it would take the credentials to another server."""
    import urllib.request

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    return NoRedirects()
