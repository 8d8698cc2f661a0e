"""`agent_traces` has one row per turn, whatever the order of the events, their batches, and
repeats.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.sql.engines import Stored
from tests.sql.traces import batch, conversation, event
from tracesidecar.ddl.agent_traces import TIMES, TURN_COLUMNS
from tracesidecar.dialects import Event
from tracesidecar.sinks.sql import sink as sql

FIRST = {
    "id": conversation()[1].event_id,
    "session_id": "conversation-1",
    "agent_id": None,
    "workspace_id": "/home/someone/project",
    "started_at": "2026-09-01T10:00:01.000000Z",
    "finished_at": "2026-09-01T10:00:06.000000Z",
    "duration_ms": 5000.0,
    "prompt_tokens": 230,
    "completion_tokens": 30,
    "total_tokens": 260,
    "final_status": "completed",
    "error_message": None,
    "tool_call_count": 1,
    "tool_calls": [
        {
            "toolName": "Bash",
            "durationMs": 1500.0,
            "error": "no such folder",
            "timestamp": 1788256803000,
        }
    ],
    "circuit_breaker_events": [],
    "dialect": "claude_code",
    "agent_name": "invented",
    "trace_id": None,
}
SECOND = FIRST | {
    "id": conversation()[8].event_id,
    "workspace_id": None,
    "started_at": "2026-09-01T10:01:00.000000Z",
    "finished_at": "2026-09-01T10:01:04.000000Z",
    "duration_ms": 4000.0,
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "final_status": "timeout",
    "error_message": "the model did not answer",
    "tool_call_count": 0,
    "tool_calls": [],
}
HELPER = SECOND | {
    "id": conversation()[9].event_id,
    "agent_id": "helper",
    "started_at": "2026-09-01T10:01:01.000000Z",
    "finished_at": "2026-09-01T10:01:02.000000Z",
    "duration_ms": 1000.0,
    "prompt_tokens": 5,
    "completion_tokens": 6,
    "total_tokens": 11,
    "final_status": "completed",
    "error_message": None,
}
TURNS = [FIRST, SECOND, HELPER]


def turns(stored: Stored) -> list[dict[str, Any]]:
    names = [column.name for column in TURN_COLUMNS]
    chosen = ", ".join(stored.time.format(name) if name in TIMES else name for name in names)
    rows = [
        dict(zip(names, row, strict=True))
        for row in stored.ask(f"SELECT {chosen} FROM agent_traces ORDER BY started_at, id")
    ]
    for row in rows:
        for name in ("tool_calls", "circuit_breaker_events"):
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
    return rows


async def send(stored: Stored, *batches: list[Event]) -> None:
    async with sql.build(stored.options()) as sink:
        for number, events in enumerate(batches):
            await sink.send(batch(events, batch_id=f"b{number}"))


async def test_a_turn_is_what_lies_between_two_messages_of_the_user(stored: Stored) -> None:
    await send(stored, conversation())
    assert turns(stored) == TURNS


async def test_a_repeat_changes_nothing(stored: Stored) -> None:
    await send(stored, conversation(), conversation())
    await send(stored, conversation()[3:7])
    assert turns(stored) == TURNS


async def test_the_division_into_batches_changes_nothing(stored: Stored) -> None:
    await send(stored, *([each] for each in conversation()))
    assert turns(stored) == TURNS


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_of_arrival_changes_nothing(stored: Stored, seed: int) -> None:
    shuffled = conversation()
    random.Random(seed).shuffle(shuffled)
    await send(stored, shuffled[:4], shuffled[4:5], shuffled[5:])
    assert turns(stored) == TURNS


async def test_a_turn_has_no_end_while_a_tool_runs(stored: Stored) -> None:
    await send(stored, conversation()[:5])
    [turn] = turns(stored)
    assert (turn["final_status"], turn["tool_calls"][0]["durationMs"]) == (None, None)


async def test_where_no_user_speaks_each_day_with_work_is_a_turn(stored: Stored) -> None:
    days = ["2026-09-01", "2026-09-01", "2026-09-02", "2026-09-03"]
    work = [
        event(number, "model_call", number, day=day, usage_scope="call", output_tokens=1)
        for number, day in enumerate(days)
    ]
    await send(stored, work[:1], work[2:], work[1:2], [event(9, "state", 0, day="2026-09-04")])
    assert [(turn["started_at"][:10], turn["completion_tokens"]) for turn in turns(stored)] == [
        ("2026-09-01", 2),
        ("2026-09-02", 1),
        ("2026-09-03", 1),
    ]


async def test_a_message_that_comes_late_takes_the_place_of_the_days(stored: Stored) -> None:
    work = [
        event(
            number,
            "model_call",
            number,
            day=f"2026-09-0{number}",
            usage_scope="call",
            output_tokens=1,
        )
        for number in (1, 2, 3)
    ]
    await send(stored, work, [event(0, "user_message", 0)])
    [turn] = turns(stored)
    assert (turn["id"], turn["completion_tokens"]) == (event(0, "user_message", 0).event_id, 3)


async def test_spans_of_a_trace_are_a_turn_and_end_with_the_last_of_them(stored: Stored) -> None:
    spans = [
        event(number, kind, number, trace_id=trace, duration_ms=duration, outcome="success")
        for number, (kind, trace, duration) in enumerate(
            [("agent_run", "a", 9000.0), ("model_call", "a", 100.0), ("agent_run", "b", 1e300)]
        )
    ]
    await send(stored, spans)
    found = [
        (turn["trace_id"], turn["duration_ms"], turn["final_status"]) for turn in turns(stored)
    ]
    assert found == [("a", 9000.0, "completed"), ("b", 366 * 86_400_000.0, "completed")]


async def test_a_message_that_is_written_again_begins_no_turn(stored: Stored) -> None:
    again = event(2, "user_message", 1, native_id="m1", supersedes=True)
    await send(
        stored, [event(1, "user_message", 1, native_id="m1"), again], [event(3, "model_message", 2)]
    )
    assert [turn["final_status"] for turn in turns(stored)] == ["completed"]
