"""Records of format `ocsf` are valid by the published schema 1.8.0, and each event has the class
that detections look for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from tests.encode.events import DIALECT, EVENTS, encoder_at, event, tool_call
from tracesidecar.encode.content import Content
from tracesidecar.encode.formats import encoder_for
from tracesidecar.encode.ocsf_classes import API, ERROR, FILE, HTTP, PROCESS
from tracesidecar.encode.severity import PERSONAL_DATA
from tracesidecar.sanitize.rules import catalogue as rules

CLASSES = {
    1001: "file_activity",
    1007: "process_activity",
    4002: "http_activity",
    6003: "api_activity",
    6008: "application_error",
}


@cache
def load_published() -> dict[str, Any]:
    schema: dict[str, Any] = get_ocsf_schema("1.8.0")
    return schema


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> jsonschema.Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(load_published()).get_class_schema(
        CLASSES[class_uid], list(profiles)
    )
    return jsonschema.Draft202012Validator(schema)


def record(name: str, content: Content = "full") -> dict[str, Any]:
    written = encoder_at("ocsf", content)(EVENTS[name], DIALECT)
    return msgspec.json.decode(written, type=dict[str, Any])


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_the_published_schema_accepts_every_record(name: str, content: Content) -> None:
    found = record(name, content)
    errors = validator(
        found["class_uid"], tuple(found["metadata"].get("profiles", ()))
    ).iter_errors(found)
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


def test_the_schema_rejects_unknown_attributes() -> None:
    found = record("model_call")
    accepts = validator(6003, tuple(found["metadata"]["profiles"]))
    assert accepts.is_valid(found)
    assert not accepts.is_valid(found | {"surprise": 1})
    assert not accepts.is_valid({key: value for key, value in found.items() if key != "actor"})
    assert not accepts.is_valid(found | {"activity_id": 77})


@pytest.mark.parametrize("event_class", [API, PROCESS, FILE, HTTP, ERROR])
def test_the_table_of_classes_agrees_with_the_schema(event_class: Any) -> None:
    known = load_published()["classes"][CLASSES[event_class.uid]]
    assert (event_class.uid, event_class.name) == (known["uid"], known["caption"])
    assert (
        known["attributes"]["category_uid"]["enum"][str(event_class.category_uid)]["caption"]
        == event_class.category_name
    )
    assert set(event_class.profiles) <= set(known["profiles"])
    captions = {
        int(number): about["caption"]
        for number, about in known["attributes"]["activity_id"]["enum"].items()
    }
    assert event_class.activities.items() <= captions.items()


@pytest.mark.parametrize(
    ("name", "type_uid"),
    [
        ("model_call", 600301),
        ("session_end", 600399),
        ("shell", 100701),
        ("tool_result", 100799),
        ("permission", 100799),
        ("edit", 100103),
        ("create", 100101),
        ("delete", 100104),
        ("read", 100102),
        ("search", 600302),
        ("web", 400203),
        ("mcp", 600399),
        ("error", 600801),
        ("error of a tool", 600801),
    ],
)
def test_an_event_has_the_class_that_detections_look_for(name: str, type_uid: int) -> None:
    found = record(name)
    assert (found["type_uid"], found["class_uid"], found["category_uid"]) == (
        type_uid,
        type_uid // 100,
        type_uid // 100_000,
    )


def test_the_target_of_a_tool_is_where_detections_look() -> None:
    assert record("shell")["process"]["cmd_line"] == "ls -la /srv/pears"
    assert record("shell as words")["process"]["cmd_line"] == "sh -c 'echo '\"'\"'a b'\"'\"''"
    assert record("edit")["file"] == {"name": "plan.md", "path": "/srv/pears/plan.md", "type_id": 1}
    assert record("create")["file"]["name"] == "plan.md"
    assert record("patch")["file"] == {"name": "plan.md", "path": "plan.md", "type_id": 1}
    assert record("web")["http_request"]["url"] == {
        "url_string": "https://orchard.example/pears?kind=conference"
    }
    assert record("shell", "actions")["process"]["cmd_line"] == "ls -la /srv/pears"
    assert record("patch", "actions")["file"]["name"] == "plan.md"
    assert "url" not in record("web", "metadata")["http_request"]
    assert record("failed command")["exit_code"] == 3


@pytest.mark.parametrize(
    ("name", "severity_id"),
    [
        ("shell", 1),
        ("with personal data", 1),
        ("permission", 2),
        ("failed tool_result", 2),
        ("error", 3),
        ("with a secret", 3),
    ],
)
def test_severity_follows_denials_errors_and_secrets(name: str, severity_id: int) -> None:
    assert record(name)["severity_id"] == severity_id


def test_the_rules_for_personal_data_are_those_of_the_catalogue() -> None:
    assert {
        rule.id for rule in rules.load_catalogue().rule if rule.category == "pii"
    } == PERSONAL_DATA


def test_only_a_call_counts_as_the_action() -> None:
    kinds = {
        kind: msgspec.json.decode(encoder_for("ocsf")(event(kind, tool_type="shell"), DIALECT))
        for kind in ("tool_call", "tool_result", "permission")
    }
    assert [kind for kind, found in kinds.items() if found["activity_name"] == "Launch"] == [
        "tool_call"
    ]
    assert kinds["tool_result"]["activity_name"] == "tool_result"


def test_a_tool_of_an_unknown_type_is_api_activity() -> None:
    assert (
        msgspec.json.decode(encoder_for("ocsf")(tool_call("new", "telepathy", {}), DIALECT))[
            "class_uid"
        ]
        == 6003
    )
