"""Claude Code: each call counts once, results know their tools, and the program is not the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.prices import cost_source
from tracesidecar.dialects.registry import load_dialect

DIALECT = load_dialect("claude_code")
PROJECT = "/home/agent/.claude/projects/-srv-orchard/"
SESSION = "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3"
RESUMED = "9a2d6b10-77e4-4f0a-8c31-55d0aa17e4f2"


def fixture(name: str) -> list[Event]:
    path = FIXTURES / "claude_code/.claude/projects/-srv-orchard" / name
    return events_of(PROJECT + name, path.read_bytes().splitlines())


def drop_smaller_rows(events: Iterable[Event]) -> list[Event]:
    """Return what the view keeps: of the rows of one call the one with the largest output."""
    calls: dict[str, Event] = {}
    for event in events:
        if event.usage_scope == "call":
            key = event.api_call_id or event.event_id or ""
            if key not in calls or (event.output_tokens or 0) > (calls[key].output_tokens or 0):
                calls[key] = event
    return list(calls.values())


def read_line(members: object, path: str = PROJECT + "s.jsonl") -> list[Event]:
    return events_of(path, [members])


def test_the_calls_of_the_sample_are_those_of_its_message_ids() -> None:
    named = [
        line
        for line in sample("claude_code.jsonl")
        if b'"usage"' in line and (b'"id": "msg' in line or b'"id":"msg' in line)
    ]
    events = events_of("/x/session.jsonl", named, DIALECT)
    assert sum(event.usage_scope == "call" for event in events) == 21
    assert len(drop_smaller_rows(events)) == 20
    assert sum(event.input_tokens or 0 for event in drop_smaller_rows(events)) == 333_995
    assert sum(event.output_tokens or 0 for event in drop_smaller_rows(events)) == 2_858


def test_the_sample_has_no_line_of_an_unknown_type() -> None:
    kinds = Counter(
        event.event_kind
        for event in events_of("/x/session.jsonl", sample("claude_code.jsonl"), DIALECT)
    )
    assert kinds == {
        "model_call": 27,
        "user_message": 11,
        "state": 12,
        "tool_call": 10,
        "tool_result": 8,
        "reasoning": 1,
    }


def test_of_the_edge_cases_four_lines_are_no_lines_of_a_transcript() -> None:
    events = events_of("/x/edge_cases.jsonl", sample("claude_code_edge_cases.jsonl"), DIALECT)
    assert Counter(event.event_kind for event in events)["unknown"] == 4
    assert len(drop_smaller_rows(events)) == 15
    assert sum(event.input_tokens or 0 for event in drop_smaller_rows(events)) == 1_441
    failed = next(event for event in events if event.outcome == "failure")
    assert (failed.tool_name, failed.error_type) == ("FailingTool", "tool_error")


def test_of_a_picture_only_the_words_beside_it_are_text() -> None:
    (event,) = events_of("/x/image.jsonl", sample("claude_code_large_image.jsonl"), DIALECT)
    assert event.event_kind == "user_message"
    assert len(event.text or "") < 1_000
    assert len(event.raw or "") < 4_000


def test_a_call_of_several_lines_counts_once_with_its_last_output() -> None:
    call = next(
        event
        for event in drop_smaller_rows(fixture(f"{SESSION}.jsonl"))
        if event.api_call_id == "msg_01OrchardCountPears"
    )
    assert (
        call.input_tokens,
        call.cache_read_input_tokens,
        call.cache_creation_input_tokens,
        call.output_tokens,
    ) == (1204, 1000, 200, 61)
    assert (call.model, call.provider_name, call.finish_reason) == (
        "claude-sonnet-4-5-20250929",
        "anthropic",
        "tool_use",
    )


def test_a_resumed_session_adds_only_its_own_calls() -> None:
    first, second = fixture(f"{SESSION}.jsonl"), fixture(f"{RESUMED}.jsonl")
    assert len(drop_smaller_rows([*first, *second])) == len(drop_smaller_rows(first)) + 1
    assert {event.parent_conversation_id for event in second} == {SESSION}
    assert {event.conversation_id for event in second} == {RESUMED}


def test_a_subagent_is_part_of_its_session() -> None:
    events = fixture(f"{SESSION}/subagents/agent-a9b8c7d6.jsonl")
    places = {
        (event.conversation_id, event.parent_conversation_id, event.agent_id, event.is_subagent)
        for event in events
    }
    assert places == {(SESSION, SESSION, "a9b8c7d6", True)}


def test_an_old_subagent_beside_its_session_is_known_by_its_name() -> None:
    line = {
        "type": "user",
        "sessionId": "s-1",
        "uuid": "u-1",
        "isSidechain": True,
        "message": {"content": "look"},
    }
    (event,) = read_line(line, PROJECT + "agent-1f2e.jsonl")
    assert (
        event.conversation_id,
        event.parent_conversation_id,
        event.agent_id,
        event.is_subagent,
    ) == ("s-1", "s-1", "1f2e", True)


def test_results_have_their_tool_outcome_and_duration() -> None:
    results = {
        event.tool_call_id: event
        for event in fixture(f"{SESSION}.jsonl")
        if event.event_kind == "tool_result"
    }
    assert {
        call: (event.tool_name, event.tool_type, event.outcome, event.error_type, event.duration_ms)
        for call, event in results.items()
    } == {
        "toolu_01Rows": ("Bash", "shell", "success", None, 41),
        "toolu_02Map": ("mcp__garden__map", "mcp", "success", None, 1100.0),
        "toolu_03Web": ("WebFetch", "web", "failure", "tool_error", 1000.0),
        "toolu_04Rm": (None, None, "failure", "permission_denied", None),
        "toolu_05Task": ("Agent", "function", "success", None, 29500),
        "srvtoolu_01": ("web_search", "web", "success", None, None),
    }
    assert results["toolu_02Map"].tool_result == (
        '[{"type":"text","text":"row '
        '3"},{"type":"image","media_type":"image/png","base64_bytes":1212}]'
    )


def test_a_subagent_that_ended_is_a_run() -> None:
    (run,) = (event for event in fixture(f"{SESSION}.jsonl") if event.event_kind == "agent_run")
    assert run.parent_tool_call_id == "toolu_05Task"
    assert (run.agent_id, run.is_subagent, run.duration_ms, run.outcome) == (
        "a9b8c7d6",
        True,
        29500,
        "success",
    )


def test_a_cache_write_for_an_hour_costs_twice_the_input() -> None:
    call = next(
        event for event in fixture(f"{SESSION}.jsonl") if event.api_call_id == "msg_01OrchardAnHour"
    )
    assert call.cost_usd == pytest.approx((10 * 3 + 1000 * 3.75 + 4000 * 6 + 20 * 15) / 1e6)
    assert call.cost_source == cost_source()


def test_a_fast_call_costs_what_fast_calls_cost() -> None:
    call = next(
        event for event in fixture(f"{SESSION}.jsonl") if event.api_call_id == "msg_01OrchardFast"
    )
    assert call.cost_usd == pytest.approx(2 * (1000 * 4 + 100 * 20) / 1e6)


def test_a_fast_call_without_a_listed_price_has_no_standard_price() -> None:
    usage = {"input_tokens": 5, "output_tokens": 5, "speed": "fast"}
    (call,) = read_line(
        {
            "type": "assistant",
            "uuid": "u",
            "message": {"id": "msg_0000001", "model": "claude-haiku-4-5", "usage": usage},
        }
    )
    assert (call.cost_usd, call.cost_source) == (None, "unknown")


def test_a_recorded_cost_stays() -> None:
    events = events_of(
        "/x/legacy.jsonl", (FIXTURES / "claude_code/exports/legacy.jsonl").read_bytes().splitlines()
    )
    assert (events[0].cost_usd, events[0].cost_source) == (0.12, "recorded")
    assert events[0].api_call_id == "msg-quince-1:req-quince-1"
    assert events[0].input_tokens == 135


def test_calls_without_any_id_are_calls_of_their_own() -> None:
    events = events_of(
        "/x/legacy.jsonl", (FIXTURES / "claude_code/exports/legacy.jsonl").read_bytes().splitlines()
    )
    assert [
        event.api_call_id for event in events if event.text in ("No id at all.", "Nor here.")
    ] == [None, None]
    assert len(drop_smaller_rows(events)) == 3


def test_what_the_program_says_in_the_models_place_is_no_call() -> None:
    synthetic = [
        event
        for event in fixture(f"{SESSION}.jsonl")
        if event.text in ("API Error: the orchard is full", "No response requested.")
    ]
    assert [
        (event.event_kind, event.usage_scope, event.input_tokens, event.model)
        for event in synthetic
    ] == [
        ("error", None, None, None),
        ("model_message", None, None, None),
    ]
    assert synthetic[0].error_type == "rate_limit"


def test_a_failed_request_is_an_error() -> None:
    (error,) = (
        event
        for event in fixture(f"{SESSION}.jsonl")
        if event.role == "system" and event.event_kind == "error"
    )
    assert (error.error_type, error.error_message, error.outcome) == (
        "529",
        "overloaded",
        "failure",
    )


def test_only_what_a_person_typed_is_a_user_message() -> None:
    typed = [
        event.text for event in fixture(f"{SESSION}.jsonl") if event.event_kind == "user_message"
    ]
    assert typed == [
        "Count the pears in rows.txt",
        "and the plums",
        "What pear is this?",
        "not an object",
    ]


def test_a_compaction_counts_once() -> None:
    kinds = Counter(event.event_kind for event in fixture(f"{SESSION}.jsonl"))
    assert kinds["compaction"] == 1


def test_lines_of_unknown_types_are_events_all_the_same() -> None:
    unknown = [
        event.source_line for event in fixture(f"{SESSION}.jsonl") if event.event_kind == "unknown"
    ]
    assert unknown == [45, 47]


def test_another_program_with_the_same_shape_has_its_own_name() -> None:
    line = {
        "type": "user",
        "sessionId": "s-1",
        "uuid": "u-1",
        "isSidechain": False,
        "message": {"content": "hello"},
    }
    assert [
        read_line(line, f"/home/agent/{folder}/projects/-srv/s-1.jsonl")[0].agent_name
        for folder in (".claude", ".iflow")
    ] == ["claude-code", "iflow"]


@pytest.mark.parametrize(
    "path",
    [
        "C:\\Users\\agent\\.claude\\projects\\C--srv\\s.jsonl",
        (
            "/Users/a/Library/Application "
            "Support/Claude/local-agent-mode-sessions/x/projects/y/s.jsonl"
        ),
    ],
)
def test_a_transcript_is_known_by_its_place(path: str) -> None:
    assert DIALECT.recognise(path, {})


@pytest.mark.parametrize(
    "path", ["/home/agent/.claude/history.jsonl", "/home/agent/projects/notes.jsonl"]
)
def test_other_files_are_not_known_by_their_place(path: str) -> None:
    assert not DIALECT.recognise(path, {"display": "hello", "project": "/srv"})


@pytest.mark.parametrize(
    "content",
    [
        7,
        None,
        {},
        [None, 3, {"type": 5}],
        [{"type": "tool_result"}],
        [{"type": "tool_use", "input": 3}],
    ],
)
@pytest.mark.parametrize("kind", ["user", "assistant"])
def test_odd_content_loses_no_line(kind: str, content: object) -> None:
    events = read_line(
        {
            "type": kind,
            "uuid": "u",
            "message": {"content": content, "usage": [], "model": 3, "id": {}},
        }
    )
    assert events
    assert "unknown" not in {event.event_kind for event in events}


def test_a_failed_command_has_the_exit_code_that_its_result_begins_with() -> None:
    def line(role: str, block: Mapping[str, object]) -> dict[str, object]:
        message = {"role": role, "content": [block]}
        return {"type": role, "sessionId": SESSION, "message": message}

    called = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "make"}}
    answered = {"type": "tool_result", "tool_use_id": "t1", "is_error": True}
    events = events_of(
        PROJECT + "s.jsonl",
        [
            line("assistant", called),
            line("user", {**answered, "content": "Exit code 2\nno rule to make it"}),
        ],
    )
    results = [event for event in events if event.event_kind == "tool_result"]
    assert [(each.tool_name, each.outcome, each.exit_code) for each in results] == [
        ("Bash", "failure", 2)
    ]


def answer(**usage: object) -> dict[str, object]:
    """Return a line with an answer of Sonnet."""
    return {
        "type": "assistant",
        "uuid": "0b8f1111-5a11-4c22-8d33-9e44a55b66c7",
        "sessionId": SESSION,
        "timestamp": "2026-11-01T10:00:00.000Z",
        "message": {"id": "msg_01OrchardAdvice", "model": "claude-sonnet-4-6", "usage": usage},
    }


def entry(kind: str, given: int, written: int, **more: object) -> dict[str, object]:
    return {"type": kind, "input_tokens": given, "output_tokens": written, **more}


@pytest.mark.parametrize(
    ("iterations", "others"),
    [
        ([entry("message", 20, 30), entry("compaction", 900, 70)], [("sonnet-4-6", 900, 70)]),
        (
            [
                entry("message", 20, 30),
                entry("advisor_message", 500, 60, model="claude-opus-4-8"),
                entry("advisor_message", 700, 80, model="claude-opus-4-8"),
            ],
            [("opus-4-8", 500, 60), ("opus-4-8", 700, 80)],
        ),
        (
            [entry("message", 40, 2, model="claude-haiku-4-5"), entry("message", 20, 30)],
            [("haiku-4-5", 40, 2)],
        ),
        ([entry("message", 15, 10), entry("message", 5, 20)], []),
        ([entry("message", 15, 10), entry("compaction", 5, 20)], []),
        ({"input_tokens": 7, "output_tokens": 8, "type": "surprise"}, [("sonnet-4-6", 7, 8)]),
        (["x", None, {"input_tokens": "many"}], []),
    ],
    ids=["compaction", "advisors", "fallback", "turns", "within the sum", "an object", "odd"],
)
def test_usage_beside_that_of_the_message_is_of_calls_of_their_own(
    iterations: object, others: list[tuple[str, int, int]]
) -> None:
    # the advisor was the larger part of the bill, and in no total
    events = read_line(answer(input_tokens=20, output_tokens=30, iterations=iterations))
    assert [
        ((each.model or "").removeprefix("claude-"), each.input_tokens, each.output_tokens)
        for each in events
    ] == [("sonnet-4-6", 20, 30), *others]
    keys = [each.api_call_id for each in events]
    assert len({*keys}) == len(keys)
    assert len({each.event_id for each in events}) == len(events)
    assert all(each.usage_scope == "call" for each in events)
    line = answer(input_tokens=20, output_tokens=30, iterations=iterations)
    fork = events_of(PROJECT + "fork.jsonl", [{**line, "sessionId": RESUMED}])
    assert [each.api_call_id for each in fork] == keys


def test_searches_and_the_tier_are_in_the_cost() -> None:
    searched = {"server_tool_use": {"web_search_requests": 3}}
    [usual] = read_line(answer(input_tokens=100, output_tokens=50))
    [batched] = read_line(answer(input_tokens=100, output_tokens=50, service_tier="batch"))
    [found] = read_line(answer(input_tokens=100, output_tokens=50, **searched))
    assert (usual.cost_usd, batched.cost_usd) == (0.00105, 0.000525)
    assert (found.cost_usd, found.web_search_requests) == (0.03105, 3)
    assert batched.service_tier == "batch"


def read_fork(session: str, call: object, uuid: str, request: str | None = None) -> list[Event]:
    line = {
        "type": "assistant",
        "uuid": uuid,
        "sessionId": session,
        "requestId": request,
        "message": {"id": call, "model": "glm-5.2", "usage": {"input_tokens": 1}},
    }
    return events_of(f"{PROJECT}{session}.jsonl", [line, {**line, "uuid": uuid[:-1] + "f"}])


def test_a_fork_repeats_the_calls_of_a_gateway() -> None:
    # their ids do not look like a provider's, so each session counted them again
    uuid = "0b8f2222-5a11-4c22-8d33-9e44a55b66c7"
    first, fork = (read_fork(each, "20261110180000a1b2", uuid) for each in (SESSION, RESUMED))
    assert {each.api_call_id for each in (*first, *fork)} == {f"20261110180000a1b2:{uuid}"}
    other = read_fork(RESUMED, "20261110180000a1b2", "0b8f3333-5a11-4c22-8d33-9e44a55b66c7")
    assert other[0].api_call_id != first[0].api_call_id


def test_a_fork_with_new_line_ids_repeats_the_requests_of_a_gateway() -> None:
    request = "20261110180000ffee"
    first = read_fork(SESSION, "chat-1", "0b8f2222-5a11-4c22-8d33-9e44a55b66c7", request)
    fork = read_fork(RESUMED, "chat-1", "0b8f3333-5a11-4c22-8d33-9e44a55b66c7", request)
    assert {each.api_call_id for each in (*first, *fork)} == {f"chat-1:{request}"}
    assert first[0].request_id == request


def test_numbers_that_begin_at_1_again_are_other_calls_in_another_session() -> None:
    first, other = (
        read_fork(SESSION, "chat-1", "a1", "req-1"),
        read_fork(RESUMED, "chat-1", "a1", "req-1"),
    )
    assert first[0].api_call_id != other[0].api_call_id


def test_a_stream_is_one_session_with_its_totals() -> None:
    path = FIXTURES / "claude_code/ci/plant-trees.jsonl"
    events = events_of("/srv/ci/plant-trees.jsonl", path.read_bytes().splitlines())
    assert {each.conversation_id for each in events} == {"4d5e6f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f"}
    assert [
        (each.api_call_id, each.output_tokens, each.parent_tool_call_id)
        for each in drop_smaller_rows(events)
    ] == [("msg_01StreamPears", 41, None), ("msg_01StreamRows", 5, "toolu_01Rows")]
    end = events[-3]
    assert (end.event_kind, end.outcome, end.duration_ms) == ("session_end", "failure", 5200)
    assert (end.error_type, end.error_message) == ("error_max_turns", "too many turns")
    assert [
        (each.model, each.input_tokens, each.output_tokens, each.cost_usd, each.usage_scope)
        for each in events[-2:]
    ] == [
        ("claude-sonnet-4-6", 124, 41, 0.004, "session_total"),
        ("claude-haiku-4-5", 30, 12, 0.0002, "session_total"),
    ]
    assert {each.cwd for each in events[1:]} == {"/srv/orchard"}
