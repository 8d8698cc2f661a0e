"""Run the statements that define, in a database or search engine that can be reached from here."""

from __future__ import annotations

import base64
import importlib.util
import urllib.error
import urllib.parse
import urllib.request

import msgspec

from tracesidecar.ddl.elasticsearch import templates
from tracesidecar.ddl.statement import Statement
from tracesidecar.errors import ConfigurationError

APPLIED = ("duckdb", "postgres", "elasticsearch")
TIMEOUT_SECONDS = 30.0


class _Version(msgspec.Struct):
    distribution: str = "elasticsearch"


class _Greeting(msgspec.Struct):
    version: _Version


def apply(engine: str, where: str, statements: tuple[Statement, ...]) -> list[str]:
    """Run what defines, all or nothing; return the names of what was made.

    Raises ConfigurationError where that fails.
    """
    defining = [statement for statement in statements if statement.use == "define"]
    (_duckdb if engine == "duckdb" else _postgres)(where, defining)
    return [statement.name for statement in defining]


def _need(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f'--apply needs {package}, which is not installed: pip install "tracesidecar[{extra}]"'
        )


def _duckdb(path: str, statements: list[Statement]) -> None:
    _need("duckdb", "sql")
    import duckdb

    try:
        with duckdb.connect(path) as database:
            database.begin()
            for statement in statements:
                database.execute(statement.text)
            database.commit()
    except duckdb.IOException as error:
        raise ConfigurationError(
            f"DuckDB cannot use {path}, or there is no object in the lake yet: ship first"
        ) from error
    except duckdb.Error as error:
        raise ConfigurationError(
            f"DuckDB refused a statement in {path} ({type(error).__name__})"
        ) from error


def _postgres(url: str, statements: list[Statement]) -> None:
    _need("psycopg", "sql")
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=int(TIMEOUT_SECONDS)) as database:
            for statement in statements:
                database.execute(statement.text.encode())
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            "PostgreSQL cannot be reached, or refused the credentials: check the URL"
        ) from error
    except psycopg.Error as error:
        raise ConfigurationError(
            f"PostgreSQL refused a statement (SQLSTATE {error.sqlstate}): check what the user may do"
        ) from error


def put_templates(url: str) -> list[str]:
    """Put the index templates; OpenSearch is asked who it is and gets its own.

    User and password may stand in the URL.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigurationError(
            "--apply needs the address of the server: https://user:password@host:9200"
        )
    try:
        greeting = msgspec.json.decode(_request(url, "GET", "", b""), type=_Greeting)
        made = templates(
            flattened="flat_object"
            if greeting.version.distribution == "opensearch"
            else "flattened"
        )
        for template in made:
            _request(
                url, "PUT", f"_index_template/{template.name}", msgspec.json.encode(template.body)
            )
    except urllib.error.HTTPError as error:
        raise ConfigurationError(
            f"the server answered {error.code}: check the credentials, and that they may manage index templates"
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"no Elasticsearch or OpenSearch answered at that address ({type(error).__name__})"
        ) from error
    return [template.name for template in made]


def _request(url: str, method: str, path: str, body: bytes) -> bytes:
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
    request = urllib.request.Request(address, body or None, headers, method=method)  # noqa: S310 - the scheme was looked at
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return bytes(answer.read())
