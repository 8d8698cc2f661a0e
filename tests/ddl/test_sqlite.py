"""SQLite takes each event once."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.ddl.lakes import CALLS, as_row, rows
from tracesidecar.ddl.sqlite import statements


def test_events_go_in_once_and_totals_are_right() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        *defined, insert, _ = statements()
        for _ in range(2):
            for statement in defined:
                database.execute(statement.text)
            database.executemany(insert.text, [as_row(dialect, event) for dialect, event in rows()])
        assert database.execute("SELECT count(*) FROM events").fetchone() == (len(rows()),)
        assert (
            set(
                database.execute(
                    "SELECT dialect, count(*), sum(input_tokens), sum(output_tokens) FROM "
                    "model_calls GROUP BY dialect"
                )
            )
            == CALLS
        )
