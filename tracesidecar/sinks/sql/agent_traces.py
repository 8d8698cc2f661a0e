"""Keeps `agent_traces` up to date with `events`, within the transaction that inserts the events.

The temporary table `touched` has each thread with new events (one agent in a conversation, or in a
trace if there are spans) and the time of the earliest. The turns of a thread are computed again
from the last user message before that time; earlier ones cannot have changed. So a row depends only
on the stored events, not on when or in which batches they came: repeats, restarts and late events
lead to the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tracesidecar.sinks.sql.engine import SqlSyntax, Transaction
from tracesidecar.sinks.sql.turns import Turn, TurnStep, fold_turns

T = TypeVar("T")

ROWS_AT_ONCE = 500

_THREAD = "dialect, conversation_id, COALESCE(agent_id, ''), COALESCE(trace_id, '')"

_SET_SPOKEN_AT = """UPDATE touched SET spoken_at = (
  SELECT MAX(e.event_time) FROM events AS e
  WHERE e.conversation_id = touched.conversation_id AND e.dialect = touched.dialect
    AND COALESCE(e.agent_id, '') = touched.thread AND COALESCE(e.trace_id, '') = touched.trace_id
    AND e.event_kind = 'user_message' AND e.supersedes IS NOT TRUE AND e.event_time < touched.since
)"""

_STEPS = """SELECT e.dialect, e.conversation_id, t.thread, t.trace_id,
  t.spoken_at IS NOT NULL, e.event_id, {time},
  {columns}
FROM touched AS t
JOIN events AS e ON e.conversation_id = t.conversation_id AND e.dialect = t.dialect
  AND COALESCE(e.agent_id, '') = t.thread AND COALESCE(e.trace_id, '') = t.trace_id
WHERE e.event_time >= COALESCE(t.spoken_at, {day})
ORDER BY e.dialect, e.conversation_id, t.thread, t.trace_id, e.event_time, e.source_offset,
  CASE e.event_kind WHEN 'user_message' THEN 0 WHEN 'tool_call' THEN 2 WHEN 'tool_result' THEN 3
  WHEN 'error' THEN 4 ELSE 1 END, e.event_id"""
"""The events of one line have the same time and offset: a message comes before the tools that it
called.
"""

_STORED = """SELECT a.id FROM touched AS t
JOIN agent_traces AS a ON a.session_id = t.conversation_id AND a.dialect = t.dialect
  AND COALESCE(a.agent_id, '') = t.thread AND COALESCE(a.trace_id, '') = t.trace_id
WHERE a.started_at > t.spoken_at OR (t.spoken_at IS NULL AND a.started_at >= {day})"""


def make_touched(transaction: Transaction, syntax: SqlSyntax) -> None:
    """Create the table `touched`, or empty it."""
    text, time = syntax.types.names["string"], syntax.types.time
    transaction.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS touched (dialect {text}, conversation_id {text},"
        f" thread {text}, trace_id {text}, since {time}, spoken_at {time})"
    )
    transaction.execute("DELETE FROM touched")


def touch(source: str) -> str:
    """Return the statement that adds the threads of `source`, a table like `events`."""
    return (
        "INSERT INTO touched (dialect, conversation_id, thread, trace_id, since)\n"
        f"SELECT {_THREAD}, MIN(event_time) FROM {source} GROUP BY {_THREAD}"
    )


def rebuild(transaction: Transaction, syntax: SqlSyntax) -> None:
    """Compute all turns again."""
    make_touched(transaction, syntax)
    transaction.execute(touch("events"))
    refresh(transaction, syntax)


def refresh(transaction: Transaction, syntax: SqlSyntax) -> None:
    """Bring the turns of the touched threads up to date."""
    transaction.execute(_SET_SPOKEN_AT)
    day = syntax.day.format("t.since")
    columns = ", ".join(f"e.{column}" for column in TurnStep._fields[7:])
    steps = transaction.stream(
        _STEPS.format(time=syntax.time_text.format("e.event_time"), columns=columns, day=day)
    )
    found = list(fold_turns(map(TurnStep._make, steps)))
    stored = {str(id_) for (id_,) in transaction.execute(_STORED.format(day=day))}
    for ids in _slices(sorted(stored - {turn.id for turn in found})):
        transaction.execute(
            f"DELETE FROM agent_traces WHERE id IN ({_parameters(syntax, len(ids))})", ids
        )
    for rows in _slices(found):
        transaction.execute(_upsert(syntax, len(rows)), [value for row in rows for value in row])


def _slices(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


def _parameters(syntax: SqlSyntax, count: int) -> str:
    return ", ".join([syntax.parameter] * count)


def _upsert(syntax: SqlSyntax, count: int) -> str:
    """Return a statement for several rows: DuckDB takes as long for one with a single row."""
    rows = ", ".join([f"({_parameters(syntax, len(Turn._fields))})"] * count)
    changes = ", ".join(
        f"{column} = excluded.{column}" for column in Turn._fields if column != "id"
    )
    return (
        f"INSERT INTO agent_traces ({', '.join(Turn._fields)}) VALUES {rows}\n"
        f"ON CONFLICT (id) DO UPDATE SET {changes}"
    )
