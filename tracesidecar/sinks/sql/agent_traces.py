"""Keeps `agent_traces` in step with `events`, within the transaction that takes events in.

What came in is noted in the temporary table `touched`: each thread (an agent in a conversation;
where there are spans, in a trace) with the time of its earliest new event. From the user's message
before that time on, the turns of the thread are folded anew from `events`; what lies before cannot
have changed. So a row depends only on the events that are there, not on when and in which batches
they came: repeats, restarts and late events are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tracesidecar.sinks.sql.engine import Engine, Session
from tracesidecar.sinks.sql.turns import Step, Turn, turns

T = TypeVar("T")

ROWS_AT_ONCE = 500

_THREAD = "dialect, conversation_id, COALESCE(agent_id, ''), COALESCE(trace_id, '')"

_SPOKEN_AT = """UPDATE touched SET spoken_at = (
  SELECT MAX(e.event_time) FROM events AS e
  WHERE e.conversation_id = touched.conversation_id AND e.dialect = touched.dialect
    AND COALESCE(e.agent_id, '') = touched.thread AND COALESCE(e.trace_id, '') = touched.trace_id
    AND e.event_kind = 'user_message' AND e.supersedes IS NOT TRUE AND e.event_time < touched.since
)"""

_STEPS = """SELECT e.dialect, e.conversation_id, t.thread, t.trace_id, t.spoken_at IS NOT NULL, e.event_id, {time},
  {columns}
FROM touched AS t JOIN events AS e ON e.conversation_id = t.conversation_id AND e.dialect = t.dialect
  AND COALESCE(e.agent_id, '') = t.thread AND COALESCE(e.trace_id, '') = t.trace_id
WHERE e.event_time >= COALESCE(t.spoken_at, {day})
ORDER BY e.dialect, e.conversation_id, t.thread, t.trace_id, e.event_time, e.source_offset,
  CASE e.event_kind WHEN 'user_message' THEN 0 WHEN 'tool_call' THEN 2 WHEN 'tool_result' THEN 3 WHEN 'error' THEN 4 ELSE 1 END, e.event_id"""
"""Events of one line have one time and one place: what was said stands before the tools that it
called.
"""

_THERE = """SELECT a.id FROM touched AS t JOIN agent_traces AS a ON a.session_id = t.conversation_id AND a.dialect = t.dialect
  AND COALESCE(a.agent_id, '') = t.thread AND COALESCE(a.trace_id, '') = t.trace_id
WHERE a.started_at > t.spoken_at OR (t.spoken_at IS NULL AND a.started_at >= {day})"""


def make_touched(session: Session, engine: Engine) -> None:
    """Have an empty table `touched`."""
    text, time = engine.types.names["string"], engine.types.time
    session.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS touched (dialect {text}, conversation_id {text}, thread {text}, trace_id {text}, since {time}, spoken_at {time})"
    )
    session.execute("DELETE FROM touched")


def touch(source: str) -> str:
    """Write the statement that notes the rows of `source`, a table that has the columns of
    `events`.
    """
    return f"INSERT INTO touched (dialect, conversation_id, thread, trace_id, since)\nSELECT {_THREAD}, MIN(event_time) FROM {source} GROUP BY {_THREAD}"


def rebuild(session: Session, engine: Engine) -> None:
    """Fold all turns anew."""
    make_touched(session, engine)
    session.execute(touch("events"))
    refresh(session, engine)


def refresh(session: Session, engine: Engine) -> None:
    """Bring the turns of what was touched up to date."""
    session.execute(_SPOKEN_AT)
    day = engine.day.format("t.since")
    columns = ", ".join(f"e.{column}" for column in Step._fields[7:])
    steps = session.stream(
        _STEPS.format(time=engine.time_text.format("e.event_time"), columns=columns, day=day)
    )
    found = list(turns(Step(*row) for row in steps))  # type: ignore[arg-type]
    there = {str(id_) for (id_,) in session.execute(_THERE.format(day=day))}
    for ids in _chunks(sorted(there - {turn.id for turn in found})):
        session.execute(f"DELETE FROM agent_traces WHERE id IN ({_marks(engine, len(ids))})", ids)
    for rows in _chunks(found):
        session.execute(_upsert(engine, len(rows)), [value for row in rows for value in row])


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


def _marks(engine: Engine, count: int) -> str:
    return ", ".join([engine.mark] * count)


def _upsert(engine: Engine, count: int) -> str:
    """Several rows at once: DuckDB takes as long for a statement with one."""
    rows = ", ".join([f"({_marks(engine, len(Turn._fields))})"] * count)
    changes = ", ".join(
        f"{column} = excluded.{column}" for column in Turn._fields if column != "id"
    )
    return f"INSERT INTO agent_traces ({', '.join(Turn._fields)}) VALUES {rows}\nON CONFLICT (id) DO UPDATE SET {changes}"
