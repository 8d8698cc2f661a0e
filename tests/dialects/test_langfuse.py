"""Langfuse: input includes caches, output includes reasoning, and only generations are calls."""

from __future__ import annotations

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event

FILE = "/srv/exports/observations_v2/2026-09-05.jsonl"
ROW = {
    "id": "o1",
    "trace_id": "t1",
    "type": "GENERATION",
    "parent_observation_id": "",
    "start_time": "2026-09-05 05:00:00.000000",
    "end_time": "2026-09-05 05:00:01",
}


def fixture(name: str) -> list[Event]:
    return events_of(FILE, (FIXTURES / "langfuse" / name).read_bytes().splitlines())


def test_totals_are_those_of_the_calls() -> None:
    counted = [
        event
        for event in fixture("observations_v2.jsonl") + fixture("legacy.jsonl")
        if event.usage_scope == "call"
    ]
    assert [(event.input_tokens, event.output_tokens) for event in counted] == [
        (300, 30),
        (400, 50),
        (1000, 10),
        (9, None),
        (60, 6),
    ]
    assert len({event.api_call_id for event in counted}) == 5


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({"input": 100, "output": 10, "total": 110}, (100, None, None, 10, None)),
        (
            {
                "input": 40,
                "input_cached_tokens": 60,
                "output": 6,
                "output_reasoning_tokens": 4,
                "total": 110,
            },
            (100, 60, None, 10, 4),
        ),
        (
            {
                "input": 40,
                "cache_read_input_tokens": 50,
                "cache_creation_input_tokens": 10,
                "output": 10,
            },
            (100, 50, 10, 10, None),
        ),
        (
            {"input": 100, "cache_read_input_tokens": 60, "output": 10, "total": 110},
            (100, 60, None, 10, None),
        ),
    ],
    ids=["no_cache", "openai", "anthropic", "cache_within_by_total"],
)
def test_buckets_are_added_up_once(
    buckets: dict[str, int], expected: tuple[int | None, ...]
) -> None:
    (event,) = events_of(FILE, [{**ROW, "usage_details": buckets}])
    counted = (
        event.input_tokens,
        event.cache_read_input_tokens,
        event.cache_creation_input_tokens,
        event.output_tokens,
        event.reasoning_output_tokens,
    )
    assert counted == expected


def test_rows_of_the_interface_say_what_rows_of_the_export_say() -> None:
    camel = {
        "id": "o1",
        "traceId": "t1",
        "type": "GENERATION",
        "parentObservationId": None,
        "startTime": "2026-09-05T05:00:00Z",
        "endTime": "2026-09-05T05:00:01Z",
        "usageDetails": {"input": 3},
    }
    (one,), (other,) = (
        events_of(FILE, [{**ROW, "usage_details": {"input": 3}}]),
        events_of(FILE, [camel]),
    )
    assert one.event_id == other.event_id
    assert (one.input_tokens, one.event_time, one.duration_ms) == (
        other.input_tokens,
        other.event_time,
        other.duration_ms,
    )


def test_a_cost_without_a_price_is_not_measured() -> None:
    unpriced, priced = events_of(
        FILE,
        [
            {**ROW, "total_cost": 0, "cost_details": {}},
            {**ROW, "id": "o2", "total_cost": 0, "cost_details": {"total": 0}},
        ],
    )
    assert (unpriced.cost_usd, unpriced.usage_scope) == (None, None)
    assert (priced.cost_usd, priced.cost_source) == (0, "recorded")


def test_an_error_level_is_a_failure_with_its_message() -> None:
    (event,) = [event for event in fixture("observations_v2.jsonl") if event.outcome == "failure"]
    assert (event.tool_name, event.error_message) == ("pay", "card refused")


def test_scores_and_traces_are_no_calls() -> None:
    assert [event.event_kind for event in fixture("legacy.jsonl")] == [
        "span",
        "model_call",
        "state",
        "state",
    ]
