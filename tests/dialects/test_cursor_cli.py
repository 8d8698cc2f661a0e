"""Cursor CLI: the path gives the conversation, and lines without ids and times stay separate."""

from __future__ import annotations

from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.registry import load_dialect

FOLDER = "/home/agent/.cursor/projects/home-agent-shop/agent-transcripts"


def make_message(content: object, role: str = "user") -> dict[str, object]:
    return {"role": role, "message": {"content": content}}


def fixture() -> list[Event]:
    (path,) = (FIXTURES / "cursor_cli").rglob("0c5b1d2e*.jsonl")
    return events_of(f"{FOLDER}/{path.stem}/{path.name}", path.read_bytes().splitlines())


def test_a_subagent_has_its_own_conversation_and_knows_its_parent() -> None:
    (event,) = events_of(f"{FOLDER}/main-1/subagents/sub-2.jsonl", [make_message("look")])
    assert (event.conversation_id, event.parent_conversation_id, event.is_subagent) == (
        "sub-2",
        "main-1",
        True,
    )
    (event,) = events_of(f"{FOLDER}/main-1/main-1.jsonl", [make_message("look")])
    assert (event.conversation_id, event.parent_conversation_id, event.is_subagent) == (
        "main-1",
        None,
        None,
    )


def test_a_path_of_windows_is_a_path() -> None:
    (event,) = events_of(
        r"C:\Users\a\.cursor\projects\x\agent-transcripts\main-1\main-1.jsonl",
        [make_message("look")],
    )
    assert (event.conversation_id, event.event_kind) == ("main-1", "user_message")


def test_equal_lines_are_events_of_their_own() -> None:
    assert (
        len(
            {
                event.event_id
                for event in events_of(f"{FOLDER}/m/m.jsonl", [make_message("again")] * 3)
            }
        )
        == 3
    )


def test_the_tag_around_what_the_user_typed_is_not_text() -> None:
    (event,) = events_of(
        f"{FOLDER}/m/m.jsonl", [make_message("<user_query>\nWhat is Go?\n</user_query>")]
    )
    assert event.text == "What is Go?"


def test_a_result_has_the_name_of_its_call() -> None:
    results = [event for event in fixture() if event.event_kind == "tool_result"]
    assert [(event.tool_name, event.outcome) for event in results] == [
        ("Read", "success"),
        (None, "failure"),
    ]


def test_nothing_has_a_time_or_usage() -> None:
    assert {(event.event_time, event.input_tokens, event.usage_scope) for event in fixture()} == {
        (None, None, None)
    }


def test_samples_become_messages_and_tools() -> None:
    events = events_of(
        f"{FOLDER}/m/m.jsonl", sample("cursor_cli.jsonl"), load_dialect("cursor_cli")
    )
    assert Counter(event.event_kind for event in events) == {
        "user_message": 17,
        "model_message": 10,
        "tool_call": 13,
        "reasoning": 2,
        "state": 2,
    }
    assert {event.tool_type for event in events if event.tool_name} == {"read", "edit", "shell"}
