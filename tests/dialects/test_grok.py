"""Grok Build: updates and messages of a session, old and new; a turn's usage counts once."""

from __future__ import annotations

from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

SESSION = ".grok/sessions/%2Fhome%2Fgardener%2Forchard/019f1111-0000-7000-8000-00000000000a"


def fixture_events(name: str) -> list[Event]:
    return events_of(
        f"/home/gardener/{SESSION}/{name}",
        (FIXTURES / "grok" / SESSION / name).read_bytes().splitlines(),
    )


def test_the_path_says_session_and_directory() -> None:
    said = {(event.conversation_id, event.cwd) for event in fixture_events("chat_history.jsonl")}
    assert said == {("019f1111-0000-7000-8000-00000000000a", "/home/gardener/orchard")}


def test_a_repeated_turn_is_the_same_calls() -> None:
    calls = {
        event.api_call_id: event
        for event in fixture_events("updates.jsonl")
        if event.usage_scope == "call"
    }
    assert len(calls) == 3
    assert sum(call.input_tokens or 0 for call in calls.values()) == 950
    assert sum(call.cache_read_input_tokens or 0 for call in calls.values()) == 300
    assert sum(call.output_tokens or 0 for call in calls.values()) == 75
    assert [call.cost_usd for call in calls.values() if call.cost_source == "recorded"] == [
        0.00125,
        0.00005,
    ]


def test_results_have_the_name_of_their_tool() -> None:
    for name in ("updates.jsonl", "chat_history.jsonl"):
        calls = {
            event.tool_call_id: event.tool_name
            for event in fixture_events(name)
            if event.event_kind == "tool_call" and event.tool_call_id != "ws_1"
        }
        results = {
            event.tool_call_id: event.tool_name
            for event in fixture_events(name)
            if event.event_kind == "tool_result"
        }
        assert calls == results


def test_what_was_put_in_for_the_user_is_not_said_by_the_user() -> None:
    said = [
        event.text
        for event in fixture_events("chat_history.jsonl")
        if event.event_kind == "user_message"
    ]
    assert said == ["water the orchard\ngently", "hurry"]


def test_every_sample_line_becomes_what_it_is() -> None:
    events = events_of("/home/gardener/.grok/sessions/%2Fw/s-1/updates.jsonl", sample("grok.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "user_message": 4,
        "model_message": 6,
        "reasoning": 3,
        "state": 3,
        "tool_call": 3,
        "tool_result": 2,
    }
