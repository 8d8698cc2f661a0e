"""Sessions of pi, OpenClaw and omp: recorded tokens and cost, ids unique in a session."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

PARENT, FORK = "2b3c4d5e-6f7a-4b8c-9d0e-1f2a3b4c5d6e", "3c4d5e6f-7a8b-4c9d-8e0f-2a3b4c5d6e7f"
SESSIONS = ".pi/agent/sessions/--home-agent-orchard--"
LABEL = f"/home/agent/{SESSIONS}/2026-09-01T10-00-00-000Z_{PARENT}.jsonl"
CLAW = ".openclaw/agents/main/sessions/5e6f7a8b-9c0d-4e1f-8a2b-4c5d6e7f8a9b.jsonl"


def fixture_events(name: str) -> list[Event]:
    return events_of(f"/home/agent/{name}", (FIXTURES / "pi" / name).read_bytes().splitlines())


def test_tokens_include_the_cache_and_cost_is_the_recorded_one() -> None:
    calls = [
        event
        for event in fixture_events(f"{SESSIONS}/2026-09-01T10-00-00-000Z_{PARENT}.jsonl")
        if event.usage_scope == "call"
    ]
    assert [(event.input_tokens, event.output_tokens) for event in calls] == [
        (10_615, 91),
        (0, 0),
        (20, 5),
        (42, 17),
    ]
    assert [event.cost_usd for event in calls if event.cost_source == "recorded"] == [
        0.037719,
        0,
        0.001,
    ]


def test_a_fork_counts_what_it_copied_as_its_parents() -> None:
    copied = fixture_events(f"{SESSIONS}/2026-09-01T11-00-00-000Z_{FORK}.jsonl")
    calls = {
        event.api_call_id: event
        for event in (
            *fixture_events(f"{SESSIONS}/2026-09-01T10-00-00-000Z_{PARENT}.jsonl"),
            *copied,
        )
        if event.usage_scope == "call"
    }
    assert {event.parent_conversation_id for event in copied} == {PARENT}
    assert len(calls) == 5
    assert sum(event.output_tokens or 0 for event in calls.values()) == 91 + 0 + 5 + 17 + 2


def test_equal_entry_ids_of_two_sessions_are_two_calls() -> None:
    entry = {
        "type": "message",
        "id": "aa000001",
        "message": {"role": "assistant", "usage": {"output": 1}},
    }
    keys = [
        events_of(f"/home/agent/{SESSIONS}/t_{name}.jsonl", [entry])[0].api_call_id
        for name in ("one", "two")
    ]
    assert keys == ["one:aa000001", "two:aa000001"]


def test_lines_without_ids_are_calls_of_their_own() -> None:
    calls = [
        event
        for event in fixture_events(f"{SESSIONS}/2025-11-20T10-00-00-000Z_old.jsonl")
        if event.usage_scope == "call"
    ]
    assert [(event.api_call_id, event.input_tokens, event.output_tokens) for event in calls] == [
        (None, None, 17),
        (None, None, 17),
    ]
    assert len({event.event_id for event in calls}) == 2


def test_the_path_says_which_program_wrote() -> None:
    assert {event.agent_name for event in fixture_events(CLAW)} == {"openclaw"}
    [event] = events_of(
        "C:\\Users\\agent\\.omp\\agent\\sessions\\x\\t_s1.jsonl", [{"type": "label", "id": "a"}]
    )
    assert (event.agent_name, event.conversation_id) == ("omp", "s1")


def test_results_have_the_name_of_their_tool_also_where_the_line_has_none() -> None:
    results = [
        event.tool_name
        for event in fixture_events(f"{SESSIONS}/2026-09-01T10-00-00-000Z_{PARENT}.jsonl")
        if event.event_kind == "tool_result"
    ]
    assert results == ["read", "bash", "bash"]


def test_every_sample_line_of_pi_becomes_what_it_is() -> None:
    events = events_of(LABEL, sample("pi.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "tool_call": 37,
        "model_call": 31,
        "state": 9,
        "user_message": 8,
        "tool_result": 7,
        "session_start": 2,
        "reasoning": 2,
        "compaction": 1,
        "unknown": 1,
    }
    assert sum(event.cost_usd or 0 for event in events) == pytest.approx(1.20896175)


def test_every_sample_line_of_openclaw_becomes_what_it_is() -> None:
    events = events_of(f"/home/agent/{CLAW}", sample("openclaw.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "session_start": 14,
        "user_message": 11,
        "model_message": 10,
        "model_call": 7,
        "state": 4,
        "tool_call": 4,
        "tool_result": 3,
        "reasoning": 2,
        "compaction": 1,
    }
    assert sum(
        event.cost_usd or 0 for event in events if event.cost_source == "recorded"
    ) == pytest.approx(1.047419)
