"""Gemini CLI's sessions: a message that comes again replaces itself, and counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

SESSION = "9c1d2e3f-4a5b-4c6d-8e7f-0a1b2c3d4e5f"
CHATS = ".gemini/tmp/a1b2c3/chats"
MAIN = f"{CHATS}/session-2026-09-01T10-00-9c1d2e3f.jsonl"


def fixture_events(name: str = MAIN) -> list[Event]:
    return events_of(f"/home/agent/{name}", (FIXTURES / "gemini" / name).read_bytes().splitlines())


def calls(events: Iterable[Event]) -> list[Event]:
    """Return one row for each call: the last one."""
    return list(
        {
            event.api_call_id or event.event_id: event
            for event in events
            if event.usage_scope == "call"
        }.values()
    )


def message(text: str, **members: object) -> dict[str, object]:
    tokens = {"input": 10, "output": 2, "cached": 0, "thoughts": 0, "tool": 0, "total": 12}
    return {
        "id": "a1",
        "timestamp": "2026-09-01T10:00:00Z",
        "type": "gemini",
        "content": text,
        "tokens": tokens,
        **members,
    }


def test_totals_are_exact_over_upserts_snapshots_and_a_message_without_id() -> None:
    found = calls(fixture_events())
    assert [
        (event.model, event.input_tokens, event.cache_read_input_tokens, event.output_tokens)
        for event in found
    ] == [
        ("gemini-3-pro", 9007, 4000, 126),
        ("gemini-3-flash", 500, 0, 5),
        ("gemini-3-flash", 500, 200, 10),
        ("gemini-3-flash", 50, None, 2),
    ]


def test_each_version_of_a_message_is_a_row_and_says_that_it_replaces() -> None:
    versions = [
        event
        for event in fixture_events()
        if event.native_id == "a1" and event.event_kind == "model_call"
    ]
    assert [event.supersedes for event in versions] == [None, True, True]
    assert len({event.event_id for event in versions}) == 3


def test_a_message_that_comes_again_as_it_was_is_bookkeeping() -> None:
    first, again = events_of(f"/home/agent/{MAIN}", [message("Seven."), message("Seven.")])
    assert (first.event_kind, again.event_kind, again.usage_scope) == ("model_call", "state", None)


def test_a_tool_call_and_its_result_are_reported_once() -> None:
    tools = [
        (event.event_kind, event.tool_call_id, event.outcome)
        for event in fixture_events()
        if event.tool_call_id
    ]
    assert tools == [
        ("tool_call", "read_file-1", None),
        ("tool_result", "read_file-1", "success"),
        ("tool_call", "shell-2", None),
        ("tool_result", "shell-2", "failure"),
    ]


def test_a_snapshot_says_what_is_new_in_it() -> None:
    snapshot = {"$set": {"messages": [message("Seven."), message("Eight.", id="a2")]}}
    found = events_of(f"/home/agent/{MAIN}", [message("Seven."), snapshot])
    assert [(event.event_kind, event.native_id) for event in found] == [
        ("model_call", "a1"),
        ("state", None),
        ("model_call", "a2"),
    ]


def test_the_path_of_a_subagent_names_its_parent() -> None:
    assert {
        (event.parent_conversation_id, event.is_subagent, event.conversation_id)
        for event in fixture_events(f"{CHATS}/{SESSION}/1d2e3f4a.jsonl")
    } == {(SESSION, True, "1d2e3f4a")}


def test_the_start_of_a_session_is_reported_once() -> None:
    assert [event.event_kind for event in fixture_events()].count("session_start") == 1


def test_every_sample_line_becomes_what_it_is() -> None:
    events = events_of(f"/home/agent/{MAIN}", sample("gemini.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "session_start": 9,
        "state": 7,
        "user_message": 7,
        "model_message": 6,
        "model_call": 5,
        "reasoning": 2,
        "tool_call": 1,
        "tool_result": 1,
    }
    assert [(event.input_tokens, event.output_tokens) for event in calls(events)] == [
        (15_334, 942),
        (9184, 26),
        (60_000, 120),
        (5000, 120),
    ]


def test_a_stream_is_one_session_with_its_totals() -> None:
    path = FIXTURES / "gemini/ci/count-trees.jsonl"
    events = events_of("/srv/ci/count-trees.jsonl", path.read_bytes().splitlines())
    assert {event.conversation_id for event in events} == {"6f7a8b9c-0d1e-4f2a-8b3c-4d5e6f7a8b9c"}
    assert [event.event_kind for event in events] == [
        "session_start",
        "user_message",
        "tool_call",
        "tool_result",
        "error",
        "model_message",
        "unknown",
        "session_end",
    ]
    result, end = events[3], events[-1]
    assert (result.tool_name, result.outcome, result.error_message, result.duration_ms) == (
        "run_shell_command",
        "failure",
        "exit 2",
        1500.0,
    )
    assert (end.input_tokens, end.output_tokens, end.reasoning_output_tokens) == (1000, 250, 50)
    assert (end.usage_scope, end.duration_ms, end.outcome) == ("session_total", 5000, "success")
    assert (end.cost_usd, end.model) == (0.0033, "gemini-2.5-pro")
