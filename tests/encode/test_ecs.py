"""Records of format `ecs` match the field types of ECS 9, its categories, and the strict mapping
that `ddl elasticsearch` prints.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encode.events import DIALECT, EVENTS, encoder_at, event, tool_call
from tracesidecar.ddl.elasticsearch import ecs_mapping
from tracesidecar.encode.content import Content
from tracesidecar.encode.formats import encoder_for
from tracesidecar.encode.json_fields import make_flattened_field

PUBLISHED = {
    "@timestamp": "date",
    "ecs.version": "keyword",
    "error.message": "match_only_text",
    "error.type": "keyword",
    "event.action": "keyword",
    "event.category": "keyword",
    "event.dataset": "keyword",
    "event.duration": "long",
    "event.hash": "keyword",
    "event.id": "keyword",
    "event.ingested": "date",
    "event.kind": "keyword",
    "event.module": "keyword",
    "event.original": "keyword",
    "event.outcome": "keyword",
    "event.type": "keyword",
    "gen_ai.agent.id": "keyword",
    "gen_ai.agent.name": "keyword",
    "gen_ai.operation.name": "keyword",
    "gen_ai.provider.name": "keyword",
    "gen_ai.response.id": "keyword",
    "gen_ai.response.model": "keyword",
    "gen_ai.tool.call.arguments": "flattened",
    "gen_ai.tool.call.id": "keyword",
    "gen_ai.tool.call.result": "flattened",
    "gen_ai.tool.name": "keyword",
    "gen_ai.tool.type": "keyword",
    "gen_ai.usage.input_tokens": "integer",
    "gen_ai.usage.output_tokens": "integer",
    "host.name": "keyword",
    "labels": "object",
    "log.file.path": "keyword",
    "message": "match_only_text",
    "http.request.id": "keyword",
    "file.path": "keyword",
    "process.command_line": "wildcard",
    "process.exit_code": "long",
    "process.working_directory": "keyword",
    "service.name": "keyword",
    "service.version": "keyword",
    "span.id": "keyword",
    "trace.id": "keyword",
    "url.original": "wildcard",
    "user.id": "keyword",
    "process.args": "keyword",
    "process.name": "keyword",
    "process.executable": "keyword",
    "file.name": "keyword",
    "file.directory": "keyword",
    "file.extension": "keyword",
    "url.scheme": "keyword",
    "url.domain": "keyword",
    "related.hosts": "keyword",
    "related.user": "keyword",
    "url.path": "wildcard",
}
"""Field → type, from the field reference of ECS 9.0 to 9.5; of two types the narrower
(`gen_ai.usage.*` became `long` only in the last).
"""

NOT_IN_ECS = {"log.offset", "parent.id"}
"""Filebeat and Elastic APM have these."""

EXPECTED_TYPES = {
    "api": {
        "access",
        "admin",
        "allowed",
        "change",
        "creation",
        "deletion",
        "denied",
        "end",
        "info",
        "start",
        "user",
    },
    "file": {"access", "change", "creation", "deletion", "info"},
    "process": {"access", "change", "end", "info", "start"},
    "session": {"start", "end", "info"},
    "web": {"access", "error", "info"},
}
"""Category → the types that ECS expects with it."""

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def document(name: str, content: Content = "full") -> dict[str, Any]:
    written = encoder_at("ecs", content)(EVENTS[name], DIALECT)
    return msgspec.json.decode(written, type=dict[str, Any])


def leaves(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields with their values; a flattened field, and `labels`, count as one."""
    for key, inner in value.items():
        name = prefix + key
        if isinstance(inner, dict) and PUBLISHED.get(name) not in ("flattened", "object"):
            yield from leaves(inner, f"{name}.")
        else:
            yield name, inner


def fits(kind: str, value: object) -> bool:
    if isinstance(value, list):
        return kind == "keyword" and all(isinstance(item, str) for item in value)
    if kind == "date":
        return isinstance(value, str) and DATE.fullmatch(value) is not None
    if kind in ("integer", "long"):
        bits = 31 if kind == "integer" else 63
        return (
            isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
        )
    if kind == "double":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "flattened":
        return isinstance(value, dict)
    if kind == "object":
        return isinstance(value, dict) and all(isinstance(label, str) for label in value.values())
    return isinstance(value, str)


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_every_field_is_one_of_ecs_with_a_value_of_its_type(name: str, content: Content) -> None:
    unfit = [
        (field, value)
        for field, value in leaves(document(name, content))
        if not field.startswith("tracesidecar.")
        and field not in NOT_IN_ECS
        and not fits(PUBLISHED.get(field, "unpublished"), value)
    ]
    assert not unfit


def list_mapped(properties: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, about in properties.items():
        if key == "labels":
            yield key, "object"
        elif "properties" in about:
            yield from list_mapped(about["properties"], f"{prefix}{key}.")
        else:
            yield prefix + key, about["type"]


@pytest.mark.parametrize("name", EVENTS)
def test_the_strict_mapping_of_ddl_takes_every_document(name: str) -> None:
    types = dict(
        list_mapped(msgspec.convert(ecs_mapping("flattened")["properties"], dict[str, Any]))
    )
    assert not [
        (field, value)
        for field, value in leaves(document(name))
        if not fits(types.get(field, "unmapped"), value)
    ]


def test_categories_and_types_go_together_as_ecs_expects() -> None:
    for name in EVENTS:
        about = document(name)["event"]
        if about["action"] == "error":
            assert ("category" in about, about["type"]) == (False, ["error"])
        else:
            [category], kinds = about["category"], about["type"]
            assert set(kinds) <= EXPECTED_TYPES[category], name


def test_a_duration_is_in_nanoseconds() -> None:
    assert document("model_call")["event"]["duration"] == 812_250_000


@pytest.mark.parametrize("form", ["ecs", "ocsf"])
@pytest.mark.parametrize("duration", [2.0**63, -1e30, 1e300])
def test_a_duration_that_no_number_of_64_bits_holds_is_left_out(form: str, duration: float) -> None:
    """Elasticsearch rejected the whole event."""
    long = copy.copy(EVENTS["model_call"])
    long.duration_ms = duration
    assert b'"duration"' not in encoder_for(form)(long, DIALECT)


def test_gen_ai_usage_has_only_tokens_that_may_be_summed_and_fit() -> None:
    assert document("model_call")["gen_ai"]["usage"] == {"input_tokens": 1200, "output_tokens": 80}
    assert "usage" not in document("usage_summary").get("gen_ai", {})
    assert document("usage_summary")["tracesidecar"]["usage"] == {
        "input_tokens": 90_000,
        "output_tokens": 8_000,
    }
    assert document("model_call of many tokens")["tracesidecar"]["usage"] == {
        "input_tokens": 2**31,
        "output_tokens": 2**40,
    }


def test_truncation_for_a_flattened_field_is_marked() -> None:
    made = tool_call("Write", "edit", {"content": "x" * 32_400})
    found = msgspec.json.decode(encoder_for("ecs")(made, DIALECT))
    assert found["tracesidecar"]["truncated"] is True
    assert found["gen_ai"]["tool"]["call"]["arguments"]["value"].endswith("bytes]")


def test_arguments_and_results_are_objects_whatever_they_were() -> None:
    assert document("mcp")["gen_ai"]["tool"]["call"]["arguments"] == {
        "trees": 3,
        "rows": [{"n": 1}],
    }
    assert document("function")["gen_ai"]["tool"]["call"]["arguments"] == {"value": "3"}
    assert document("patch")["gen_ai"]["tool"]["call"]["arguments"]["value"].startswith(
        "*** Begin Patch"
    )
    assert document("tool_result")["gen_ai"]["tool"]["call"]["result"] == {"value": "total 0\n"}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"%s"}' % ("x" * 32_700),
        '{"a":' * 25 + "1" + "}" * 25,
        '{"a\\u0000b":1}',
        '{"a":{"b\\u0000":1}}',
        "[1]",
        "{",
        "",
        "{}",
        '{"a":' * 2000,
    ],
    ids=[
        "long leaf",
        "deep",
        "NUL in a key",
        "NUL in an inner key",
        "list",
        "broken",
        "empty",
        "empty object",
        "very deep",
    ],
)
def test_text_that_a_flattened_field_rejects_becomes_one_value(text: str) -> None:
    found = make_flattened_field(text)
    assert found is not None
    assert list(found) == ["value"]
    assert len(str(found["value"]).encode()) < 32_766


@given(
    st.recursive(
        st.text() | st.integers(-(2**60), 2**60),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_a_flattened_field_never_gets_more_than_it_accepts(value: object) -> None:
    def check(inner: object, level: int) -> None:
        assert level <= 20
        for item in (
            inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ()
        ):
            if isinstance(item, dict | list):
                check(item, level + 1)
        assert not isinstance(inner, dict) or not any("\0" in key for key in inner)

    check(make_flattened_field(msgspec.json.encode(value).decode()), 1)


def test_a_label_is_a_keyword_without_dots_and_replaces_a_value_of_the_trace() -> None:
    assert document("shell")["labels"] == {"agent": "builder", "team_name": "orchard"}
    labelled = event("user_message", role="user", git_branch="main", labels='{"role":"builder"}')
    found = msgspec.json.decode(encoder_for("ecs")(labelled, DIALECT))
    assert found["labels"] == {"role": "builder", "git_branch": "main"}


def test_a_repaired_line_is_marked() -> None:
    assert [document(name)["event"]["kind"] for name in ("shell", "unknown")] == [
        "event",
        "pipeline_error",
    ]


def test_the_target_of_a_tool_is_where_detections_look() -> None:
    assert document("shell")["process"]["command_line"] == "ls -la /srv/pears"
    assert document("edit")["file"]["path"] == "/srv/pears/plan.md"
    assert document("web")["url"]["original"] == "https://orchard.example/pears?kind=conference"
    shell = document("shell")
    assert shell["process"]["args"] == ["ls", "-la", "/srv/pears"]
    assert shell["process"]["name"] == "ls"
    assert document("edit")["file"] == {
        "path": "/srv/pears/plan.md",
        "name": "plan.md",
        "directory": "/srv/pears",
        "extension": "md",
    }
    assert document("web")["url"]["domain"] == "orchard.example"
    assert document("web")["related"]["hosts"] == ["build-17", "orchard.example"]
    assert document("session_start")["related"]["user"] == ["u-42"]
    of_mcp = tool_call("t", "mcp", {"url": "https://a.example", "path": "/srv/x"})
    found = msgspec.json.decode(encoder_for("ecs")(of_mcp, DIALECT))
    assert (found["url"]["original"], found["file"]["path"]) == ("https://a.example", "/srv/x")
