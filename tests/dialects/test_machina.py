"""Machina: nothing counts twice, what was not measured is not 0, and conversations stay apart."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event
from tracesidecar.encode.content import Narrowing
from tracesidecar.encode.formats import encoder_for

DAY = "/srv/agent/traces/traces-2026-05-04.jsonl"


def line(action: str, **members: object) -> dict[str, object]:
    empty = dict.fromkeys(
        (
            "connector",
            "asset_id",
            "operation",
            "input_summary",
            "output_summary",
            "error",
            "conversation_id",
            "model",
        ),
        "",
    )
    zero = dict.fromkeys(
        ("duration_ms", "prompt_tokens", "completion_tokens", "total_tokens", "usd_cost"), 0
    )
    return {
        "timestamp": "2026-05-04T08:00:00Z",
        "action": action,
        "success": True,
        "metadata": {},
        **empty,
        **zero,
        **members,
    }


def fixture() -> list[Event]:
    return events_of(
        DAY, (FIXTURES / "machina/traces/traces-2026-05-04.jsonl").read_bytes().splitlines()
    )


def test_a_round_trip_of_two_lines_is_one_call() -> None:
    usage = line(
        "llm_call",
        operation="complete",
        model="openai/gpt-4o",
        prompt_tokens=10,
        completion_tokens=2,
        usd_cost=0.5,
    )
    timing = line("llm_call", operation="complete_with_tools", duration_ms=40.5)
    call, took = events_of(DAY, [usage, timing])
    assert (
        call.event_kind,
        call.input_tokens,
        call.output_tokens,
        call.cost_usd,
        call.duration_ms,
    ) == ("model_call", 10, 2, 0.5, None)
    assert (
        took.event_kind,
        took.operation_name,
        took.input_tokens,
        took.usage_scope,
        took.duration_ms,
    ) == ("span", "chat", None, None, 40.5)


def test_a_call_that_failed_is_a_call_without_usage() -> None:
    (call,) = events_of(
        DAY,
        [
            line(
                "llm_call",
                operation="complete_with_tools",
                success=False,
                error="no key",
                duration_ms=1.5,
            )
        ],
    )
    assert (
        call.event_kind,
        call.outcome,
        call.error_message,
        call.input_tokens,
        call.usage_scope,
    ) == ("model_call", "failure", "no key", None, None)


def test_a_measured_zero_stays_and_a_cost_of_a_model_without_price_does_not() -> None:
    (call,) = events_of(DAY, [line("llm_call", model="local/own", prompt_tokens=5)])
    assert (call.input_tokens, call.output_tokens, call.cost_usd, call.cost_source) == (
        5,
        0,
        None,
        None,
    )


def test_the_totals_of_the_day_are_those_of_its_usage_lines() -> None:
    calls = [event for event in fixture() if event.usage_scope == "call"]
    assert sum(event.input_tokens or 0 for event in calls) == 1900
    assert sum(event.output_tokens or 0 for event in calls) == 40
    assert sum(event.cost_usd or 0 for event in calls) == pytest.approx(0.0021)


def test_the_empty_conversation_is_one_and_is_not_named_after_the_file() -> None:
    assert {event.conversation_id for event in fixture()} == {"", "conv-äß"}
    old = {key: value for key, value in line("load_assets").items() if key != "conversation_id"}
    named = "/srv/agent/traces/2026-05-04_conv-7f.jsonl"
    assert [event.conversation_id for event in events_of(named, [old, line("load_assets")])] == [
        "conv-7f",
        "",
    ]
    assert [event.conversation_id for event in events_of(DAY, [old])] == ["traces-2026-05-04"]


def test_a_tool_that_answers_with_an_error_has_failed() -> None:
    failed = line(
        "tool_call",
        operation="t",
        output_summary="{'error': 'no such tool'}",
        metadata={"result_json": '{"error": "no such tool"}'},
    )
    truncated = {**failed, "metadata": {"result_json": '{"error": "no...[truncated]'}}
    call, result = events_of(DAY, [failed])
    assert (call.event_kind, call.outcome, result.outcome, result.error_message) == (
        "tool_call",
        None,
        "failure",
        "no such tool",
    )
    assert events_of(DAY, [truncated])[1].error_message == "{'error': 'no such tool'}"


def test_an_action_of_the_users_own_is_unknown_with_all_that_it_says() -> None:
    (event,) = events_of(DAY, [line("approve", output_summary="yes", duration_ms=2.5)])
    assert (event.event_kind, event.operation_name, event.text, event.duration_ms) == (
        "unknown",
        "approve",
        "yes",
        2.5,
    )


def test_every_sample_line_becomes_what_it_is() -> None:
    kinds = Counter(event.event_kind for event in events_of(DAY, sample("machina-agent.jsonl")))
    assert kinds == {"state": 2, "span": 8, "model_call": 5, "tool_call": 4, "tool_result": 4}
    calls = [
        event
        for event in events_of(DAY, sample("machina-agent.jsonl"))
        if event.usage_scope == "call"
    ]
    assert (
        sum(event.input_tokens or 0 for event in calls),
        sum(event.output_tokens or 0 for event in calls),
    ) == (7570, 250)
    edge = Counter(
        event.event_kind for event in events_of(DAY, sample("machina-exporter-edge.jsonl"))
    )
    assert (edge["unknown"], edge["model_call"]) == (1, 1)


def test_who_created_which_work_order_is_in_columns_of_every_format() -> None:
    # its documentation asks that; the action was `unknown`, without connector, asset and user
    line = {
        "timestamp": "2026-05-04T08:00:11.000000Z",
        "action": "cmms.create_work_order",
        "connector": "cmms",
        "asset_id": "P-201",
        "operation": "create",
        "input_summary": "",
        "output_summary": "WO-1",
        "duration_ms": 80.0,
        "success": True,
        "error": "",
        "metadata": {"user_id": "maria", "priority": "high"},
        "conversation_id": "conv-7f",
    }
    [event] = events_of("/srv/traces/traces-2026-05-04.jsonl", [line])
    assert (event.event_kind, event.tool_name, event.outcome) == (
        "tool_call",
        "cmms.create_work_order",
        "success",
    )
    assert (event.connector, event.asset_id, event.user_id, event.conversation_id) == (
        "cmms",
        "P-201",
        "maria",
        "conv-7f",
    )
    event.ingest_time = event.event_time
    narrowed = Narrowing("actions", b"the key of this installation....").narrow(event)
    for each in (event, narrowed):
        document = msgspec.json.decode(encoder_for("ecs")(each, "machina"))
        assert document["event"]["action"] == "cmms.create_work_order"
        assert document["user"]["id"] == "maria"
        for form in ("ecs", "ocsf", "cef", "leef", "otlp"):
            record = encoder_for(form)(each, "machina").decode()
            for said in ("cmms.create_work_order", "P-201", "maria", "conv-7f"):
                assert said in record, form


def test_a_total_without_its_parts_is_the_input() -> None:
    line = {
        "timestamp": "2026-05-04T08:00:11.000000Z",
        "action": "llm_call",
        "connector": "",
        "asset_id": "",
        "operation": "complete",
        "output_summary": "",
        "duration_ms": 0.0,
        "success": True,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 150,
        "model": "openai/gpt-4o",
    }
    [call] = events_of("/srv/traces/traces-2026-05-04.jsonl", [line])
    assert (call.input_tokens, call.output_tokens, call.usage_scope) == (150, 0, "call")
