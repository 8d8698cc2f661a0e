"""OpenAI Agents SDK: spans belong to the group of their trace; turns do not add to calls."""

from __future__ import annotations

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event

FILE = "/srv/agent/agents.jsonl"


def fixture() -> list[Event]:
    return events_of(FILE, (FIXTURES / "openai_agents/support.jsonl").read_bytes().splitlines())


def test_totals_count_no_turn_and_no_span_that_only_began() -> None:
    counted = [event for event in fixture() if event.usage_scope == "call"]
    assert [
        (event.input_tokens, event.cache_read_input_tokens, event.output_tokens)
        for event in counted
    ] == [(300, 256, 30), (400, None, 40), (50, None, 5)]
    assert counted[1].api_call_id == "resp_0Agents0000000001"


def test_spans_are_of_their_traces_group_else_of_the_trace() -> None:
    assert {event.conversation_id for event in fixture()} == {"chat-41", "trace_" + "6" * 32}


def test_a_span_whose_trace_was_written_elsewhere_is_of_its_trace() -> None:
    (event,) = events_of(
        FILE,
        [
            {
                "object": "trace.span",
                "id": "span_1",
                "trace_id": "trace_9",
                "span_data": {"type": "agent", "name": "A"},
                "ended_at": "x",
            }
        ],
    )
    assert (event.conversation_id, event.agent_name) == ("trace_9", "A")


def test_a_guardrail_that_trips_denies_and_a_tool_that_raises_fails() -> None:
    events = fixture()
    assert [
        (event.text, event.outcome) for event in events if event.event_kind == "permission"
    ] == [("no_secrets", "failure"), ("polite", "success")]
    assert [
        (event.tool_name, event.tool_type, event.outcome)
        for event in events
        if event.event_kind == "tool_call"
    ] == [
        ("find_order", "function", "success"),
        ("send_mail", "mcp", "failure"),
    ]


def test_only_a_kind_of_span_that_nobody_knows_is_unknown() -> None:
    assert [event.native_id for event in fixture() if event.event_kind == "unknown"] == [
        "span_000000000000000000000015"
    ]
