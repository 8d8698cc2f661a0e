"""The events of each dialect column by column, and no dialect takes the files of another."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import (
    FIXTURES,
    clean_chunk,
    events_of,
    fixtures,
    golden,
    identify_below_home,
    interpreter,
    label_of,
)
from tracesidecar.dialects.columns import COLUMNS
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.registry import DIALECT_NAMES, load_dialects

ENCODERS = {"event_time", "event_time_source", "ingest_time"}
"""Required, and set by the batch if no line has a time."""
REQUIRED = [column.name for column in COLUMNS if column.required and column.name not in ENCODERS]


def name_fixture(path: Path) -> str:
    return path.relative_to(FIXTURES).as_posix()


@pytest.mark.parametrize("fixture", fixtures(), ids=name_fixture)
def test_a_fixture_becomes_its_golden_events(fixture: Path) -> None:
    assert (
        golden(events_of(fixture)).decode().splitlines()
        == fixture.with_suffix(".golden").read_text().splitlines()
    )


@pytest.mark.parametrize("fixture", fixtures(), ids=name_fixture)
def test_a_fixture_is_recognised_by_its_dialect(fixture: Path) -> None:
    expected = name_fixture(fixture).split("/")[0]
    assert {each.dialect for each in events_of(fixture)} <= {expected, "generic"}
    assert events_of(fixture)[-1].dialect == expected


@pytest.mark.parametrize("fixture", fixtures(), ids=name_fixture)
def test_every_event_has_what_is_required_and_an_id_of_its_own(fixture: Path) -> None:
    events = [each.event for each in events_of(fixture)]
    for event in events:
        assert not [column for column in REQUIRED if getattr(event, column) is None]
    seen: dict[str, str] = {}
    for event in events:
        key = event.event_id or ""
        assert seen.setdefault(key, event.line_sha256 or "") == event.line_sha256, (
            "two different lines share an event id"
        )


@pytest.mark.parametrize("fixture", fixtures(), ids=name_fixture)
def test_a_restart_between_any_two_lines_changes_no_event(fixture: Path) -> None:
    whole = golden(events_of(fixture))
    label, identify = label_of(fixture), identify_below_home(fixture)
    state, found, offset = None, [], 0
    interpret = interpreter()
    for row in fixture.read_bytes().splitlines(keepends=True):
        events, state = interpret(label, clean_chunk(row, start=offset), state, identify)
        found += events
        offset += len(row)
    assert golden(found) == whole


def test_every_dialect_has_a_fixture() -> None:
    assert {name_fixture(path).split("/")[0] for path in fixtures()} >= set(DIALECT_NAMES)


def test_states_are_small_and_names_agree() -> None:
    for dialect in load_dialects():
        assert len(msgspec.msgpack.encode(dialect.begin(FileName("/x/y.jsonl")))) < 500
        assert dialect.name in DIALECT_NAMES
