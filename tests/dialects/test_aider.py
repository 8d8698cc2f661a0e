"""aider: each launch is a conversation, and each message sent is a call with tokens and cost."""

from __future__ import annotations

import math
from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event

FILE = "/home/agent/aider-analytics.jsonl"


def fixture() -> list[Event]:
    return events_of(FILE, (FIXTURES / "aider/analytics.jsonl").read_bytes().splitlines())


def test_totals_are_those_of_the_messages() -> None:
    counted = [event for event in fixture() if event.usage_scope == "call"]
    assert [(event.input_tokens, event.output_tokens, event.cost_usd) for event in counted] == [
        (2100, 41, 0.00691),
        (2500, 60, 0.0084),
        (10, 1, 0),
    ]
    assert {event.cost_source for event in counted} == {"recorded"}


def test_each_launch_is_a_conversation_also_two_of_one_second() -> None:
    conversations = [event.conversation_id for event in fixture()]
    assert len(set(conversations)) == 4
    assert [
        len(set(conversations[start:stop])) for start, stop in ((0, 1), (1, 14), (14, 15), (15, 20))
    ] == [1, 1, 1, 1]


def test_provider_stands_before_the_model() -> None:
    assert {
        (event.provider_name, event.model) for event in fixture() if event.usage_scope == "call"
    } == {
        ("anthropic", "anthropic/claude-sonnet-4-5"),
        (None, "gpt-4o"),
    }


def test_an_event_that_nobody_knows_is_unknown() -> None:
    assert [event.operation_name for event in fixture() if event.event_kind == "unknown"] == [
        "telepathy"
    ]


def test_samples_have_their_known_totals() -> None:
    events = events_of(FILE, sample("aider_analytics.jsonl"))
    assert Counter(event.event_kind for event in events) == {
        "state": 36,
        "session_end": 9,
        "session_start": 10,
        "model_call": 5,
    }
    counted = [event for event in events if event.usage_scope == "call"]
    assert (
        sum(event.input_tokens or 0 for event in counted),
        sum(event.output_tokens or 0 for event in counted),
    ) == (57948, 968)
    assert math.isclose(sum(event.cost_usd or 0 for event in counted), 0.082115)
