"""Attocode as its program really writes.

Calls differ from fragments of text, runs from sessions, and failures from what is said to be
complete.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of, sample
from tracesidecar.dialects.attocode.dialect import DIALECT, KINDS
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.file_name import FileName

FILE = "/home/agent/work/.attocode/traces/trace-1780000000.jsonl"


def line(
    kind: str, data: Mapping[str, object] | None = None, **members: object
) -> dict[str, object]:
    return {
        "event_id": "0a1b2c3d4e5f",
        "kind": kind,
        "timestamp": 1780000000.25,
        "session_id": "s",
        **({"data": data} if data else {}),
        **members,
    }


def fixture_events(name: str) -> list[Event]:
    return events_of(
        "/home/agent/" + name, (FIXTURES / "attocode" / name).read_bytes().splitlines()
    )


def test_pieces_of_streamed_text_are_no_calls() -> None:
    piece = {"metadata": {"chunk_type": "text", "content": "I look "}}
    thought = {"metadata": {"chunk_type": "thinking", "content": "hm"}}
    events = events_of(
        FILE,
        [
            line("llm_response", piece),
            line("llm_response", thought),
            line("llm_response", {"tokens": 12, "cost": 0.5}),
        ],
    )
    assert [(event.event_kind, event.text, event.usage_scope) for event in events] == [
        ("model_message", "I look ", None),
        ("reasoning", "hm", None),
        ("model_call", None, "call"),
    ]


def test_cumulative_cost_and_session_totals_are_not_among_the_calls() -> None:
    events = fixture_events(".attocode/traces/trace-1780000000.jsonl")
    by_scope: dict[str | None, list[float]] = {}
    for event in events:
        if event.cost_usd is not None:
            by_scope.setdefault(event.usage_scope, []).append(event.cost_usd)
    assert by_scope == {
        "cumulative": [0.0, 0.004],
        "call": [0.004, 0.001],
        "session_total": [0.005],
    }


def test_a_session_starts_and_ends_once_whatever_its_runs_do() -> None:
    kinds = [
        event.event_kind for event in fixture_events(".attocode/traces/trace-1780000000.jsonl")
    ]
    assert (kinds.count("session_start"), kinds.count("session_end")) == (1, 1)
    assert kinds[0] == "session_start"
    assert kinds[-1] == "session_end"


def test_a_session_of_a_file_without_the_programs_own_lines_starts_too() -> None:
    start, end = events_of(FILE, [line("session_start"), line("session_end", {"status": "error"})])
    assert (start.event_kind, end.event_kind, end.finish_reason) == (
        "session_start",
        "session_end",
        "error",
    )


@pytest.mark.parametrize("kind", ["tool", "tool_end"])
@pytest.mark.parametrize("key", ["tool", "tool_name"])
def test_a_finished_tool_goes_by_two_kinds_and_two_keys(kind: str, key: str) -> None:
    (event,) = events_of(
        FILE,
        [
            line(
                kind,
                {
                    key: "bash",
                    "result": "fine",
                    "metadata": {"tool_id": "toolu_1", "duration_ms": 2.5},
                },
            )
        ],
    )
    assert (
        event.event_kind,
        event.tool_name,
        event.tool_call_id,
        event.duration_ms,
        event.outcome,
    ) == ("tool_result", "bash", "toolu_1", 2.5, "success")


@pytest.mark.parametrize(
    "result",
    [
        "Error: File not found: x",
        "Exit code: 3",
        "Exit code: 1\nSTDERR:\nno",
        "Error executing command: x",
    ],
)
def test_a_result_that_is_an_error_has_failed(result: str) -> None:
    (event,) = events_of(FILE, [line("tool", {"tool": "bash", "result": result})])
    assert (event.outcome, event.error_type, event.error_message) == (
        "failure",
        "failed_result",
        result.split("\n", maxsplit=1)[0],
    )


def test_input_has_the_cache_in_it_whether_or_not_it_is_written_so() -> None:
    within = {
        "tokens": 5100,
        "input_tokens": 5000,
        "output_tokens": 100,
        "cache_read_tokens": 4000,
        "cache_write_tokens": 500,
    }
    beside = {**within, "input_tokens": 500}
    assert [
        event.input_tokens
        for event in events_of(FILE, [line("llm_response", within), line("llm_response", beside)])
    ] == [5000, 5000]


def test_events_of_an_iteration_are_its_children() -> None:
    start, request, piece, later = events_of(
        FILE,
        [
            line("iteration_start", iteration=1, event_id="aa"),
            line("llm_request", iteration=1, event_id="bb"),
            line("llm_response", {"metadata": {"content": "x"}}, event_id="cc"),
            line("tool_start", {"tool": "bash"}, iteration=2, event_id="dd", parent_event_id="bb"),
        ],
    )
    assert [event.parent_id for event in (start, request, piece, later)] == [None, "aa", None, "bb"]


def test_the_same_event_id_in_two_sessions_is_two_events() -> None:
    one, two = events_of(FILE, [line("custom"), line("custom", session_id="other")])
    assert one.event_id != two.event_id


def test_a_kind_nobody_knows_passes_as_unknown_and_is_counted() -> None:
    (event,) = events_of(
        FILE, [line("tree_felled", {"message": "timber"}, iteration="abc", duration_ms="7")]
    )
    assert (event.event_kind, event.operation_name, event.text, event.duration_ms) == (
        "unknown",
        "tree_felled",
        "timber",
        7.0,
    )


def test_the_old_program_carries_session_and_model() -> None:
    events = fixture_events(".traces/trace-session-1762074000000-ab12-1762074000500.jsonl")
    assert {event.conversation_id for event in events} == {"session-1762074000000-ab12"}
    (call,) = [event for event in events if event.usage_scope == "call"]
    assert (call.model, call.input_tokens, call.cache_read_input_tokens, call.output_tokens) == (
        "claude-sonnet-4",
        1000,
        600,
        50,
    )
    assert [event.outcome for event in events if event.event_kind == "tool_result"] == [
        "success",
        "failure",
    ]
    assert [event.operation_name for event in events if event.event_kind == "unknown"] == [
        "hedge.grown"
    ]


def test_lines_that_count_from_the_start_of_the_trace_are_known() -> None:
    assert [event.event_kind for event in fixture_events("traces/old-elapsed.jsonl")] == [
        "session_start",
        "model_call",
        "session_end",
    ]


def test_no_sample_line_is_unknown() -> None:
    for name in ("attocode-cli.jsonl", "attocode-collector.jsonl"):
        lines = sample(name)
        events = events_of(f"/home/agent/{name}", lines)
        assert len(events) == len(lines)
        assert "unknown" not in {event.event_kind for event in events}


def test_what_is_remembered_of_a_file_is_bounded() -> None:
    atto = DIALECT
    state = atto.begin(FileName(FILE))
    for number in range(1_100):
        atto.map_line(
            b'{"_type":"llm.request","_ts":"2026-01-01T00:00:00Z","requestId":"r%d","model":"m"}'
            % number,
            state,
        )
    assert len(state.models) == 1_000


@pytest.mark.parametrize(
    ("kind", "data", "column", "value"),
    [
        ("plan_created", {"goal": "plant pears", "steps": 3}, "text", "plant pears"),
        ("plan_step_complete", {"step": "dig", "success": True}, "outcome", "success"),
        ("budget_warning", {"status": "warning", "message": "80%"}, "finish_reason", "warning"),
        ("file_change", {"path": "/srv/a.md", "action": "edit"}, "file_path", "/srv/a.md"),
        ("quality_check", {"passed": False}, "outcome", "failure"),
        ("mcp_connect", {"server": "garden"}, "connector", "garden"),
        ("mode_change", {"from_mode": "plan", "to_mode": "act"}, "text", "act"),
        ("swarm_conflict", {"file_path": "/srv/b.md", "symbol": "x"}, "file_path", "/srv/b.md"),
        ("swarm_failure_attribution", {"cause": "frost"}, "text", "frost"),
        ("llm_request", {"model": "claude-opus-4-8"}, "model", "claude-opus-4-8"),
        ("recovery", {"error": "frost"}, "error_message", "frost"),
    ],
)
def test_what_bookkeeping_says_is_in_columns(
    kind: str, data: dict[str, object], column: str, value: object
) -> None:
    line = {"event_id": "e1", "kind": kind, "timestamp": 1780000000.0, "session_id": "s"}
    [event] = events_of("/x/.attocode/traces/s.jsonl", [{**line, "iteration": 4, "data": data}])
    assert getattr(event, column) == value
    assert (event.event_kind, event.iteration) == ("state", 4)


def test_every_documented_kind_has_its_category() -> None:
    categories = set()
    for kind in KINDS:
        line = {"event_id": "e1", "kind": kind, "timestamp": 1780000000.0, "session_id": "s"}
        [event] = events_of("/x/.attocode/traces/s.jsonl", [line])
        categories.add(event.category)
    assert len(categories) == 16
