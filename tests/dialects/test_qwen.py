"""Qwen Code's sessions: telemetry repeats what messages say, and reasoning counts once."""

from __future__ import annotations

from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

NAME = ".qwen/projects/-home-agent-orchard/chats/7a6b5c4d-3e2f-4a1b-9c8d-7e6f5a4b3c2d.jsonl"
LABEL = f"/home/agent/{NAME}"


def fixture_events() -> list[Event]:
    return events_of(LABEL, (FIXTURES / "qwen" / NAME).read_bytes().splitlines())


def answer(**usage: int) -> Event:
    [event] = events_of(
        LABEL, [{"type": "assistant", "sessionId": "s", "uuid": "u", "usageMetadata": usage}]
    )
    return event


def test_telemetry_is_not_counted() -> None:
    assert [
        (event.usage_scope, event.input_tokens, event.output_tokens)
        for event in fixture_events()
        if event.usage_scope
    ] == [
        ("repeat", 18_000, 47),
        ("call", 18_000, 47),
        ("call", 100, 60),
        ("call", 7, 3),
    ]


def test_thoughts_are_added_unless_the_total_says_that_they_are_within() -> None:
    assert (
        answer(promptTokenCount=10, candidatesTokenCount=5, thoughtsTokenCount=3).output_tokens == 8
    )
    assert (
        answer(
            promptTokenCount=10, candidatesTokenCount=5, thoughtsTokenCount=3, totalTokenCount=18
        ).output_tokens
        == 8
    )
    assert (
        answer(
            promptTokenCount=10, candidatesTokenCount=5, thoughtsTokenCount=3, totalTokenCount=15
        ).output_tokens
        == 5
    )


def test_a_call_with_an_id_of_its_session_only_has_the_session_in_its_key() -> None:
    assert answer(promptTokenCount=1).api_call_id == "s:u"


def test_times_are_text_or_numbers() -> None:
    assert [event.event_time for event in fixture_events() if event.event_kind == "model_call"][
        1
    ] == "2026-09-01T10:00:07.000000Z"


def test_results_have_the_name_of_their_tool() -> None:
    results = [
        (event.tool_name, event.tool_result, event.outcome)
        for event in fixture_events()
        if event.event_kind == "tool_result"
    ]
    assert results == [
        ("read_file", "1,7", "success"),
        ("run_shell_command", "no ladder", "failure"),
    ]


def test_an_error_of_the_interface_is_an_error() -> None:
    assert [
        (event.error_type, event.error_message)
        for event in fixture_events()
        if event.event_kind == "error"
    ] == [("RateLimit", "Too many apples")]


def test_every_sample_line_becomes_what_it_is() -> None:
    events = events_of(LABEL, sample("qwen.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "model_call": 12,
        "user_message": 9,
        "reasoning": 8,
        "tool_call": 6,
        "state": 4,
        "model_message": 3,
        "tool_result": 2,
    }
    assert sum(event.input_tokens or 0 for event in events if event.usage_scope == "call") == 19_349
