"""Each format writes the same bytes as its golden file, which a person has reviewed.

`UPDATE_GOLDEN=1` rewrites the files, for another review.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.encode.events import DIALECT, EVENTS, KINDS, encoder_at
from tracesidecar import __version__
from tracesidecar.dialects import Event
from tracesidecar.encode.content import Content
from tracesidecar.encode.formats import EVENT_FORMATS, encoder_for

GOLDEN = Path(__file__).parent / "golden"


def test_there_is_an_event_of_every_kind_and_type_of_tool() -> None:
    assert {event.event_kind for event in EVENTS.values()} == set(KINDS)
    types = {"function", "extension", "datastore", "mcp", "shell", "edit", "read", "search", "web"}
    assert {event.tool_type for event in EVENTS.values()} == {None, *types}


@pytest.mark.parametrize("form", EVENT_FORMATS)
def test_every_event_is_written_like_its_golden_record(form: str) -> None:
    encode = encoder_for(form)
    written = "".join(
        f"# {name}\n{encode(event, DIALECT).decode()}\n" for name, event in EVENTS.items()
    ).replace(__version__, "VERSION")
    path = GOLDEN / f"{form}.txt"
    if "UPDATE_GOLDEN" in os.environ:
        path.write_bytes(written.encode())
    assert written == path.read_bytes().decode()


@pytest.mark.parametrize("form", EVENT_FORMATS)
@pytest.mark.parametrize("content", ["full", "actions", "metadata"])
def test_a_record_is_one_line_and_the_event_is_not_changed(form: str, content: Content) -> None:
    encode = encoder_at(form, content)
    for event in EVENTS.values():
        before = msgspec.structs.replace(event)
        record = encode(event, DIALECT)
        assert b"\n" not in record
        assert b"\r" not in record
        assert b"\0" not in record
        assert event == before
        assert encode(event, DIALECT) == record


def full_of_marks() -> Event:
    """Return an event with a different marker in every text column."""
    texts = {name: f"mark-{name}-mark" for name in Event.__struct_fields__ if name not in NUMBERS}
    return msgspec.structs.replace(Event(event_kind="state"), **(texts | NUMBERS))


NUMBERS = {
    "schema_version": 771,
    "is_subagent": True,
    "event_time": "2026-09-01T10:00:00.123456Z",
    "duration_ms": 772.5,
    "ingest_time": "2026-09-01T10:00:07.654321Z",
    "event_kind": "tool_call",
    "input_tokens": 773,
    "cache_read_input_tokens": 774,
    "cache_creation_input_tokens": 775,
    "output_tokens": 776,
    "reasoning_output_tokens": 777,
    "cost_usd": 778.25,
    "source_line": 779,
    "source_offset": 780,
    "line_bytes": 781,
    "redaction_count": 782,
    "exit_code": 783,
    "generation": 784,
    "truncated": True,
    "supersedes": True,
    "outcome": "failure",
    "labels": '{"mark":"mark-labels-mark"}',
    "trace_id": "mark-trace_id-mark",
}


@pytest.mark.parametrize("form", EVENT_FORMATS)
@pytest.mark.parametrize("tool_type", ["mark-tool_type-mark", "shell", "edit", "web"])
def test_no_column_is_lost(form: str, tool_type: str) -> None:
    event = msgspec.structs.replace(full_of_marks(), tool_type=tool_type)
    record = encoder_for(form)(event, "mark-dialect-mark").decode()
    marks = [
        f"mark-{name}-mark"
        for name in (*Event.__struct_fields__, "dialect")
        if name not in NUMBERS and name != "tool_type"
    ]
    numbers = [
        str(number).split(".")[0]
        for name, number in NUMBERS.items()
        if not isinstance(number, bool | str)
    ]
    assert not [
        mark for mark in (*marks, *numbers, tool_type, "mark-labels-mark") if mark not in record
    ]


def test_the_partitions_are_in_a_row_except_in_a_lake() -> None:
    event = EVENTS["shell"]
    row = msgspec.json.decode(encoder_for("event")(event, DIALECT))
    assert (row.pop("dt"), row.pop("dialect")) == ("2026-09-01", DIALECT)
    assert msgspec.json.decode(encoder_for("event", partitioned=True)(event, DIALECT)) == row
    assert msgspec.convert(row, Event) == event
