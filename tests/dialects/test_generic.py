"""Lines of unknown programs: common keys are understood, and other lines pass whole as unknown."""

from __future__ import annotations

import json

from tests.dialects.golden import FIXTURES, clean_chunk
from tests.dialects.mapping import events_of
from tracesidecar.dialects.interpreter import Interpreter

FILE = "/home/agent/orchard/log.jsonl"


def test_who_spoke_says_what_it_is() -> None:
    roles = ("user", "human", "assistant", "model", "system", "narrator")
    events = events_of(FILE, [{"role": role, "content": "x"} for role in roles])
    assert [event.event_kind for event in events] == [
        "user_message",
        "user_message",
        "model_message",
        "model_message",
        "state",
        "unknown",
    ]


def test_times_of_any_form_and_conversations_of_any_name_are_found() -> None:
    lines = [
        {"ts": 1783000000.5, "thread_id": 7},
        {"created_at": "2026-07-02T13:46:40.500+00:00", "sessionId": "s"},
        {"time": "later"},
    ]
    events = events_of(FILE, lines)
    assert [event.event_time for event in events] == ["2026-07-02T13:46:40.500000Z"] * 3
    assert [event.event_time_source for event in events] == ["line", "line", "carried"]
    assert [event.conversation_id for event in events] == ["7", "s", "s"]


def test_tokens_of_no_model_are_left_out_of_the_sums_and_counted() -> None:
    anthropic = {
        "message": {
            "role": "assistant",
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5},
        }
    }
    openai = {
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 8},
        }
    }
    counted: list[str] = []
    data = b"".join(json.dumps(line).encode() + b"\n" for line in (anthropic, openai))
    interpreter = Interpreter(observe=lambda _, kind: counted.append(kind))
    events = [event for _, event in interpreter(FILE, clean_chunk(data), None)[0]]
    assert [
        (event.input_tokens, event.cache_read_input_tokens, event.output_tokens) for event in events
    ] == [(100, 90, 5), (20, 8, 4)]
    assert {event.usage_scope for event in events} == {None}
    assert counted == ["unplaced_usage"] * 2


def test_a_message_and_the_tools_that_it_asks_for_are_events_of_their_own() -> None:
    calls = [
        {"id": "c-1", "function": {"name": "bash", "arguments": '{"command": "ls"}'}},
        {"id": "c-2", "name": "fetch", "arguments": {"url": "x"}},
    ]
    said, bash, fetch = events_of(
        FILE, [{"role": "assistant", "content": "look", "tool_calls": calls}]
    )
    assert (said.event_kind, said.text) == ("model_message", "look")
    assert [
        (event.tool_call_id, event.tool_type, event.tool_arguments) for event in (bash, fetch)
    ] == [
        ("c-1", "shell", '{"command": "ls"}'),
        ("c-2", "web", '{"url":"x"}'),
    ]


def test_lines_with_one_id_that_need_not_be_theirs_stay_two_events() -> None:
    one, two = events_of(
        FILE,
        [
            {"id": "user-7", "role": "user", "content": "a"},
            {"id": "user-7", "role": "user", "content": "b"},
        ],
    )
    assert one.event_id != two.event_id


def test_what_is_no_object_is_unknown_and_whole() -> None:
    rows = [b"[1, 2]", b'"text"', b"7", b"null", b"{}"]
    events = events_of(FILE, rows)
    assert {event.event_kind for event in events} == {"unknown"}
    assert [json.loads(event.raw or "") for event in events] == [[1, 2], "text", 7, None, {}]


def test_a_header_says_session_and_model_of_the_calls_after_it() -> None:
    lines = (FIXTURES / "generic/orchard/with-header.jsonl").read_bytes().splitlines()
    events = events_of("/x/with-header.jsonl", lines)
    assert {event.conversation_id for event in events} == {"s-9"}
    assert [
        (
            event.model,
            event.input_tokens,
            event.cache_read_input_tokens,
            event.output_tokens,
            event.reasoning_output_tokens,
            event.usage_scope,
            event.cost_usd,
        )
        for event in events
        if event.event_kind == "model_call"
    ] == [
        ("gpt-5", 100, 40, 10, 4, "call", 0.00018),
        ("claude-haiku-4-5", 100, 90, 5, None, "call", 0.5),
        ("gpt-5", 50, 20, 7, 2, "call", 0.00011),
    ]


def test_a_message_is_no_header() -> None:
    first, second = events_of(
        FILE,
        [
            {"role": "user", "content": "a", "session_id": "s-1", "model": "gpt-5"},
            {"role": "assistant", "content": "b", "usage": {"input_tokens": 1}},
        ],
    )
    assert (first.conversation_id, second.conversation_id) == ("s-1", "log")
    assert (second.model, second.usage_scope) == (None, None)
