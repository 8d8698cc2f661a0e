"""The bill of materials is CycloneDX, complete, and the same bytes for the same commit."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cyclonedx.schema
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from release.lock import read_lock
from release.sbom import bill_of_materials

SCHEMAS = Path(cyclonedx.schema.__file__).parent / "_res"
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def text() -> str:
    return bill_of_materials(MADE)


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def test_it_is_valid_by_the_published_schema(document: dict[str, Any]) -> None:
    schemas = {path.name: json.loads(path.read_text("utf-8")) for path in SCHEMAS.glob("*.json")}
    known = Registry().with_resources(
        (name, Resource.from_contents(schema, DRAFT7)) for name, schema in schemas.items()
    )
    schema = schemas["bom-1.6.SNAPSHOT.schema.json"] | {"$id": "bom-1.6.SNAPSHOT.schema.json"}
    validator = Draft7Validator(schema, registry=known)
    assert [error.message for error in validator.iter_errors(document)] == []
    assert [*validator.iter_errors(document | {"components": [{"name": 1}]})] != []


def test_it_names_the_program_and_every_package_of_the_lock_with_its_digests(
    document: dict[str, Any],
) -> None:
    program = document["metadata"]["component"]
    assert (program["name"], program["type"]) == ("tracesidecar", "application")
    assert program["purl"].startswith("pkg:generic/"), "the name on package indexes is not ours"
    assert document["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert {
        (part["purl"], frozenset(digest["content"] for digest in part["hashes"]))
        for part in document["components"]
    } == {
        (f"pkg:pypi/{package.name}@{package.version}", frozenset(package.sha256))
        for package in read_lock("run")
    }


def test_it_says_what_needs_what_and_what_is_optional(document: dict[str, Any]) -> None:
    needs = {part["ref"]: part.get("dependsOn", []) for part in document["dependencies"]}
    reached, ahead = set[str](), [document["metadata"]["component"]["bom-ref"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += needs[name]
    assert reached == set(needs), "nothing stands alone"
    scope = {part["name"]: part["scope"] for part in document["components"]}
    assert [scope[name] for name in ("msgspec", "yarl", "boto3", "urllib3")] == [
        "required",
        "required",
        "optional",
        "optional",
    ]


def test_it_names_no_host_but_that_of_its_schema(text: str) -> None:
    assert re.findall(r"https?://[^\s\"/]+", text) == ["http://cyclonedx.org"]


def test_the_same_commit_makes_the_same_bytes(text: str) -> None:
    assert bill_of_materials(MADE) == text
