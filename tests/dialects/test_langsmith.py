"""LangSmith: a chain's sum does not add to its calls; managed agents count as their API does."""

from __future__ import annotations

import json
from collections import Counter

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.registry import load_dialect

FILE = "/srv/exports/runs.jsonl"


def fixture() -> list[Event]:
    return events_of(FILE, (FIXTURES / "langsmith/runs.jsonl").read_bytes().splitlines())


def test_totals_are_those_of_the_calls_and_not_of_the_chain() -> None:
    counted = [event for event in fixture() if event.usage_scope == "call"]
    assert [
        (event.input_tokens, event.cache_read_input_tokens, event.output_tokens)
        for event in counted
    ] == [(400, 256, 40), (500, 300, 50), (9, None, 0)]
    (chain,) = [event for event in fixture() if event.usage_scope == "agent_total"]
    assert (chain.input_tokens, chain.output_tokens) == (900, 90)


def test_the_conversation_is_the_thread_and_not_the_project() -> None:
    assert {event.conversation_id for event in fixture()[:6]} == {"thread-5"}
    assert fixture()[6].conversation_id == "0f000000-0000-4000-8000-000000000001"


def test_a_bulk_export_that_writes_objects_in_text_says_the_same() -> None:
    run = {
        "id": "r1",
        "run_type": "llm",
        "trace_id": "t",
        "start_time": "2026-09-04T06:00:00",
        "end_time": "2026-09-04T06:00:02",
    }
    extra = {"metadata": {"thread_id": "thread-9", "ls_model_name": "m"}}
    outputs = {"content": "hi", "usage_metadata": {"input_tokens": 4, "output_tokens": 2}}
    (event,) = events_of(
        FILE, [{**run, "extra": json.dumps(extra), "outputs": json.dumps(outputs)}]
    )
    assert (
        event.conversation_id,
        event.model,
        event.input_tokens,
        event.output_tokens,
        event.text,
    ) == ("thread-9", "m", 4, 2, "hi")


def test_a_run_that_still_runs_is_no_call_yet() -> None:
    running = {
        "id": "r1",
        "run_type": "llm",
        "trace_id": "t",
        "start_time": "2026-09-04T06:00:00",
        "end_time": None,
    }
    ended = {
        **running,
        "end_time": "2026-09-04T06:00:02",
        "prompt_tokens": 5,
        "completion_tokens": 1,
    }
    events = events_of(FILE, [running, ended])
    assert [(event.event_kind, event.usage_scope) for event in events] == [
        ("state", None),
        ("model_call", "call"),
    ]
    assert events[0].event_id != events[1].event_id


def test_text_is_found_in_what_models_and_graphs_return() -> None:
    assert [event.text for event in fixture() if event.text] == [
        "Four mugs.",
        "I look.",
        "Four mugs.",
        "ok",
    ]


def session(kind: str, **members: object) -> list[object]:
    return [
        "client.beta.sessions.events.stream",
        {"type": kind, "id": f"sevt_{kind}", "processed_at": "2026-09-04T06:00:00Z", **members},
    ]


def test_caches_are_counted_beside_the_input_of_a_managed_agent() -> None:
    usage = {
        "input_tokens": 2,
        "cache_read_input_tokens": 700,
        "cache_creation_input_tokens": 30,
        "output_tokens": 9,
    }
    lines = [
        [
            "client.beta.sessions.create",
            {
                "id": "sesn_1",
                "agent": {"id": "agent_1", "name": "Desk", "model": {"id": "claude-sonnet-5"}},
            },
        ],
        session("span.model_request_end", model_request_start_id="sevt_start", model_usage=usage),
    ]
    _, call = events_of("/srv/recording.jsonl", lines, load_dialect("langsmith"))
    assert (call.input_tokens, call.output_tokens, call.usage_scope, call.model) == (
        732,
        9,
        "call",
        "claude-sonnet-5",
    )
    assert (call.conversation_id, call.api_call_id, call.agent_name) == (
        "sesn_1",
        "sesn_1:sevt_start",
        "Desk",
    )


def test_what_is_sent_to_a_managed_agent_counts_once_when_the_stream_says_it_again() -> None:
    said = {"type": "user.message", "content": [{"type": "text", "text": "hi"}]}
    lines = [
        ["client.beta.sessions.events.send", ["sesn_1", {"events": [said]}]],
        session("user.message", content=said["content"]),
    ]
    events = events_of("/srv/recording.jsonl", lines, load_dialect("langsmith"))
    assert [(event.event_kind, event.text) for event in events] == [
        ("state", None),
        ("user_message", "hi"),
    ]


def test_samples_have_their_known_totals() -> None:
    events = events_of(
        "/srv/recording.jsonl",
        sample("langsmith_anthropic_managed.jsonl"),
        load_dialect("langsmith"),
    )
    assert Counter(event.event_kind for event in events) == {
        "session_start": 2,
        "state": 19,
        "user_message": 2,
        "tool_call": 2,
        "model_call": 4,
        "tool_result": 2,
        "model_message": 2,
    }
    counted = [event for event in events if event.usage_scope == "call"]
    assert (
        sum(event.input_tokens or 0 for event in counted),
        sum(event.output_tokens or 0 for event in counted),
    ) == (28805, 160)
    assert {event.tool_name for event in events if event.event_kind == "tool_result"} == {
        "bash",
        "get_weather",
    }
