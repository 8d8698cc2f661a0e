"""OpenHands: running totals are never summed, and times without a zone are local times."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

CONVERSATION = "77aa0000000040008000000000000001"
FOLDER = f"/home/agent/.openhands/conversations/{CONVERSATION}/events"


def fixture() -> list[Event]:
    (path,) = (FIXTURES / "openhands").rglob("*.jsonl")
    return events_of(f"{FOLDER}/event-00000-all.json", path.read_bytes().splitlines())


def test_usage_is_a_running_total_of_each_use_of_a_model() -> None:
    spent = [event for event in fixture() if event.input_tokens is not None]
    assert {event.usage_scope for event in spent} == {"cumulative"}
    assert [
        (event.input_tokens, event.cache_read_input_tokens, event.output_tokens, event.cost_usd)
        for event in spent
    ] == [
        (500, 0, 50, 0.001),
        (0, 0, 0, 0.0),
        (1600, 400, 120, 0.0035),
        (0, 0, 0, 0.0),
    ]
    assert len({event.event_id for event in spent}) == 4


def test_an_action_is_thought_text_and_call_of_one_response() -> None:
    action = [
        event for event in fixture() if event.native_id == "00000000-0000-4000-8000-000000000005"
    ]
    assert [(event.event_kind, event.text) for event in action] == [
        ("reasoning", "jars first"),
        ("model_message", "I list the jars."),
        ("tool_call", None),
    ]
    assert {event.api_call_id for event in action} == {"chatcmpl-Hands000001"}
    assert (action[2].tool_name, action[2].tool_type, action[2].tool_arguments) == (
        "terminal",
        "shell",
        '{"command":"ls jars"}',
    )


def test_results_say_whether_the_tool_worked() -> None:
    results = {
        event.tool_call_id: event.outcome
        for event in fixture()
        if event.event_kind == "tool_result"
    }
    assert results == {
        "call_h1": "success",
        "call_h3": "failure",
        "call_h4": "failure",
        "acp_1": "success",
    }


def test_what_the_user_rejected_is_a_permission() -> None:
    (event,) = [event for event in fixture() if event.event_kind == "permission"]
    assert (event.tool_call_id, event.outcome, event.text) == (
        "call_h2",
        "failure",
        "Not the jars!",
    )


def test_a_file_for_each_event_belongs_to_the_conversation_of_its_folder() -> None:
    line = {
        "id": "e1",
        "timestamp": "2026-09-03T07:00:00",
        "source": "user",
        "kind": "MessageEvent",
        "llm_message": {"role": "user", "content": "hi"},
    }
    (event,) = events_of(f"{FOLDER}/event-00007-e1.json", [line])
    assert (event.conversation_id, event.event_kind, event.text) == (
        CONVERSATION,
        "user_message",
        "hi",
    )


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", "07:00:00"), ("Europe/Rome", "05:00:00"), ("America/New_York", "11:00:00")],
)
def test_a_time_without_a_zone_is_the_machines(
    zone: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    (event,) = events_of(
        f"{FOLDER}/event-1.json",
        [{"id": "e1", "timestamp": "2026-09-03T07:00:00", "source": "user", "kind": "PauseEvent"}],
    )
    assert event.event_time == f"2026-09-03T{expected}.000000Z"


def test_only_a_kind_that_nobody_knows_is_unknown() -> None:
    assert [event.native_id for event in fixture() if event.event_kind == "unknown"] == [
        "00000000-0000-4000-8000-000000000026"
    ]


def test_samples_become_actions_results_and_running_totals() -> None:
    kinds = Counter(
        event.event_kind
        for event in events_of(f"{FOLDER}/events.jsonl", sample("openhands_sdk.jsonl"))
    )
    assert kinds == {
        "state": 1,
        "usage_summary": 8,
        "reasoning": 2,
        "model_message": 2,
        "tool_call": 2,
        "tool_result": 3,
    }
