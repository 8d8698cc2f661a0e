"""Rows of spans: the same columns as over OTLP, for flat or nested attributes, and ids with 0x."""

from __future__ import annotations

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event

FILE = "/srv/agent/spans.jsonl"


def fixture(name: str) -> list[Event]:
    return events_of(FILE, (FIXTURES / "openinference" / name).read_bytes().splitlines())


def test_totals_are_those_of_the_calls() -> None:
    counted = [event for event in fixture("phoenix.jsonl") if event.usage_scope == "call"]
    assert sum(event.input_tokens or 0 for event in counted) == 220 + 250 + 6
    assert sum(event.output_tokens or 0 for event in counted) == 22 + 25
    assert len({event.api_call_id for event in counted}) == len(counted)


def test_nested_attributes_say_what_flat_ones_say() -> None:
    row = {
        "name": "llm",
        "context": {"trace_id": "t1", "span_id": "s1"},
        "start_time": "2026-09-01T09:00:00Z",
    }
    flat = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.token_count.prompt": 5,
        "llm.output_messages.0.message.content": "hi",
    }
    nested = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": {
            "model_name": "m",
            "token_count": {"prompt": 5},
            "output_messages": [{"message": {"content": "hi"}}],
        },
    }
    (one,), (other,) = (
        events_of(FILE, [{**row, "attributes": attributes}]) for attributes in (flat, nested)
    )
    assert one.event_id == other.event_id
    assert (
        (one.model, one.input_tokens, one.text)
        == (other.model, other.input_tokens, other.text)
        == ("m", 5, "hi")
    )


def test_rows_of_the_python_sdk_have_bare_ids_and_the_resource() -> None:
    call, tool = fixture("python_sdk.jsonl")
    assert (call.native_id, call.trace_id, call.agent_name) == (
        "e100000000000001",
        "e1" * 16,
        "row-desk",
    )
    assert (tool.event_kind, tool.outcome, tool.error_message) == (
        "tool_call",
        "failure",
        "card refused",
    )
