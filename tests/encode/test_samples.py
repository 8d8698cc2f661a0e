"""Events of real traces, of every dialect of the shared samples, are valid in each format."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from tests.dialects.golden import clean_chunk
from tests.dialects.mapping import SAMPLES, sample
from tests.encode.events import encoder_at
from tests.encode.levels import LEVELS_BELOW_FULL
from tests.encode.test_cef_leef import (
    read_cef,
    read_leef,
    replace_acting_in_cef,
    replace_acting_in_leef,
)
from tests.encode.test_content import FORMATS, Level, encode_at, phrases_kept
from tests.encode.test_ecs import NOT_IN_ECS, PUBLISHED, fits, leaves
from tests.encode.test_ocsf import validator
from tests.encode.test_otlp import in_base64
from tracesidecar.dialects import Event, Interpreter
from tracesidecar.encode.formats import encoder_for
from tracesidecar.encode.limit import encode_within

FILES = sorted(SAMPLES.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(
    not FILES and "CI" not in os.environ, reason="the shared samples are not here"
)


def test_the_samples_exist() -> None:
    assert FILES


@cache
def events(path: Path) -> list[tuple[str, Event]]:
    """Yield the events of a sample as a batch has them: with their times."""
    found, _ = Interpreter(labels={"agent": "builder"}, host="build-17")(
        str(path), clean_chunk(b"\n".join(sample(path.name)) + b"\n"), None
    )
    for one in found:
        one.event.event_time = one.event.event_time or "2026-09-01T10:00:00.000000Z"
        one.event.ingest_time = "2026-09-01T10:00:07.000000Z"
    return [(one.dialect, one.event) for one in found]


def shapes(path: Path) -> dict[tuple[Any, ...], tuple[str, Event]]:
    """Return one event of each shape, which is its columns, kind and type of tool."""
    return {
        (
            dialect,
            event.event_kind,
            event.tool_type,
            *(name for name in Event.__struct_fields__ if getattr(event, name) is not None),
        ): (dialect, event)
        for dialect, event in events(path)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ocsf_is_valid(path: Path) -> None:
    encode = encoder_for("ocsf")
    for dialect, event in shapes(path).values():
        found = msgspec.json.decode(encode(event, dialect))
        problems = validator(
            found["class_uid"], tuple(found["metadata"].get("profiles", ()))
        ).iter_errors(found)
        assert [f"{problem.json_path}: {problem.validator}" for problem in problems] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ecs_values_have_the_types_of_ecs(path: Path) -> None:
    encode = encoder_for("ecs")
    for dialect, event in events(path):
        for field, value in leaves(msgspec.json.decode(encode(event, dialect))):
            if not field.startswith("tracesidecar.") and field not in NOT_IN_ECS:
                assert fits(PUBLISHED.get(field, "unpublished"), value), field


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cef_and_leef_are_read_back(path: Path) -> None:
    for dialect, event in events(path):
        for form, read, shown in (
            ("cef", read_cef, replace_acting_in_cef),
            ("leef", read_leef, replace_acting_in_leef),
        ):
            found = read(encoder_for(form)(event, dialect))[1]
            assert found.get("msg", "") == shown(event.text or "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_otlp_is_logs_data(path: Path) -> None:
    encode = encoder_for("otlp")
    for dialect, event in shapes(path).values():
        ParseDict(in_base64(json.loads(encode(event, dialect))), LogsData())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_metadata_fits_into_a_syslog_message(path: Path) -> None:
    for form in ("ecs", "ocsf", "cef", "leef"):
        encode = encoder_at(form, "metadata")
        for dialect, event in events(path):
            assert encode_within(event, encode, dialect, 8_192) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("level", LEVELS_BELOW_FULL)
def test_no_text_of_a_sample_is_in_a_record_below_full(path: Path, level: Level) -> None:
    found = list(shapes(path).values())
    must_not_be_there = phrases_kept(sample(path.name), events(path), level)
    for form in FORMATS:
        records = encode_at(form, level, found)
        assert not {phrase for phrase in must_not_be_there if phrase in records}, form
