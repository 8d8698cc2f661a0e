"""PostgreSQL loads the lines of a lake with the printed statements, each event once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import psycopg

from tests.ddl.lakes import CALLS, SESSIONS, rows, write
from tracesidecar.ddl import postgres as ddl
from tracesidecar.ddl.lake_location import Lake

LAKE = Lake("/lake", database="traces_test")
NUMBER_OF_TIMES = 2


def load(database: psycopg.Connection, name: str, content: bytes) -> None:
    """Run the printed load statements for one object."""
    statements = {statement.name: statement.text for statement in ddl.statements(LAKE)}
    dt, dialect = (part.partition("=")[2] for part in name.split("/")[1:3])
    database.execute(statements["lines"])
    database.execute("TRUNCATE lines")
    with database.cursor().copy(statements["copy"]) as copy:
        copy.write(gzip.decompress(content))
    database.execute(
        statements["insert"].replace("YYYY-MM-DD", dt).replace("DIALECT'", f"{dialect}'")
    )


def test_objects_go_in_once_and_totals_are_right(postgres: str, tmp_path: Path) -> None:
    objects = write(tmp_path, rows(), "json")
    with psycopg.connect(postgres) as database:
        for _ in range(NUMBER_OF_TIMES):
            for statement in ddl.statements(LAKE):
                if statement.use == "define":
                    database.execute(statement.text)
            for name, content in objects.items():
                load(database, name, content)
        assert database.execute("SELECT count(*) FROM traces_test.events").fetchone() == (
            len(rows()),
        )
        totals = database.execute(
            "SELECT dialect, count(*), sum(input_tokens)::int, sum(output_tokens)::int FROM "
            "traces_test.model_calls GROUP BY dialect"
        )
        assert set(totals) == CALLS
        assert (
            set(
                database.execute(
                    "SELECT dialect, conversation_id, input_tokens::int, output_tokens::int FROM "
                    "traces_test.session_totals"
                )
            )
            == SESSIONS
        )


def test_nul_becomes_the_replacement_character_and_what_only_looks_like_it_stays(
    postgres: str, tmp_path: Path
) -> None:
    dialect, given = rows()[0]
    given.text = "a NUL \x00, and \\u0000 as text"
    objects = write(tmp_path, [(dialect, given)], "json")
    with psycopg.connect(postgres) as database:
        for statement in ddl.statements(LAKE):
            if statement.use == "define":
                database.execute(statement.text)
        database.execute("TRUNCATE traces_test.events")
        for name, content in objects.items():
            load(database, name, content)
        [(text, raw)] = database.execute("SELECT text, raw FROM traces_test.events").fetchall()
    assert text == "a NUL \ufffd, and \\u0000 as text"
    assert json.loads(raw) == json.loads(given.raw or "")
