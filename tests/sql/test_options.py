"""What the SQL sink accepts in its configuration, and what it reports otherwise."""

from __future__ import annotations

import msgspec
import pytest

from tracesidecar.sinks.sql import sink as sql
from tracesidecar.sinks.sql.options import Address
from tracesidecar.units import Secret


def options(url: str, **more: object) -> sql.Options:
    usual = sql.Options(name="base", type="sql", url=Secret(url))
    return msgspec.structs.replace(usual, **more)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (
            "postgresql://u:p%40ss@db.example/traces",
            "sql:postgresql://db.example:5432/traces/agent_traces",
        ),
        (
            "postgres://u@db.example:6000/traces?sslmode=disable",
            "sql:postgresql://db.example:6000/traces/agent_traces",
        ),
        (
            "postgresql:///traces?host=/run/postgresql",
            "sql:postgresql:///run/postgresql:5432/traces/agent_traces",
        ),
        ("sqlite:///var/lib/traces.db", "sql:sqlite:/var/lib/traces.db"),
        ("sqlite:////var/lib/traces.db", "sql:sqlite:/var/lib/traces.db"),
        ("duckdb:/var/lib/traces.duckdb", "sql:duckdb:/var/lib/traces.duckdb"),
    ],
)
def test_a_destination_is_named_without_credentials(url: str, named: str) -> None:
    assert sql.destination(options(url)) == named


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/d",
        "sqlite://relative.db",
        "sqlite:relative.db",
        "postgresql://u:hidden@h",
        "postgresql://u:hidden@h:port/d",
        "postgresql://u:hidden@h/d?sslmode=prefer",
        "postgresql://u:hidden@h/d?options=-csearch_path",
        "postgresql://u:hidden@[h/d",
    ],
)
def test_a_url_that_is_none_is_rejected_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="url does not have the form") as caught:
        options(url)
    assert "hidden" not in str(caught.value)


def test_a_password_stands_in_one_place() -> None:
    with pytest.raises(ValueError, match="more than one place"):
        options("postgresql://u:p@h/d", password_file="/etc/password")


@pytest.mark.parametrize("schema", ["", "Traces", "a;b", "1a", 'a"b'])
def test_a_schema_that_would_need_quotes_is_rejected(schema: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        options("postgresql://u@h/d", schema=schema)


def test_an_address_does_not_show_its_password() -> None:
    address = Address.of("postgresql://u:hidden@h/d")
    assert address.password == "hidden"
    assert "hidden" not in f"{address} {address!r}"
