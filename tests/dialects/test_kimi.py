"""Sessions of Kimi CLI and Kimi Code: named by their path, with the usage of each step."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

CLI = ".kimi/sessions/ab12/orchard-1/wire.jsonl"
CODE = ".kimi-code/sessions/wd_orchard_0123/session_b/agents"


def fixture_events(name: str) -> list[Event]:
    return events_of(f"/home/agent/{name}", (FIXTURES / "kimi" / name).read_bytes().splitlines())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CLI, ("kimi-cli", "orchard-1", None, None)),
        (
            ".kimi/sessions/ab12/orchard-1/subagents/a9/wire.jsonl",
            ("kimi-cli", "orchard-1", "a9", True),
        ),
        (f"{CODE}/main/wire.jsonl", ("kimi-code", "session_b", "main", False)),
        (f"{CODE}/agent-1/wire.jsonl", ("kimi-code", "session_b", "agent-1", True)),
    ],
)
def test_the_path_says_whose_session_it_is(path: str, expected: tuple[object, ...]) -> None:
    [event] = events_of(
        f"C:\\Users\\agent\\{path}".replace("/", "\\"),
        [{"type": "metadata", "protocol_version": "1.4"}],
    )
    assert (event.agent_name, event.conversation_id, event.agent_id, event.is_subagent) == expected


def test_tokens_of_the_steps_of_kimi_cli_add_up() -> None:
    calls = [event for event in fixture_events(CLI) if event.usage_scope == "call"]
    assert [(event.api_call_id, event.input_tokens, event.output_tokens) for event in calls] == [
        ("chatcmpl-orchard-1", 130, 50),
        (None, None, 9),
    ]


def test_zeros_before_anything_was_called_are_no_call() -> None:
    zeros = dict.fromkeys(("input_other", "output", "input_cache_read", "input_cache_creation"), 0)
    [event] = events_of(
        f"/home/agent/{CLI}",
        [
            {
                "timestamp": 1.0,
                "message": {"type": "StatusUpdate", "payload": {"token_usage": zeros}},
            }
        ],
    )
    assert (event.event_kind, event.usage_scope) == ("state", None)


def test_tokens_of_kimi_code_count_once_though_the_step_repeats_them() -> None:
    used = [
        (event.usage_scope, event.api_call_id, event.input_tokens, event.output_tokens)
        for event in fixture_events(f"{CODE}/main/wire.jsonl")
        if event.usage_scope
    ]
    assert used == [
        ("call", "session_b:step_01", 16_190, 37),
        ("call", None, 2, 3),
        ("repeat", None, 16_190, 37),
    ]


def test_a_prompt_is_reported_once_and_injected_text_is_not_the_users() -> None:
    assert [
        event.text
        for event in fixture_events(f"{CODE}/main/wire.jsonl")
        if event.event_kind == "user_message"
    ] == ["How many apples?"]


def test_model_and_directory_are_carried() -> None:
    events = fixture_events(f"{CODE}/main/wire.jsonl")
    assert {event.cwd for event in events[1:]} == {"/home/agent/orchard"}
    assert {event.model for event in events if event.event_kind == "model_message"} == {
        "kimi-code/kimi-for-coding"
    }
    assert [
        event.model
        for event in fixture_events(f"{CODE}/agent-1/wire.jsonl")
        if event.usage_scope == "call"
    ] == ["k3-agent"]


def test_what_a_subagent_did_has_its_agent_and_its_tool() -> None:
    found = [
        (event.agent_id, event.tool_name, event.outcome)
        for event in fixture_events(CLI)
        if event.is_subagent
    ]
    assert found == [("tool_2", "Shell", None), ("a9", "Shell", "failure")]


def test_every_sample_line_becomes_what_it_is() -> None:
    events = events_of(f"/home/agent/{CODE}/main/wire.jsonl", sample("kimi.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "state": 19,
        "user_message": 10,
        "model_call": 7,
        "session_start": 6,
        "model_message": 6,
        "tool_call": 5,
        "tool_result": 5,
        "reasoning": 2,
    }
    assert (
        sum(event.output_tokens or 0 for event in events if event.usage_scope == "call")
        == 50 + 100 + 50 + 75 + 37 + 20 + 11
    )
