"""ai-trace: the file's name gives agent and session, and a step that comes twice is one step."""

from __future__ import annotations

import pytest

from tests.dialects.mapping import events_of, sample

FILE = "/srv/bot/traces/fruit_seller_20260621_000000.jsonl"


def step(name: object = "sell", **members: object) -> dict[str, object]:
    return {
        "name": name,
        "context": {},
        "started_at": 1782000000.5,
        "finished_at": 1782000001.0,
        "duration_ms": 500.0,
        "outcome": "ok",
        "error": None,
        "logs": [],
        **members,
    }


@pytest.mark.parametrize(
    ("path", "conversation", "agent"),
    [
        (FILE, "fruit_seller_20260621_000000", "fruit_seller"),
        ("C:\\bot\\traces\\x_20260621_000000.jsonl", "x_20260621_000000", "x"),
        ("/srv/bot/traces/renamed.jsonl", "renamed", None),
    ],
)
def test_the_name_of_the_file_says_whose_it_is(
    path: str, conversation: str, agent: str | None
) -> None:
    (event,) = events_of(path, [step()])
    assert (event.conversation_id, event.agent_name) == (conversation, agent)


def test_the_second_line_of_a_step_supersedes_the_first_and_is_still_a_failure() -> None:
    first, other, second = events_of(
        FILE, [step(outcome="error", error="closed"), step("weigh"), step(error="closed")]
    )
    assert first.native_id == second.native_id != other.native_id
    assert [event.supersedes for event in (first, other, second)] == [None, None, True]
    assert (second.outcome, second.error_message) == ("failure", "closed")
    assert len({event.event_id for event in (first, other, second)}) == 3


def test_steps_of_one_name_at_other_times_are_steps_of_their_own() -> None:
    events = events_of(FILE, [step(), step(started_at=1782000002.5)])
    assert [event.supersedes for event in events] == [None, None]


def test_a_step_that_never_started_has_the_time_of_its_end_and_no_duration() -> None:
    one, two = events_of(FILE, [step(started_at=None, duration_ms=None)] * 2)
    assert (one.event_time, one.duration_ms, one.native_id, two.supersedes) == (
        "2026-06-21T00:00:01.000000Z",
        None,
        None,
        None,
    )
    assert one.event_id != two.event_id


def test_a_chosen_outcome_is_neither_success_nor_failure() -> None:
    (event,) = events_of(FILE, [step(outcome="skipped")])
    assert (event.outcome, event.error_type) == ("unknown", None)


def test_what_has_another_type_than_it_should_is_left_out_and_the_line_is_not_lost() -> None:
    (event,) = events_of(
        FILE,
        [
            step(
                name=7,
                started_at="soon",
                finished_at={},
                duration_ms="long",
                outcome=["ok"],
                logs={"a": 1},
            )
        ],
    )
    assert (
        event.event_kind,
        event.tool_name,
        event.event_time,
        event.duration_ms,
        event.outcome,
    ) == ("span", None, None, None, "unknown")
    assert event.tool_result == '{"a":1}'


def test_every_sample_line_becomes_a_step() -> None:
    events = events_of(
        "/srv/bot/traces/trading_agent_20261120_182522.jsonl", sample("ai-trace.jsonl")
    )
    assert {event.event_kind for event in events} == {"span"}
    assert len(events) == 11
    assert [event.tool_name for event in events if event.supersedes] == ["classify_intent"]
    assert sum(event.outcome == "failure" for event in events) == 4


def test_a_line_as_the_readme_shows_it_is_a_step() -> None:
    line = {
        "name": "market_scan",
        "context": {"symbol": "PEAR"},
        "duration_ms": 42.1,
        "outcome": "ok",
        "logs": [{"_t": 1.0, "price": 3}],
    }
    [step] = events_of("/srv/traces/seller_20260621_000000.jsonl", [line])
    assert (step.tool_name, step.duration_ms, step.outcome) == ("market_scan", 42.1, "success")
    assert step.agent_name == "seller"


def test_a_snapshot_says_model_version_and_run_of_the_session() -> None:
    line = {
        "agent": "seller",
        "session_id": "20260621_000000",
        "saved_at": "2026-06-21T00:00:05Z",
        "meta": {"model": "gpt-5", "version": "1.2", "run_id": "r-7"},
        "steps": [{"name": "market_scan"}],
    }
    [snapshot] = events_of("/srv/traces/seller_20260621_000000.json", [line])
    [step] = events_of(
        "/srv/traces/seller_20260621_000000.jsonl",
        [{"name": "a", "context": {}, "duration_ms": 1, "outcome": "ok", "logs": []}],
    )
    assert (snapshot.model, snapshot.agent_version, snapshot.trace_id) == ("gpt-5", "1.2", "r-7")
    assert snapshot.conversation_id == step.conversation_id
