"""OTLP-JSON: each call counts once in any convention, and an invalid record affects no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tests.dialects.test_odd_types import variants
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.otel import otlp, otlp_records
from tracesidecar.dialects.otel import semantic_conventions as genai_attributes

FILE = "/srv/agent/telemetry/spans.jsonl"
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def value(plain: object) -> dict[str, object]:
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [value(item) for item in plain]}}
    return {"doubleValue": plain} if isinstance(plain, float) else {"stringValue": plain}


def list_attributes(attributes: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"key": key, "value": value(plain)} for key, plain in attributes.items()]


def span(attributes: Mapping[str, object], **members: object) -> dict[str, object]:
    times = {"startTimeUnixNano": "1788256800000000000", "endTimeUnixNano": "1788256801500000000"}
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "work",
        **times,
        "attributes": list_attributes(attributes),
        **members,
    }


def batch(*spans: object) -> dict[str, object]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": list_attributes({"service.name": "desk"})},
                "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}],
            }
        ]
    }


def of(*spans: object) -> list[Event]:
    return events_of(FILE, [batch(*spans)])


def fixture(name: str) -> list[Event]:
    return events_of(FILE, (FIXTURES / "otlp" / name).read_bytes().splitlines())


def calls(events: list[Event]) -> dict[str, Event]:
    """Return the rows of the model calls: one for each api_call_id, with the most output."""
    best: dict[str, Event] = {}
    for event in events:
        key = event.api_call_id or event.event_id or ""
        if event.usage_scope == "call" and (
            key not in best or (event.output_tokens or 0) > (best[key].output_tokens or 0)
        ):
            best[key] = event
    return best


def totals(events: list[Event]) -> tuple[int, int]:
    counted = calls(events).values()
    return sum(event.input_tokens or 0 for event in counted), sum(
        event.output_tokens or 0 for event in counted
    )


def test_an_agents_total_is_not_added_to_its_calls() -> None:
    events = fixture("genai.jsonl")
    assert totals(events) == (1200 + 1400 + 12, 90 + 80)
    assert [
        (event.input_tokens, event.output_tokens)
        for event in events
        if event.usage_scope == "agent_total"
    ] == [(2600, 170)]


def test_a_call_in_a_span_and_in_a_log_record_is_counted_once() -> None:
    events = fixture("genai.jsonl") + fixture("logs.jsonl")
    assert sum(event.api_call_id == "msg_0Desk000000000002" for event in events) == 2
    only_in_logs = (12304 + 5000 + 900, 25 + 320 + 100)
    assert totals(events) == (2612 + only_in_logs[0], 170 + only_in_logs[1])


def test_every_convention_counts_its_calls_and_none_counts_a_wrapper() -> None:
    counted = calls(fixture("conventions.jsonl")).values()
    assert sorted((event.input_tokens, event.output_tokens) for event in counted) == [
        (110, 11),
        (120, 12),
        (130, 13),
        (140, 14),
        (150, 15),
        (160, 16),
        (17403, 21),
    ]
    assert {event.model for event in counted} == {
        "gpt-4o",
        "gpt-4o-mini",
        "claude-3-5-haiku",
        "gpt-4.1",
        "claude-sonnet-4-5",
        "claude-opus-4-5",
    }


def test_recorded_cost_is_kept_and_named() -> None:
    costs = {
        event.cost_usd
        for event in fixture("conventions.jsonl")
        if event.cost_source == "recorded" and event.usage_scope == "call"
    }
    assert costs == {0.00125, 0.0025, 0.00225, 0.0035}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 60}, 100),
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read_input_tokens": 600}, 700),
        ({"input_tokens": 100, "cache_read_tokens": 60, "cache_creation_tokens": 5}, 165),
    ],
    ids=["within", "more_than_all", "beside_by_name"],
)
def test_what_came_from_a_cache_is_part_of_the_input(
    attributes: Mapping[str, object], expected: int
) -> None:
    (event,) = of(span({"gen_ai.operation.name": "chat", **attributes}))
    assert event.input_tokens == expected


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, "model_call"),
        ({"gen_ai.operation.name": "generate_content"}, "model_call"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool_call"),
        ({"gen_ai.operation.name": "invoke_agent"}, "agent_run"),
        ({"gen_ai.operation.name": "something_new"}, "span"),
        (
            {"gen_ai.operation.name": "something_new", "openinference.span.kind": "LLM"},
            "model_call",
        ),
        ({"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 5}, "span"),
        ({"mlflow.spanType": '"AGENT"'}, "agent_run"),
        ({"gen_ai.usage.input_tokens": 1}, "model_call"),
        ({"http.request.method": "GET"}, "span"),
    ],
)
def test_a_span_is_what_it_says_it_is_else_what_it_counts(
    attributes: Mapping[str, object], kind: str
) -> None:
    (event,) = of(span(attributes))
    assert event.event_kind == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat gpt-4o", "model_call"),
        ("execute_tool pay", "tool_call"),
        ("agent run", "agent_run"),
        ("ai.toolCall", "tool_call"),
    ],
)
def test_a_span_without_a_kind_is_known_by_its_name(name: str, kind: str) -> None:
    (event,) = of(span({}, name=name))
    assert event.event_kind == kind


def test_an_exception_gives_the_reason_for_a_failed_span() -> None:
    raised = {
        "name": "exception",
        "attributes": list_attributes(
            {"exception.type": "TimeoutError", "exception.message": "30 s"}
        ),
    }
    (event,) = of(
        span(
            {"gen_ai.operation.name": "chat"},
            status={"code": 2, "message": "gave up"},
            events=[raised],
        )
    )
    assert (event.outcome, event.error_type, event.error_message) == (
        "failure",
        "TimeoutError",
        "30 s",
    )


def test_an_exception_that_was_handled_is_no_error_of_the_span() -> None:
    raised = {
        "name": "exception",
        "attributes": list_attributes(
            {"exception.type": "Retry", "exception.message": "once more"}
        ),
    }
    (event,) = of(span({"gen_ai.operation.name": "chat"}, status={"code": 1}, events=[raised]))
    assert (event.outcome, event.error_type, event.error_message) == ("success", None, None)


@pytest.mark.parametrize("code", [2, "STATUS_CODE_ERROR"])
def test_enumerations_are_numbers_or_names(code: object) -> None:
    (event,) = of(span({}, status={"code": code, "message": "no"}))
    assert (event.outcome, event.error_message) == ("failure", "no")


def test_64_bit_numbers_are_text_or_numbers() -> None:
    number = {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 7}}
    as_text, as_number = of(
        span({"gen_ai.usage.input_tokens": 7}), {**span({}), "attributes": [number]}
    )
    assert as_text.input_tokens == as_number.input_tokens == 7


def test_each_record_of_a_line_has_a_raw_line_of_its_own_that_says_the_same() -> None:
    first, second = of(
        span({"gen_ai.operation.name": "chat"}),
        span({"gen_ai.operation.name": "execute_tool"}, spanId="eee19b7ec3c1b175"),
    )
    for event in (first, second):
        (alone,) = events_of(FILE, [(event.raw or "").encode()])
        assert (alone.event_id, alone.event_kind, alone.agent_name) == (
            event.event_id,
            event.event_kind,
            "desk",
        )


def test_a_record_of_another_shape_takes_no_other_with_it() -> None:
    assert [
        event.event_kind
        for event in of(span({}), {"attributes": 5}, span({"gen_ai.operation.name": "chat"}))
    ] == ["span", "unknown", "model_call"]


def test_conversation_and_call_fall_back_to_trace_and_span() -> None:
    (event,) = of(span({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}))
    assert (event.conversation_id, event.api_call_id) == (TRACE, f"{TRACE}:{SPAN}")
    (named,) = of(
        span(
            {
                "gen_ai.operation.name": "chat",
                "session.id": "s-1",
                "gen_ai.response.id": "r1",
                "gen_ai.usage.input_tokens": 1,
            }
        )
    )
    assert (named.conversation_id, named.api_call_id) == ("s-1", "s-1:r1")


def test_the_same_batch_written_twice_has_the_same_ids() -> None:
    once = events_of(FILE, [batch(span({"gen_ai.operation.name": "chat"}))])
    twice = events_of(FILE, [batch(span({"gen_ai.operation.name": "chat"}))] * 2)
    assert {event.event_id for event in twice} == {event.event_id for event in once}


@pytest.mark.parametrize(
    ("decision", "outcome"), [("accept", "success"), ("reject", "failure"), (None, None)]
)
def test_waiting_for_the_user_is_a_permission_with_the_users_answer(
    decision: str | None, outcome: str | None
) -> None:
    (event,) = of(
        span({"span.type": "tool.blocked_on_user", **({"decision": decision} if decision else {})})
    )
    assert (event.event_kind, event.outcome) == ("permission", outcome)


def test_requests_and_chunks_that_count_nothing_are_no_calls() -> None:
    kinds = Counter(event.event_kind for event in fixture("logs.jsonl"))
    assert kinds == {
        "user_message": 3,
        "model_call": 4,
        "permission": 3,
        "tool_result": 4,
        "error": 3,
        "model_message": 2,
        "session_start": 2,
        "state": 5,
    }


def test_a_sum_of_metrics_is_never_usage() -> None:
    events = fixture("metrics.jsonl")
    assert {(event.event_kind, event.usage_scope, event.input_tokens) for event in events} == {
        ("state", None, None)
    }
    assert events[0].conversation_id == "8d3f7c52-0000-4000-8000-00000000c0de"


def test_an_odd_value_anywhere_in_a_record_fails_nothing() -> None:
    for name in ("genai.jsonl", "logs.jsonl", "metrics.jsonl"):
        for line in (FIXTURES / "otlp" / name).read_bytes().splitlines():
            for record in records(msgspec.json.decode(line)):
                for odd in variants(record, depth=5):
                    for read in (otlp_records.span, otlp_records.log_record, otlp_records.metric):
                        read_or_reject(read, msgspec.json.encode(odd))


def records(line: dict[str, list[dict[str, list[dict[str, list[object]]]]]]) -> list[object]:
    scopes = [
        scope
        for resources in line.values()
        for resource in resources
        for key, found in resource.items()
        if key != "resource"
        for scope in found
    ]
    return [
        record
        for scope in scopes
        for key, found in scope.items()
        if key != "scope"
        for record in found
    ]


def read_or_reject(read: otlp.Mapper, data: bytes) -> None:
    try:
        read(msgspec.Raw(data), {})
    except msgspec.ValidationError:
        return


def test_no_attribute_says_two_columns() -> None:
    names = Counter(name for known in genai_attributes.COLUMNS.values() for name in known)
    assert [name for name, times in names.items() if times > 1] == []
    assert set(genai_attributes.COLUMNS) <= set(Event.__struct_fields__)


def test_the_samples_of_the_specification_become_spans_and_bookkeeping() -> None:
    kinds = Counter(event.event_kind for event in events_of(FILE, sample("otlp_json.jsonl")))
    assert kinds == {"span": 8, "state": 16}


def test_samples_of_visual_studio_become_agents_and_tools() -> None:
    lines = [line for line in sample("copilot_otel_genai.jsonl") if b"resourceSpans" in line]
    events = events_of(
        "/home/a/.cache/VSGitHubCopilotLogs/traces/1_VSGitHubCopilot_traces.jsonl", lines
    )
    assert Counter(event.event_kind for event in events) == {"agent_run": 5, "tool_call": 11}
    assert {
        event.tool_type
        for event in events
        if event.tool_name in ("run_command_in_terminal", "apply_patch", "file_search")
    } == {"shell", "edit", "search"}
    assert len({event.conversation_id for event in events}) == 2
