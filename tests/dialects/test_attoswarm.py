"""attoswarm: all files of a run are one conversation, and what was not measured is not 0."""

from __future__ import annotations

from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample

RUN = "/home/agent/.agent/hybrid-swarm"
FILES = {
    "attoswarm-events.jsonl": f"{RUN}/swarm.events.jsonl",
    "attoswarm-agent-trace.jsonl": f"{RUN}/agents/agent-task-1.trace.jsonl",
    "attoswarm-control.jsonl": f"{RUN}/control.jsonl",
}


def test_the_files_of_a_run_are_one_conversation() -> None:
    folder = FIXTURES / "attoswarm/.agent/hybrid-swarm"
    events = [
        event
        for path in sorted(folder.rglob("*.jsonl"))
        for event in events_of(f"{RUN}/{path.relative_to(folder)}", path.read_bytes().splitlines())
    ]
    assert {event.conversation_id for event in events} == {"hybrid-swarm"}
    assert {event.agent_name for event in events} == {"attoswarm"}


def test_cost_is_the_agents_total_where_it_was_measured() -> None:
    def entry(cost: float, tokens: int) -> dict[str, object]:
        data = {"cost_usd": cost, "tokens_used": tokens, "duration_s": 2.5, "error": ""}
        return {
            "timestamp": 1781000000.5,
            "agent_id": "a",
            "task_id": "t",
            "entry_type": "cost_delta",
            "data": data,
        }

    measured, free, unmeasured = events_of(
        FILES["attoswarm-agent-trace.jsonl"], [entry(0.12, 4000), entry(0.0, 10), entry(0.0, 0)]
    )
    assert (measured.cost_usd, measured.usage_scope, measured.duration_ms) == (
        0.12,
        "agent_total",
        2500.0,
    )
    assert (free.cost_usd, free.usage_scope) == (0.0, "agent_total")
    assert (unmeasured.cost_usd, unmeasured.usage_scope, unmeasured.outcome) == (
        None,
        None,
        "success",
    )


def test_a_task_that_failed_says_why() -> None:
    failed = {
        "event_type": "fail",
        "timestamp": 1781000000.5,
        "task_id": "t",
        "agent_id": "a",
        "data": {},
        "message": "Task t failed",
    }
    (event,) = events_of(FILES["attoswarm-events.jsonl"], [failed])
    assert (event.event_kind, event.outcome, event.error_message) == (
        "agent_run",
        "failure",
        "Task t failed",
    )


def test_every_sample_line_becomes_what_it_is() -> None:
    kinds = {
        name: Counter(event.event_kind for event in events_of(label, sample(name)))
        for name, label in FILES.items()
    }
    assert kinds == {
        "attoswarm-events.jsonl": {"state": 18, "agent_run": 22},
        "attoswarm-agent-trace.jsonl": {"usage_summary": 8, "error": 5},
        "attoswarm-control.jsonl": {"state": 1},
    }
