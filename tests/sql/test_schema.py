"""The sink creates and migrates its tables itself, and only ever adds columns."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.ddl.lakes import CALLS, rows
from tests.servers.postgres import PostgresServer
from tests.sql.engines import PostgresSchema, Stored
from tests.sql.rebuilding import rebuild_turns
from tests.sql.traces import batch, conversation
from tracesidecar.ddl.agent_traces import TURN_COLUMNS
from tracesidecar.ddl.statement import ROW
from tracesidecar.ddl.views import total_views
from tracesidecar.dialects import Event
from tracesidecar.sinks.sql import sink as sql
from tracesidecar.sinks.sql.schema import VERSION

LAYOUTS = {
    1: "4c1f16ee10d84c56",
    2: "abb52d873f73f33b",
    3: "03e729e1b732434a",
    4: "b8df25af41741db8",
}
"""A digest of the columns of each version: where it is another, VERSION goes up and what was
published stays as it was.
"""


def test_each_version_has_its_columns() -> None:
    layout = "\n".join(f"{column.name} {column.type}" for column in (*ROW, *TURN_COLUMNS))
    assert LAYOUTS[VERSION] == hashlib.sha256(layout.encode()).hexdigest()[:16]


async def test_model_calls_may_be_summed(stored: Stored) -> None:
    async with sql.build(stored.options()) as sink:
        for dialect in {dialect for dialect, _ in rows()}:
            events = [event for each, event in rows() if each == dialect]
            for event in events:
                event.raw = None
            await sink.send(batch(events, dialect))
    found = stored.ask(
        "SELECT dialect, count(*), sum(input_tokens), sum(output_tokens) FROM model_calls GROUP "
        "BY dialect"
    )
    assert {
        (dialect, calls, int(given), int(made)) for dialect, calls, given, made in found
    } == CALLS


async def test_a_column_that_is_new_is_added_and_rows_stay(stored: Stored) -> None:
    async with sql.build(stored.options()) as sink:
        await sink.send(batch(conversation()))
    for view in ("model_calls", "session_totals"):
        stored.ask(f"DROP VIEW {view}")
    stored.ask("ALTER TABLE events DROP COLUMN labels")
    stored.ask("ALTER TABLE agent_traces DROP COLUMN trace_id")
    stored.ask("DELETE FROM tracesidecar_schema")
    async with sql.build(stored.options()) as sink:
        await sink.send(batch(conversation()))
    assert stored.ask("SELECT count(*), count(labels) FROM events") == [(len(conversation()), 0)]
    assert stored.ask("SELECT count(*), count(trace_id) FROM agent_traces") == [(3, 0)]


@pytest.mark.parametrize(
    ("version", "columns"),
    [(1, ("exit_code", "generation", "processed_by")), (2, ("generation", "processed_by"))],
)
async def test_tables_of_an_earlier_version_get_its_later_columns(
    stored: Stored, version: int, columns: tuple[str, ...]
) -> None:
    async with sql.build(stored.options()) as sink:
        await sink.send(batch(conversation()))
    for view in ("model_calls", "session_totals"):
        stored.ask(f"DROP VIEW {view}")
    for column in columns:
        stored.ask(f"ALTER TABLE events DROP COLUMN {column}")
    for statement in total_views("", create="CREATE VIEW"):
        stored.ask(statement.text)
        if isinstance(stored, PostgresSchema):
            stored.ask(f"ALTER VIEW {statement.name} OWNER TO {stored.schema}")
    stored.ask(f"UPDATE tracesidecar_schema SET version = {version}")
    failed = Event(
        event_kind="tool_result",
        event_id="f" * 32,
        exit_code=3,
        generation=1,
        processed_by="2.0.0+00000000",
    )
    failed.event_time = failed.ingest_time = "2026-09-01T10:00:00.000000Z"
    async with sql.build(stored.options()) as sink:
        await sink.send(batch([failed]))
    found = f"SELECT {', '.join(columns)} FROM events WHERE event_id = '{'f' * 32}'"
    assert stored.ask(found) == [tuple(getattr(failed, column) for column in columns)]
    empty = f"SELECT count(*) FROM events WHERE {columns[0]} IS NULL"
    assert stored.ask(empty) == [(len(conversation()),)]
    assert stored.ask("SELECT max(version) FROM tracesidecar_schema") == [(VERSION,)]


async def test_tables_of_a_later_version_take_our_rows_and_stay_as_they_are(stored: Stored) -> None:
    async with sql.build(stored.options()):
        pass
    stored.ask("ALTER TABLE events ADD COLUMN of_the_future INTEGER")
    stored.ask("UPDATE tracesidecar_schema SET version = 99")
    async with sql.build(stored.options()) as sink:
        await sink.send(batch(conversation()))
    assert stored.ask("SELECT version FROM tracesidecar_schema") == [(99,)]
    assert stored.ask("SELECT count(*), count(of_the_future) FROM events") == [
        (len(conversation()), 0)
    ]


def test_turns_of_events_that_were_there_before_are_counted(stored: Stored) -> None:
    async def send() -> None:
        async with sql.build(stored.options()) as sink:
            await sink.send(batch(conversation()))

    asyncio.run(send())
    before = stored.ask("SELECT * FROM agent_traces ORDER BY id")
    rebuild_turns(stored)
    assert stored.ask("SELECT * FROM agent_traces ORDER BY id") == before
    assert len(before) == 3


def test_the_page_describes_each_column_of_a_turn() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "sinks" / "sql.md").read_text(
        encoding="utf-8"
    )
    status = "`completed`, `timeout` or `error`; "
    described = [
        f"| `{column.name}` | {status if column.values else ''}{column.doc} |"
        for column in TURN_COLUMNS
    ]
    assert [row for row in described if row not in page] == []


async def test_the_queries_of_the_page_can_be_run(postgres_server: PostgresServer) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "sinks" / "sql.md").read_text(
        encoding="utf-8"
    )
    queries = (
        page.partition("## Reading")[2].partition("```sql")[2].partition("```")[0].split(";")[:-1]
    )
    with PostgresSchema.on(postgres_server) as schema:
        async with sql.build(schema.options()) as sink:
            await sink.send(batch(conversation()))
        found = [
            schema.ask(query.replace("agent_traces.", f"{schema.schema}.")) for query in queries
        ]
    assert [len(rows) for rows in found] == [1, 1, 1]
