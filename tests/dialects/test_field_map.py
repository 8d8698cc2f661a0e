"""A field map: paths to columns, checked when the configuration is read."""

from __future__ import annotations

import pytest

from tests.dialects.mapping import events_of
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.field_map import field_map_dialect
from tracesidecar.errors import ConfigurationError

FILE = "/srv/own/agent.log"


def one(fields: dict[str, str], line: object, event_kinds: dict[str, str] | None = None) -> Event:
    (event,) = events_of(FILE, [line], field_map_dialect(fields, event_kinds))
    return event


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a", {"a": "x"}),
        ("a.b", {"a": {"b": "x"}}),
        ("a.b[1].c", {"a": {"b": [{}, {"c": "x"}]}}),
        ('a["gen_ai.model"].c', {"a": {"gen_ai.model": {"c": "x"}}}),
        ('["a b"][0]', {"a b": ["x"]}),
        ("@t.$s-1", {"@t": {"$s-1": "x"}}),
        ("=x", {}),
    ],
)
def test_a_path_finds_its_value(path: str, line: object) -> None:
    assert one({"model": path}, line).model == "x"


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"a": None},
        {"a": []},
        {"a": {"b": []}},
        {"a": {"b": [{}]}},
        {"a": {"b": {"1": {"c": "x"}}}},
        [1],
        7,
    ],
)
def test_a_path_that_leads_nowhere_leaves_the_column_empty(line: object) -> None:
    assert one({"model": "a.b[1].c"}, line).model is None


def test_values_take_the_type_of_their_column() -> None:
    line = {
        "n": "12",
        "f": "2.5",
        "t": 1783000000123,
        "b": "true",
        "o": {"k": [1]},
        "ok": False,
        "id": 7,
        "blocks": [{"type": "text", "text": "hi"}],
    }
    columns = {
        "input_tokens": "n",
        "duration_ms": "f",
        "event_time": "t",
        "is_subagent": "b",
        "tool_arguments": "o",
        "outcome": "ok",
        "native_id": "id",
    }
    event = one({**columns, "text": "blocks"}, line)
    assert (event.input_tokens, event.duration_ms, event.event_time, event.is_subagent) == (
        12,
        2.5,
        "2026-07-02T13:46:40.123000Z",
        True,
    )
    assert (event.tool_arguments, event.outcome, event.native_id, event.text) == (
        '{"k":[1]}',
        "failure",
        "7",
        "hi",
    )


def test_values_that_do_not_fit_are_left_out() -> None:
    columns = {
        "input_tokens": "v",
        "duration_ms": "v",
        "event_time": "v",
        "is_subagent": "v",
        "outcome": "v",
        "usage_scope": "v",
        "model": "v",
    }
    event = one(columns, {"v": ["a list"]})
    assert [getattr(event, column) for column in columns] == [None] * len(columns)


def test_kinds_are_translated_named_constant_or_derived_from_the_rest() -> None:
    kinds = {"msg": "user_message"}
    assert one({"event_kind": "type"}, {"type": "msg"}, kinds).event_kind == "user_message"
    assert one({"event_kind": "type"}, {"type": "tool_call"}, kinds).event_kind == "tool_call"
    assert one({"event_kind": "type"}, {"type": "other"}, kinds).event_kind == "unknown"
    assert one({"event_kind": "=span"}, {}).event_kind == "span"
    assert one({"input_tokens": "n"}, {"n": 3}).event_kind == "model_call"
    assert one({"tool_name": "n"}, {"n": "bash"}).event_kind == "tool_call"
    assert one({"role": "r"}, {"r": "user"}).event_kind == "user_message"
    assert one({"model": "m"}, {"m": "x"}).event_kind == "unknown"


def test_tokens_are_of_one_call_and_costs_recorded_unless_the_map_says_otherwise() -> None:
    event = one({"output_tokens": "n", "cost_usd": "c"}, {"n": 3, "c": 0.25})
    assert (event.usage_scope, event.cost_usd, event.cost_source) == ("call", 0.25, "recorded")
    assert (
        one({"output_tokens": "n", "usage_scope": "=session_total"}, {"n": 3}).usage_scope
        == "session_total"
    )


@pytest.mark.parametrize(
    ("fields", "event_kinds", "said"),
    [
        ({"inputtokens": "a"}, {}, 'the nearest is "input_tokens"'),
        ({"event_id": "a"}, {}, "cannot be mapped"),
        ({"raw": "a"}, {}, "cannot be mapped"),
        ({"text": "a..b"}, {}, "is not a path"),
        ({"text": ""}, {}, "is not a path"),
        ({"text": "a[x]"}, {}, "is not a path"),
        ({"event_kind": "a."}, {}, "is not a path"),
        ({"text": "a"}, {"msg": "user_mesage"}, 'the nearest is "user_message"'),
    ],
)
def test_an_impossible_map_is_rejected_when_it_is_read(
    fields: dict[str, str], event_kinds: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        field_map_dialect(fields, event_kinds)
