"""Copilot's sessions: calls of messages, totals at shutdown, and tools from request to result."""

from __future__ import annotations

from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

SESSION = "5f0c1a2b-7d3e-4c11-9a8f-0d1e2f3a4b5c"
LABEL = f"/home/agent/.copilot/session-state/{SESSION}/events.jsonl"


def fixture_events() -> list[Event]:
    return events_of(
        LABEL,
        (FIXTURES / f"copilot/.copilot/session-state/{SESSION}/events.jsonl")
        .read_bytes()
        .splitlines(),
    )


def test_totals_are_those_of_the_shutdown_per_model() -> None:
    totals = [event for event in fixture_events() if event.usage_scope == "session_total"]
    assert [
        (
            event.model,
            event.input_tokens,
            event.cache_read_input_tokens,
            event.cache_creation_input_tokens,
            event.output_tokens,
        )
        for event in totals
    ] == [
        ("claude-sonnet-4.6", 931_000, 873_000, 51_000, 715),
        ("gemini-3-flash", 400, 0, 0, 50),
        ("claude-sonnet-4.6", 100, 60, 10, 50),
    ]


def test_what_messages_and_compactions_say_is_never_summed() -> None:
    assert {event.usage_scope for event in fixture_events() if event.output_tokens is not None} == {
        "partial",
        "session_total",
    }


def test_a_call_is_counted_once_however_often_it_is_reported() -> None:
    calls = [event.tool_call_id for event in fixture_events() if event.event_kind == "tool_call"]
    assert calls == ["toolu_01", "toolu_02", "call_9"]


def test_results_have_name_kind_and_duration_of_their_call() -> None:
    results = [
        (event.tool_name, event.tool_type, event.duration_ms, event.outcome)
        for event in fixture_events()
        if event.event_kind == "tool_result"
    ]
    assert results == [
        ("view", "read", 250.0, "success"),
        ("bash", "shell", 1400.0, "failure"),
        ("orchard-list_trees", "mcp", 1500.0, "success"),
    ]


def test_the_model_is_carried_and_an_empty_change_changes_nothing() -> None:
    assert [event.model for event in fixture_events() if event.event_kind == "reasoning"] == [
        "claude-sonnet-4.6",
        "claude-sonnet-4.6",
    ]


def test_a_session_without_start_is_named_by_its_folder() -> None:
    [event] = events_of(
        LABEL,
        [
            {
                "type": "user.message",
                "data": {"content": "hello"},
                "timestamp": "2026-09-01T10:00:00Z",
            }
        ],
    )
    assert (event.conversation_id, event.text) == (SESSION, "hello")


def test_fractions_of_billing_units_do_not_disturb() -> None:
    assert not [
        event
        for event in fixture_events()
        if event.event_kind == "unknown"
        and event.native_id != "00000000-0000-4000-8000-00000000001b"
    ]


def test_every_sample_line_becomes_what_it_is() -> None:
    events = events_of(LABEL, sample("copilot_events.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "state": 10,
        "session_start": 8,
        "user_message": 8,
        "model_message": 8,
        "session_end": 7,
        "tool_call": 7,
        "usage_summary": 7,
        "tool_result": 5,
        "reasoning": 3,
    }
    assert (
        sum(event.input_tokens or 0 for event in events)
        == 931_647 + 100 + 200 + 100 + 300 + 100 + 200
    )
