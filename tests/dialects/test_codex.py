"""Codex: a call counts if the totals moved, and what a fork copies counts in its parent only."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.dialects.golden import FIXTURES, clean_chunk
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.interpreter import Interpreter
from tracesidecar.dialects.registry import load_dialect

DIALECT = load_dialect("codex")
HOME = FIXTURES / "codex/.codex"
PARENT = "01a0618f-a900-7abc-8def-0000000000a1"
START = "2026-09-02T10:00:00.000Z"


def fixture(hour: str) -> list[Event]:
    (path,) = HOME.rglob(f"rollout-*T{hour}-00-00-*.jsonl")
    return events_of(
        "/home/agent/" + path.relative_to(HOME.parent).as_posix(), path.read_bytes().splitlines()
    )


def calls(events: list[Event]) -> list[Event]:
    return [event for event in events if event.usage_scope == "call"]


def tokens(spent: int, output: int = 0) -> dict[str, int]:
    return {
        "input_tokens": spent,
        "cached_input_tokens": 0,
        "output_tokens": output,
        "total_tokens": spent + output,
    }


def make_token_count(second: float, **info: object) -> dict[str, object]:
    return {
        "timestamp": f"2026-09-02T10:00:{second:06.3f}Z",
        "type": "event_msg",
        "payload": {"type": "token_count", "info": info},
    }


def meta(session: str, **members: object) -> dict[str, object]:
    return {
        "timestamp": START,
        "type": "session_meta",
        "payload": {"id": session, "timestamp": START, **members},
    }


def test_the_sample_has_two_calls() -> None:
    events = events_of("/x/rollout.jsonl", sample("codex.jsonl"), DIALECT)
    assert [
        (
            call.input_tokens,
            call.cache_read_input_tokens,
            call.output_tokens,
            call.reasoning_output_tokens,
            call.model,
        )
        for call in calls(events)
    ] == [
        (4200, 3600, 180, 64, "gpt-5-codex"),
        (1000, 250, 125, 75, "gpt-5.2-codex"),
    ]


def test_of_the_sample_one_line_is_of_an_unknown_type() -> None:
    kinds = Counter(
        event.event_kind for event in events_of("/x/rollout.jsonl", sample("codex.jsonl"), DIALECT)
    )
    assert kinds == {
        "session_start": 2,
        "user_message": 5,
        "model_message": 4,
        "model_call": 2,
        "reasoning": 1,
        "tool_call": 10,
        "tool_result": 4,
        "agent_run": 1,
        "state": 10,
        "unknown": 1,
    }


def test_the_same_totals_again_are_a_repeat() -> None:
    events = fixture("10")
    assert [(call.input_tokens, call.output_tokens) for call in calls(events)] == [
        (1000, 50),
        (1200, 30),
        (1000, 100),
        (700, 20),
    ]
    assert [event.source_line for event in events if event.usage_scope == "repeat"] == [15, 38]
    assert sum(call.input_tokens or 0 for call in calls(events)) == 3900, "the last total"


def test_without_a_last_usage_a_call_is_the_difference_of_totals() -> None:
    lines = [
        meta("s"),
        make_token_count(1, total_token_usage=tokens(100, 50)),
        make_token_count(2, total_token_usage=tokens(220, 55)),
    ]
    assert [
        (call.input_tokens, call.output_tokens)
        for call in calls(events_of("/x/r.jsonl", lines, DIALECT))
    ] == [(100, 50), (120, 5)]


def test_totals_that_start_over_are_no_negative_call() -> None:
    lines = [
        meta("s"),
        make_token_count(1, total_token_usage=tokens(900)),
        make_token_count(2, total_token_usage=tokens(40)),
    ]
    assert [call.input_tokens for call in calls(events_of("/x/r.jsonl", lines, DIALECT))] == [
        900,
        40,
    ]


def test_limits_without_tokens_are_no_usage() -> None:
    line = {
        "timestamp": START,
        "type": "event_msg",
        "payload": {"type": "token_count", "info": None, "rate_limits": {}},
    }
    (event,) = events_of("/x/r.jsonl", [line], DIALECT)
    assert (event.event_kind, event.usage_scope, event.input_tokens) == ("state", None, None)


def test_each_call_has_a_key_of_its_own() -> None:
    every = [call for hour in ("10", "11", "12", "13", "14", "15") for call in calls(fixture(hour))]
    assert len({call.api_call_id for call in every}) == len(every) == 9


@pytest.mark.parametrize(
    ("hour", "output"), [("11", 7), ("12", 8), ("13", 9), ("14", 10), ("15", 11)]
)
def test_a_child_counts_only_its_own_call(hour: str, output: int) -> None:
    """Forks with the time of the fork or the old times; subagents.

    The subagents have a history, none, or an announced one.
    """
    events = fixture(hour)
    assert [(call.input_tokens, call.output_tokens) for call in calls(events)] == [(700, output)]
    assert {event.parent_conversation_id for event in events} == {PARENT}
    assert {event.conversation_id for event in events} != {PARENT}


@pytest.mark.parametrize("hour", ["11", "12", "14", "15"])
def test_what_a_child_says_itself_is_said_once(hour: str) -> None:
    said = [
        (event.event_kind, event.text)
        for event in fixture(hour)
        if event.event_kind.endswith("_message")
    ]
    assert said == [("user_message", "And the plums?"), ("model_message", "Nine.")]


def test_a_second_session_in_a_file_without_parents_is_a_session() -> None:
    lines = [
        meta("pear"),
        make_token_count(1, last_token_usage=tokens(1)),
        meta("plum"),
        make_token_count(1.1, last_token_usage=tokens(2)),
    ]
    events = events_of("/x/r.jsonl", lines, DIALECT)
    assert [(event.conversation_id, event.event_kind) for event in events] == [
        ("pear", "session_start"),
        ("pear", "model_call"),
        ("plum", "session_start"),
        ("plum", "model_call"),
    ]


def test_inherited_totals_alone_are_nobodys_call() -> None:
    lines = [
        meta("child", forked_from_id="p"),
        make_token_count(9, total_token_usage=tokens(5000)),
        make_token_count(12, total_token_usage=tokens(5100)),
    ]
    events = events_of("/x/r.jsonl", lines, DIALECT)
    assert [event.usage_scope for event in events] == [None, "cumulative", "call"]
    assert events[2].input_tokens == 100


def test_a_turn_of_the_same_millisecond_as_the_fork_is_the_childs() -> None:
    child, turn = "01a0618f-a900-7fff-bfff-ffffffffffff", "01a0618f-a900-7000-8000-000000000000"
    lines = [
        meta(child, forked_from_id="p"),
        {
            "timestamp": START,
            "type": "turn_context",
            "payload": {"turn_id": turn, "model": "gpt-5"},
        },
        make_token_count(0.5, last_token_usage=tokens(7)),
    ]
    assert len(calls(events_of("/x/r.jsonl", lines, DIALECT))) == 1


def test_tools_have_their_names_outcomes_and_durations() -> None:
    results = {
        event.tool_call_id: event for event in fixture("10") if event.event_kind == "tool_result"
    }
    assert {
        call: (event.tool_name, event.tool_type, event.outcome, event.error_type, event.duration_ms)
        for call, event in results.items()
    } == {
        "call_rows": ("exec_command", "shell", "success", None, 52.0),
        "call_patch": ("apply_patch", "edit", "success", None, 400.0),
        "call_ls": ("local_shell", "shell", "failure", "exit_code", 1000.0),
        "call_map": ("mcp__garden__map", "mcp", None, None, 200.0),
        "call_rm": ("shell_command", "shell", "failure", "permission_denied", 200.0),
    }


def test_how_a_run_ended_is_reported_beside_its_result() -> None:
    ends = [event for event in fixture("10") if event.event_kind == "state" and event.tool_call_id]
    assert [(event.tool_call_id, event.outcome, event.duration_ms) for event in ends] == [
        ("call_rows", "success", 52.0),
        ("call_patch", "success", None),
        ("call_map", "failure", 1500.0),
    ]


def test_errors_have_few_types() -> None:
    errors = [
        (event.error_type, event.error_message)
        for event in fixture("10")
        if event.event_kind == "error"
    ]
    assert errors == [
        ("stream_error", "the orchard is far away"),
        ("usage_limit", "over the limit"),
        ("interrupted", None),
    ]


def test_model_and_place_come_from_the_turn() -> None:
    models = [(call.model, call.cwd, call.provider_name) for call in calls(fixture("10"))]
    assert (
        models
        == [("gpt-5.3-codex", "/srv/orchard", "openai")] * 2
        + [("gpt-5.4", "/srv/orchard/plums", "openai")] * 2
    )


def test_rollouts_without_envelopes_are_read() -> None:
    kinds = [event.event_kind for event in fixture("08")]
    assert kinds == [
        "session_start",
        "state",
        "user_message",
        "tool_call",
        "tool_result",
        "model_message",
    ]


def test_the_thread_is_known_from_the_file_name_before_the_first_line() -> None:
    path = f"/home/agent/.codex/sessions/2026/09/02/rollout-2026-09-02T10-00-00-{PARENT}.jsonl"
    (event,) = events_of(path, [{"timestamp": START, "type": "world_state", "payload": {}}])
    assert event.conversation_id == PARENT


def test_a_replaced_history_is_no_part_of_the_row() -> None:
    line = {
        "timestamp": START,
        "type": "compacted",
        "payload": {"message": "short", "replacement_history": [{"text": "pear " * 5000}]},
    }
    (event,) = events_of(
        "/home/agent/.codex/sessions/2026/09/02/rollout-2026-09-02T10-00-00-x.jsonl", [line]
    )
    assert (event.event_kind, event.text, event.truncated) == ("compaction", "short", True)
    assert len(event.raw or "") < 1_000


@pytest.mark.parametrize(
    "payload",
    [
        {"type": 3},
        {"type": "message", "role": [], "content": 7},
        {"type": "function_call_output", "output": 5},
        {"type": "reasoning", "summary": {}},
    ],
)
def test_odd_payloads_lose_no_line(payload: object) -> None:
    (event,) = events_of(
        "/x/r.jsonl", [{"timestamp": 5, "type": "response_item", "payload": payload}], DIALECT
    )
    assert event.source_line == 1


def test_other_envelopes_are_not_known() -> None:
    assert not DIALECT.recognise(
        "/home/agent/.codex/history.jsonl", {"session_id": "s", "ts": 1, "text": "hello"}
    )
    assert not DIALECT.recognise("/x/y.jsonl", {"type": "session_meta", "timestamp": START})


def usage_record(second: float, response: str, usage: dict[str, int]) -> dict[str, object]:
    return {
        "timestamp": f"2026-09-02T10:00:{second:06.3f}Z",
        "type": "token_usage_record",
        "payload": {"response_id": response, "usage": usage},
    }


def map_lines(*lines: object) -> list[Event]:
    return events_of("/x/r.jsonl", lines, DIALECT)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["record first", "totals first"])
def test_a_call_that_a_record_and_the_totals_tell_is_one(order: tuple[float, float]) -> None:
    told = [
        (order[0], usage_record(order[0], "resp_orchard1", tokens(100, 5))),
        (
            order[1],
            make_token_count(
                order[1], total_token_usage=tokens(100, 5), last_token_usage=tokens(100, 5)
            ),
        ),
    ]
    lines = [line for _, line in sorted(told, key=lambda each: each[0])]
    [call] = calls(map_lines(meta("s"), *lines))
    assert (call.input_tokens, call.output_tokens) == (100, 5)


def test_a_record_that_nothing_else_tells_is_a_call() -> None:
    # a session whose usage is only in records had no call at all
    lines = [usage_record(each, f"resp_orchard{each}", tokens(100, each)) for each in (1, 2, 3)]
    found = calls(map_lines(meta("s"), *lines))
    assert [(call.api_call_id, call.output_tokens) for call in found] == [
        ("resp_orchard1", 1),
        ("resp_orchard2", 2),
        ("resp_orchard3", 3),
    ]
    assert {call.event_kind for call in found} == {"model_call"}


def test_what_the_totals_moved_by_beyond_the_last_usage_is_a_call() -> None:
    found = calls(
        map_lines(
            meta("s"),
            make_token_count(
                1, total_token_usage=tokens(100, 10), last_token_usage=tokens(100, 10)
            ),
            make_token_count(2, total_token_usage=tokens(900, 40), last_token_usage=tokens(200, 5)),
        )
    )
    assert [(call.input_tokens, call.output_tokens) for call in found] == [
        (100, 10),
        (600, 25),
        (200, 5),
    ]
    assert len({call.api_call_id for call in found}) == 3


@pytest.mark.parametrize(
    "last",
    [tokens(5000, 1), tokens(700_000, 1), {**tokens(200, 20), "cached_input_tokens": 900}],
    ids=["more than the totals moved by", "more than the window", "more from the cache than read"],
)
def test_a_last_usage_that_cannot_be_is_not_believed(last: dict[str, int]) -> None:
    counted: list[tuple[str, str]] = []
    lines = [
        meta("s"),
        make_token_count(1, total_token_usage=tokens(100, 10), last_token_usage=tokens(100, 10)),
        make_token_count(
            2,
            total_token_usage=tokens(300, 30),
            last_token_usage=last,
            model_context_window=272_000,
        ),
    ]
    interpreter = Interpreter(DIALECT, observe=lambda *each: counted.append(each))
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    events = [event for _, event in interpreter("/x/r.jsonl", clean_chunk(data), None)[0]]
    assert [(call.input_tokens, call.output_tokens) for call in calls(events)] == [
        (100, 10),
        (200, 20),
    ]
    assert events[-1].usage_scope == "implausible"
    assert counted == [("codex", "implausible_total")]


def test_settings_say_model_and_tier_of_the_calls_after_them() -> None:
    events = fixture("16")
    assert [
        (call.model, call.service_tier, call.cost_usd, call.input_tokens) for call in calls(events)
    ] == [
        ("gpt-6-sol", "flex", 0.00053, 1000),
        ("gpt-6-astra", "priority", 0.012, 1200),
        ("gpt-6-astra", "priority", 0.007, 1000),
    ]


def test_a_tier_without_a_known_price_has_no_cost() -> None:
    settings = {"model": "gpt-6-astra", "service_tier": "ultrafast"}
    line = {"timestamp": START, "type": "event_msg"}
    applied = {**line, "payload": {"type": "thread_settings_applied", "thread_settings": settings}}
    [call] = calls(
        map_lines(meta("s"), applied, make_token_count(1, last_token_usage=tokens(100, 5)))
    )
    assert (call.service_tier, call.cost_usd, call.cost_source) == ("ultrafast", None, None)


def test_items_are_tools_unless_the_models_own_call_tells_them() -> None:
    runs = [event for event in fixture("16") if event.tool_call_id is not None]
    assert [
        (event.event_kind, event.tool_call_id, event.tool_name, event.outcome, event.exit_code)
        for event in runs
    ] == [
        ("tool_call", "exec-1", "exec_command", None, None),
        ("tool_result", "exec-1", "exec_command", "failure", 101),
        ("tool_result", "exec-2", "apply_patch", "failure", None),
        ("tool_call", "call_ls", "exec_command", None, None),
        ("state", "call_ls", "exec_command", "success", 0),
        ("tool_result", "call_ls", "exec_command", None, None),
    ]
    assert (runs[1].command, runs[1].duration_ms) == ("/bin/sh -lc ls", 1000.0)
    assert (runs[2].file_path, runs[2].error_type) == ("/srv/orchard/plan.md", "permission_denied")


def test_what_exec_prints_is_one_session_with_tools_and_usage() -> None:
    path = FIXTURES / "codex/ci/count-trees.jsonl"
    events = events_of("/srv/ci/count-trees.jsonl", path.read_bytes().splitlines())
    assert {event.conversation_id for event in events} == {"01a061c6-9780-7abc-8def-0000000000c1"}
    assert [(call.input_tokens, call.output_tokens) for call in calls(events)] == [
        (1000, 50),
        (1500, 20),
    ]
    assert [
        (event.tool_name, event.outcome, event.exit_code, event.command or event.file_path)
        for event in events
        if event.event_kind == "tool_result"
    ] == [
        ("exec_command", "failure", 2, "bash -lc 'ls /srv/orchard'"),
        ("apply_patch", "success", None, "/srv/orchard/plan.md"),
        ("mcp__garden__map", "failure", None, None),
        ("web_search", None, None, None),
    ]
    assert sum(event.event_kind == "tool_call" for event in events) == 4
    assert [event.text for event in events if event.event_kind == "model_message"] == ["Nine."]


@pytest.mark.parametrize("copied_at", ["2026-09-02T09:00:00.000Z", START], ids=["then", "now"])
def test_a_fork_whose_turns_have_no_time_in_their_ids_counts_its_own_calls(copied_at: str) -> None:
    def turn(time: str, name: str) -> dict[str, object]:
        payload = {"turn_id": name, "model": "gpt-5"}
        return {"timestamp": time, "type": "turn_context", "payload": payload}

    copied = make_token_count(0, total_token_usage=tokens(100, 1), last_token_usage=tokens(100, 1))
    own = make_token_count(9, total_token_usage=tokens(400, 3), last_token_usage=tokens(300, 2))
    lines = [
        meta("child", forked_from_id="p"),
        {**meta("p"), "timestamp": copied_at},
        turn(copied_at, "1"),
        {**copied, "timestamp": copied_at},
        turn("2026-09-02T10:00:07.000Z", "2"),
        own,
    ]
    assert [call.input_tokens for call in calls(map_lines(*lines))] == [300]
