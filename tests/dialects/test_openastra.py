"""Open Astra: a turn has tokens, tools and status, alone, below `trace`, or among `traces`."""

from __future__ import annotations

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event


def fixture() -> list[Event]:
    path = FIXTURES / "openastra/export/traces.jsonl"
    return events_of("/srv/export/traces.jsonl", path.read_bytes().splitlines())


def test_turns_have_tokens_outcome_and_duration() -> None:
    assert [
        (
            event.native_id,
            event.input_tokens,
            event.output_tokens,
            event.outcome,
            event.error_type,
            event.error_message,
            event.duration_ms,
        )
        for event in fixture()
        if event.event_kind == "agent_run" and event.native_id
    ] == [
        ("tr_01orchard", 100, 50, "success", None, None, 2300),
        ("tr_02orchard", 10, 0, "failure", "timeout", "the model is resting", 60000.0),
        ("tr_03orchard", 7, 3, "success", None, None, 1000),
        ("tr_04orchard", None, None, "failure", "error", "frost", None),
    ]
    assert [event.conversation_id for event in fixture() if event.usage_scope == "call"] == [
        "ses_01orchard",
        "ses_01orchard",
        "ses_02orchard",
    ]


def test_tools_and_circuit_breakers_are_rows() -> None:
    first = [event for event in fixture() if event.native_id == "tr_01orchard"]
    assert [
        (event.tool_name, event.outcome, event.error_message, event.duration_ms, event.event_time)
        for event in first
        if event.event_kind == "tool_result"
    ] == [
        ("search", "success", None, 120, "2026-09-01T10:00:00.500000Z"),
        ("plant", "failure", "frost", 80, "2026-09-01T10:00:01.000000Z"),
    ]
    [change] = [event for event in first if event.operation_name == "circuit_breaker"]
    assert (change.provider_name, change.event_time) == (
        "example_ai",
        "2026-09-01T10:00:01.500000Z",
    )
    assert len({event.event_id for event in fixture()}) == len(fixture())
