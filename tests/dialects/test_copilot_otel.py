"""Copilot's OpenTelemetry file: a call that spans and log records describe counts once."""

from __future__ import annotations

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.copilot import otel as copilot_otel
from tracesidecar.dialects.event import Event

LABEL = "/home/agent/.copilot/otel/orchard.jsonl"
USAGE = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 30}
INFERENCE = {
    "event.name": "gen_ai.client.inference.operation.details",
    "gen_ai.response.model": "gpt-5.4-mini",
    **USAGE,
}


def fixture_events() -> list[Event]:
    return events_of(
        LABEL, (FIXTURES / "copilot_otel/.copilot/otel/orchard.jsonl").read_bytes().splitlines()
    )


def span(name: str, span_id: str, trace: str = "t1", **attributes: object) -> dict[str, object]:
    said = {
        "gen_ai.operation.name": name,
        "gen_ai.request.model": "gpt-5.4-mini",
        **USAGE,
        **attributes,
    }
    return {
        "type": "span",
        "traceId": trace,
        "spanId": span_id,
        "name": f"{name} x",
        "startTime": [1788256800, 0],
        "attributes": said,
    }


def log(trace: str | None = "t1", **attributes: object) -> dict[str, object]:
    context = {"spanContext": {"traceId": trace, "spanId": "s9"}} if trace else {}
    return {"hrTime": [1788256801, 0], **context, "attributes": {**INFERENCE, **attributes}}


def sum_input_tokens(*lines: dict[str, object]) -> int:
    return sum(
        event.input_tokens or 0 for event in events_of(LABEL, lines) if event.usage_scope == "call"
    )


def test_the_file_counts_each_call_once() -> None:
    assert [
        (event.usage_scope, event.input_tokens) for event in fixture_events() if event.usage_scope
    ] == [
        ("call", 1900),
        ("repeat", 1900),
        ("repeat", 1900),
        ("agent_total", 1900),
        ("call", 80),
    ]


def test_records_of_a_trace_that_spans_count_do_not_count() -> None:
    turn = log("t1", **{"event.name": "copilot_chat.agent.turn", "turn.index": 1})
    assert (
        sum_input_tokens(
            span("chat", "a"), span("chat", "b"), log(), turn, span("invoke_agent", "c")
        )
        == 200
    )


def test_records_of_a_response_without_a_trace_do_not_count_twice() -> None:
    response = {"gen_ai.response.id": "resp_orchard_1"}
    assert sum_input_tokens(span("chat", "a", **response), log(None, **response)) == 100
    assert sum_input_tokens(log(None, **response), span("chat", "a", **response)) == 100


def test_records_count_where_no_span_does() -> None:
    assert sum_input_tokens(log(), log()) == 200
    assert sum_input_tokens(span("invoke_agent", "c")) == 0


def test_a_record_without_conversation_is_of_the_one_of_its_trace() -> None:
    assert {
        event.conversation_id
        for event in fixture_events()
        if event.trace_id == "0af7651916cd43dd8448eb211c80319c"
    } == {"conv-orchard-1"}


def test_lines_of_otlp_are_not_taken_for_flat_ones() -> None:
    assert {
        event.conversation_id is not None
        for event in events_of("/x/traces.jsonl", sample("copilot_otel_genai.jsonl"))
    } == {True}
    assert not copilot_otel.DIALECT.recognise(
        "/x/traces.jsonl", {"resourceSpans": [{"attributes": {"gen_ai.system": "x"}}]}
    )
