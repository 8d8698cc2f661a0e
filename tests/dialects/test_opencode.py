"""opencode: a step is a call with its recorded cost, and a tool's run is a call and its result."""

from __future__ import annotations

from tests.dialects.golden import FIXTURES
from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event


def fixture() -> list[Event]:
    path = FIXTURES / "opencode/ci/count-trees.jsonl"
    return events_of("/srv/ci/count-trees.jsonl", path.read_bytes().splitlines())


def test_a_step_is_a_call() -> None:
    [call] = [event for event in fixture() if event.usage_scope == "call"]
    assert (call.input_tokens, call.output_tokens, call.reasoning_output_tokens) == (1010, 200, 50)
    assert (call.cost_usd, call.cost_source) == (0.0021, "recorded")
    assert {event.conversation_id for event in fixture()} == {"ses_orchard01"}


def test_tools_have_outcome_target_and_duration() -> None:
    assert [
        (
            event.event_kind,
            event.tool_name,
            event.outcome,
            event.exit_code,
            event.command or event.file_path,
            event.duration_ms,
        )
        for event in fixture()
        if event.tool_call_id is not None
    ] == [
        ("tool_call", "bash", None, None, "ls /srv/orchard", None),
        ("tool_result", "bash", "failure", 2, "ls /srv/orchard", 750.0),
        ("tool_call", "write", None, None, "/srv/orchard/plan.md", None),
        ("tool_result", "write", "failure", None, "/srv/orchard/plan.md", 100.0),
        ("tool_call", "read", None, None, "/srv/orchard/rows.md", None),
        ("tool_result", "read", "success", None, "/srv/orchard/rows.md", 100.0),
    ]


def test_an_error_says_what_it_is() -> None:
    [error] = [event for event in fixture() if event.event_kind == "error"]
    assert (error.error_type, error.error_message) == ("ProviderAuthError", "no key")
