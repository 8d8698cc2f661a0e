"""What a line says at length stands in its own row at most, and never whole in those after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import FIXTURES, clean_chunk, fixtures, label_of
from tests.dialects.mapping import events_of
from tracesidecar.dialects import COLUMNS, Event
from tracesidecar.dialects.interpreter import DialectEvent, Interpreter
from tracesidecar.dialects.registry import load_dialect
from tracesidecar.dialects.state import decode_state
from tracesidecar.dialects.truncate import ID_BYTES, SHORT_BYTES, TEXT_BYTES

LONG = {
    "raw",
    "text",
    "tool_arguments",
    "tool_result",
    "error_message",
    "command",
    "file_path",
    "url",
}
MARK_BYTES = 40
BIG = "é" * 2_000


def keys_of(value: object) -> Iterator[str]:
    """Yield each key of a JSON value, at any depth."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from keys_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from keys_of(member)


def inflate(value: object, key: str) -> object:
    """Return the value with every text at a key made long."""
    if isinstance(value, dict):
        return {
            name: member + BIG if name == key and isinstance(member, str) else inflate(member, key)
            for name, member in value.items()
        }
    return [inflate(member, key) for member in value] if isinstance(value, list) else value


def interpret(dialect: str, label: str, lines: list[object]) -> tuple[list[DialectEvent], bytes]:
    """Return the events of lines that this dialect maps, and the state after them."""
    data = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    return Interpreter(load_dialect(dialect))(label, clean_chunk(data), None)


def too_long(event: Event) -> list[tuple[str, int]]:
    """Return the columns of a row that are longer than promised, with their bytes."""
    found = []
    for column in COLUMNS:
        value = getattr(event, column.name)
        if not isinstance(value, str) or column.name == "raw":
            continue
        limit = TEXT_BYTES if column.name in LONG else SHORT_BYTES
        limit = ID_BYTES if column.name.endswith("_id") else limit
        if len(value.encode()) > limit + MARK_BYTES:
            found.append((column.name, len(value)))
    return found


@pytest.mark.parametrize(
    "fixture", fixtures(), ids=lambda path: path.relative_to(FIXTURES).as_posix()
)
def test_no_column_outgrows_its_limit_whatever_is_long(fixture: Path) -> None:
    dialect = fixture.relative_to(FIXTURES).parts[0]
    lines = [msgspec.json.decode(line) for line in fixture.read_bytes().splitlines()]
    for key in sorted({key for line in lines for key in keys_of(line)}):
        events, state = interpret(
            dialect, label_of(fixture), [inflate(each, key) for each in lines]
        )
        found = {column for each in events for column in too_long(each.event)}
        assert (key, found) == (key, set())
        assert len(state) < 5_000 + 500 * len(lines), key


def test_a_long_text_of_an_earlier_line_is_short_in_the_rows_after_it() -> None:
    meta = {"id": "t", "cwd": "/" + "c" * 400_000, "git": {"branch": "b" * 400_000}}
    time = "2026-01-01T00:00:00.000Z"
    said = {"timestamp": time, "type": "event_msg", "payload": {"type": "user_message"}}
    first, *rest = events_of(
        "rollout.jsonl", [{"timestamp": time, "type": "session_meta", "payload": meta}, *[said] * 3]
    )
    assert first.cwd is not None
    assert first.cwd.startswith("/ccc")
    assert first.cwd.endswith("…[truncated 398977 bytes]")
    assert first.truncated
    assert {(each.cwd, each.git_branch) for each in rest} == {(first.cwd, first.git_branch)}


def test_what_an_earlier_version_carries_at_length_is_shortened_once_its_state_is_read() -> None:
    said = b'{"timestamp":"2026-01-01T00:00:00.000Z","type":"event_msg","payload":{"type":"x"}}\n'
    interpret_file = Interpreter(load_dialect("codex"))
    _, state = interpret_file("rollout.jsonl", clean_chunk(said), None)
    file = decode_state(state)
    carried = msgspec.msgpack.decode(file.mapper, type=dict[str, object])
    file.mapper = msgspec.msgpack.encode({**carried, "cwd": "/" + "c" * 400_000})
    [event], _ = interpret_file("rollout.jsonl", clean_chunk(said), file.encode())
    assert (event.event.cwd or "").endswith("…[truncated 398977 bytes]")


def test_a_long_id_is_the_same_in_every_row_and_differs_from_its_likes() -> None:
    line = {"type": "user", "isSidechain": False, "message": {"content": "hi"}}
    ids = ["s" * 1_000_000 + end for end in ("1", "2")]
    rows = [
        {**line, "sessionId": ids[0], "uuid": "u" * 301},
        {**line, "sessionId": ids[1], "uuid": "u" * 300},
        {**line, "sessionId": ids[0], "uuid": "v"},
        {"type": "summary", "summary": "x", "leafUuid": "v"},
    ]
    found = events_of("a.jsonl", rows)
    conversations = [each.conversation_id for each in found]
    assert conversations[0] == conversations[2] == conversations[3] != conversations[1]
    assert all(len(each or "") == 81 for each in conversations)
    assert [each.native_id for each in found[1:3]] == ["u" * 300, "v"]
    assert len({each.event_id for each in found}) == 4


def test_a_long_id_of_a_call_still_leads_to_its_tool() -> None:
    call = "call_" + "t" * 5_000  # a gateway may put a model's signature into it
    time = "2026-01-01T00:00:00.000Z"
    requested = {"type": "function_call", "call_id": call, "name": "shell", "arguments": "{}"}
    answered = {"type": "function_call_output", "call_id": call, "output": "done"}
    before, after = events_of(
        "rollout.jsonl",
        [
            {"timestamp": time, "type": "response_item", "payload": each}
            for each in (requested, answered)
        ],
    )
    assert before.tool_name == after.tool_name == "shell"
    assert before.tool_call_id == after.tool_call_id


def test_records_of_one_otlp_line_do_not_each_repeat_a_large_resource() -> None:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "s" * 400_000}}]}
    spans = [{"traceId": "t", "spanId": f"{n:x}", "name": "chat"} for n in range(2_000)]
    line = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
    found = events_of("a.jsonl", [line])
    assert len(found) == 2_000
    assert sum(len(each.raw or "") for each in found) < 3_000_000
    assert "s" * 400_000 in (found[0].raw or "")
    last = msgspec.json.decode(found[-1].raw or "")
    stub = last["resourceSpans"][0]["resource"]
    assert stub["bytes"] == len(json.dumps(resource))
    assert found[-1].truncated
