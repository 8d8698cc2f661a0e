"""What the SQL sink promises of PostgreSQL beyond the contract that all sinks share."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest
import trustme

from tests.contract.batches import batch_for, lines_of
from tests.contract.deliveries import delivery
from tests.contract.sql_place import PostgresPlace
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.stores import SECRET
from tests.sql.engines import PostgresSchema
from tests.sql.traces import batch, conversation, event
from tracesidecar.errors import Rejected, RetryLater
from tracesidecar.model import Batch
from tracesidecar.sinks.sink import Sink
from tracesidecar.sinks.sql import sink as sql
from tracesidecar.sinks.sql.schema import VERSION
from tracesidecar.sinks.transport.tls import TlsOptions
from tracesidecar.units import Seconds, Secret

POISON = 3210


class CountingSink:
    """A sink that counts the attempts to send by another."""

    def __init__(self, sink: Sink) -> None:
        self.attempts = 0
        self._sink = sink

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._sink.__aexit__(kind, error, trace)

    async def send(self, batch: Batch) -> None:
        self.attempts += 1
        await self._sink.send(batch)


@pytest.fixture
def schema(postgres_server: PostgresServer) -> Iterator[PostgresSchema]:
    with PostgresSchema.on(postgres_server) as schema:
        yield schema


def make_poisoned_batch(**given: object) -> Batch:
    """Make 5,000 events, one of them with these values."""
    events = [event(number, "state", number % 3600) for number in range(5000)]
    events[POISON] = msgspec.structs.replace(event(POISON, "state", 0), **given)
    return batch(events)


def count(schema: PostgresSchema) -> int:
    [(rows,)] = schema.ask("SELECT count(*) FROM events")
    return int(rows)


@pytest.mark.parametrize(
    ("given", "reason", "most"),
    [
        pytest.param({"text": "a \x00 in the text"}, "nul", 1, id="NUL"),
        pytest.param({"input_tokens": 1 << 63}, "data", 28, id="a number of more than 64 bits"),
        pytest.param({"event_time": "2026-13-01T00:00:00Z"}, "data", 28, id="a date that is none"),
        pytest.param(
            {
                "conversation_id": "".join(
                    hashlib.sha512(bytes([number])).hexdigest() for number in range(100)
                )
            },
            "too_large",
            28,
            id="a key too long for its index",
        ),
    ],
)
async def test_one_row_among_5000_that_the_server_rejects_is_found(
    schema: PostgresSchema, given: dict[str, object], reason: str, most: int
) -> None:
    async with CountingSink(sql.build(schema.options())) as sink:
        rejected = await delivery(sink).send(make_poisoned_batch(**given))
    assert [(each.index, each.reason) for each in rejected] == [(POISON, reason)]
    assert count(schema) == 4999
    assert sink.attempts <= most


async def test_a_constraint_that_somebody_added_rejects_its_row_only(
    schema: PostgresSchema,
) -> None:
    async with sql.build(schema.options()) as sink:
        schema.ask("ALTER TABLE events ADD CHECK (role <> 'unwanted')")
        rejected = await delivery(sink).send(
            batch([*conversation(), event(99, "state", 99, role="unwanted")])
        )
    assert [each.index for each in rejected] == [len(conversation())]


async def test_nul_is_replaced_where_that_is_configured_and_what_only_looks_like_it_stays(
    schema: PostgresSchema,
) -> None:
    async with sql.build(schema.options(nul="replace")) as sink:
        await sink.send(batch([event(0, "state", 0, text="\x00\x00 and \\u0000 as text \\\x00")]))
    assert schema.ask("SELECT text FROM events") == [("\ufffd\ufffd and \\u0000 as text \\\ufffd",)]


async def test_a_rejection_quotes_nothing_of_the_row(schema: PostgresSchema) -> None:
    async with sql.build(schema.options()) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.send(
                batch([event(0, "state", 0, text="secret-of-the-trace", event_time="secret-time")])
            )
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("size", [1 << 20, 10 << 20])
async def test_a_record_of_the_limit_and_of_ten_times_it_is_stored(
    schema: PostgresSchema, size: int
) -> None:
    async with sql.build(schema.options()) as sink:
        await sink.send(batch([event(0, "state", 0, text="x" * size)]))
    assert schema.ask("SELECT length(text) FROM events") == [(size,)]


async def test_two_writers_of_one_conversation_leave_its_turns_as_one_would(
    schema: PostgresSchema,
) -> None:
    events = [
        each
        for turn in range(40)
        for each in (
            event(2 * turn, "user_message", 2 * turn),
            event(2 * turn + 1, "model_message", 2 * turn + 1),
        )
    ]
    async with sql.build(schema.options()) as one, sql.build(schema.options()) as other:
        for start in range(0, 80, 8):
            mine, yours = events[start : start + 8 : 2], events[start + 1 : start + 8 : 2]
            await asyncio.gather(one.send(batch(mine)), other.send(batch(yours)))
    assert schema.ask(
        "SELECT count(*), count(finished_at), sum(duration_ms) FROM agent_traces"
    ) == [(40, 40, 40_000.0)]


async def test_two_daemons_that_start_at_once_create_the_tables_once(
    schema: PostgresSchema,
) -> None:
    sinks = [sql.build(schema.options()) for _ in range(4)]
    await asyncio.gather(*(sink.__aenter__() for sink in sinks))
    await asyncio.gather(*(sink.__aexit__(None, None, None) for sink in sinks))
    assert schema.ask("SELECT version FROM tracesidecar_schema") == [(VERSION,)]


async def test_tables_that_are_dropped_while_it_runs_are_created_again(
    schema: PostgresSchema,
) -> None:
    async with sql.build(schema.options()) as sink:
        await sink.send(batch(conversation()))
        schema.ask("DROP TABLE events CASCADE")
        with pytest.raises(RetryLater, match="tables"):
            await sink.send(batch(conversation()))
        await sink.send(batch(conversation()))
    assert count(schema) == len(conversation())


async def test_a_writer_that_may_not_create_tables_needs_existing_ones(
    schema: PostgresSchema,
) -> None:
    """The privileges are those of docs/sinks/sql.md."""
    async with sql.build(schema.options()):
        pass
    server, writer = schema.server, f"{schema.schema}_writer"
    server.run(f"CREATE ROLE {writer} LOGIN PASSWORD '{SECRET}'")
    other = replace(schema, schema=schema.schema)
    options = other.options(url=Secret(f"postgresql://{writer}@127.0.0.1:{server.port}/postgres"))
    for grant in (
        "USAGE ON SCHEMA {0}",
        "SELECT ON ALL TABLES IN SCHEMA {0}",
        "INSERT ON {0}.events",
        "INSERT, UPDATE, DELETE ON {0}.agent_traces",
    ):
        with pytest.raises(RetryLater, match="denied"):
            await sql.build(options).__aenter__()
        server.run(f"GRANT {grant.format(schema.schema)} TO {writer}")
    async with sql.build(options) as sink:
        await sink.send(batch(conversation()))
    assert count(schema) == len(conversation())
    server.run(f"DROP OWNED BY {writer}")
    server.run(f"DROP ROLE {writer}")


async def test_a_lock_that_is_not_released_is_waited_for_until_the_timeout(
    schema: PostgresSchema,
) -> None:
    async with sql.build(schema.options(timeout=Seconds(0.3))) as sink:
        with schema.server.connect() as holder, holder.transaction():
            holder.execute(f"LOCK TABLE {schema.schema}.events IN ACCESS EXCLUSIVE MODE".encode())
            with pytest.raises(RetryLater, match="timeout"):
                await sink.send(batch(conversation()))
        await delivery(sink).send(batch(conversation()))
    assert count(schema) == len(conversation())


async def test_a_send_that_is_cancelled_leaves_no_session_behind(
    postgres_place: PostgresPlace,
) -> None:
    async with postgres_place.sink() as sink:
        with (
            postgres_place.way.fault("timeout", "downstream", timeout=0),
            pytest.raises(TimeoutError),
        ):
            await asyncio.wait_for(sink.send(batch_for("sql", lines_of(10))), timeout=0.2)
    query = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{postgres_place.stored.schema}'"
    wait_until(lambda: not postgres_place.stored.server.run(query))


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def write_certificate(certificate: trustme.LeafCert, path: Path) -> Path:
    path.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def tls_server(
    ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    folder = tmp_path_factory.mktemp("tls")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = PostgresServer(
        write_certificate(ca.issue_cert("127.0.0.1"), folder / "server.pem"), folder / "ca.pem"
    )
    server.start()
    yield server
    server.destroy()


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("unknown CA", "certificate verify failed"),
        ("wrong host", "does not match host"),
        ("expired", "certificate verify failed"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_rejected_and_the_reason_reported(
    case: str, said: str, ca: trustme.CA, tls_server: PostgresServer, tmp_path: Path
) -> None:
    certificate = {
        "unknown CA": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "wrong host": lambda: ca.issue_cert("127.0.0.2"),
        "expired": lambda: ca.issue_cert(
            "127.0.0.1",
            not_before=datetime.now(UTC) - timedelta(2),
            not_after=datetime.now(UTC) - timedelta(1),
        ),
    }[case]()
    tls_server.present(write_certificate(certificate, tmp_path / "server.pem"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with PostgresSchema.on(tls_server) as schema, pytest.raises(RetryLater, match=said) as caught:
        await sql.build(
            schema.options(tls=TlsOptions(ca_file=str(tmp_path / "ca.pem")))
        ).__aenter__()
    assert caught.value.reason == "tls"


async def test_a_client_certificate_is_read_again_when_it_changes_on_disk(
    ca: trustme.CA, tls_server: PostgresServer, tmp_path: Path
) -> None:
    tls_server.present(write_certificate(ca.issue_cert("127.0.0.1"), tmp_path / "server.pem"))
    client = write_certificate(trustme.CA().issue_cert("client.example"), tmp_path / "client.pem")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    options = TlsOptions(ca_file=str(tmp_path / "ca.pem"), cert_file=str(client))
    with PostgresSchema.on(tls_server) as schema:
        sink = sql.build(schema.options(tls=options))
        with pytest.raises(RetryLater) as caught:
            await sink.__aenter__()
        assert caught.value.reason == "tls"
        write_certificate(ca.issue_cert("client.example"), client)
        async with sink:
            await sink.send(batch(conversation()))
        assert count(schema) == len(conversation())


async def test_a_server_may_be_known_by_another_name(
    ca: trustme.CA, tls_server: PostgresServer, tmp_path: Path
) -> None:
    tls_server.present(write_certificate(ca.issue_cert("db.example"), tmp_path / "server.pem"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = write_certificate(ca.issue_cert("client.example"), tmp_path / "client.pem")
    tls = TlsOptions(
        ca_file=str(tmp_path / "ca.pem"), cert_file=str(client), server_hostname="db.example"
    )
    with PostgresSchema.on(tls_server) as schema:
        async with sql.build(schema.options(tls=tls)):
            pass


@pytest.mark.parametrize(
    ("url", "loaded"), [("sqlite:///tmp/x.db", set()), ("postgresql://u@127.0.0.1/d", {"psycopg"})]
)
def test_what_an_engine_does_not_need_is_not_loaded(
    url: str, loaded: set[str], tmp_path: Path
) -> None:
    code = f"""
import asyncio, sys
from tracesidecar.errors import RetryLater
from tracesidecar.sinks.registry import sink_type
from tracesidecar.units import Secret
sql = sink_type("sql")
url = Secret({url.replace("/tmp", str(tmp_path))!r})
sink = sql.build(sql.options(name="base", type="sql", url=url))
try:
    asyncio.run(sink.__aenter__())
except RetryLater:
    pass
print(*({{"psycopg", "duckdb", "aiohttp", "boto3", "pyarrow"}} & sys.modules.keys()))
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ},
        timeout=600,
    ).stdout.split(b"\n")[-2]
    assert set(said.decode().split()) == loaded
