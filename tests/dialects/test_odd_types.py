"""A value of an unexpected type costs a column, never a line, and no mapper fails on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.dialects.golden import FIXTURES, fixtures
from tests.dialects.mapping import events_of
from tracesidecar.dialects.dialect import UnknownType
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.parsing import total, utc
from tracesidecar.dialects.registry import load_dialect
from tracesidecar.encode import ColumnBuffer
from tracesidecar.json_size import MOST_VALUES

ODD: tuple[object, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "x",
    [],
    [None],
    [[1]],
    {},
    {"x": {"type": 7}},
)
NAME = FileName("s.jsonl")
RELATIVE = [each.relative_to(FIXTURES) for each in fixtures()]


def variants(value: object, depth: int = 4) -> Iterator[object]:
    """Yield the value with one part of it replaced by something odd."""
    yield from ODD
    if depth and isinstance(value, dict):
        for key, member in value.items():
            yield from ({**value, key: odd} for odd in variants(member, depth - 1))
    elif depth and isinstance(value, list) and value:
        yield from ([odd, *value[1:]] for odd in variants(value[0], depth - 1))


@pytest.mark.parametrize(
    "fixture", fixtures(), ids=lambda path: path.relative_to(FIXTURES).as_posix()
)
def test_an_odd_value_anywhere_fails_no_mapper(fixture: Path) -> None:
    mapper = load_dialect(fixture.relative_to(FIXTURES).parts[0])
    for line in fixture.read_bytes().splitlines():
        for odd in variants(msgspec.json.decode(line)):
            state = mapper.begin(FileName(fixture.as_posix()))
            try:
                mapper.map_line(msgspec.json.encode(odd), state)
            except (UnknownType, msgspec.ValidationError):
                continue
            finally:
                msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=mapper.state)


def numbers_in(value: object, depth: int = 6) -> Iterator[object]:
    """Yield the value with one of its numbers replaced by one that no column holds exactly."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (2**53 + 1, 2**63, 10**200)
    elif depth and isinstance(value, dict):
        for key, member in value.items():
            yield from ({**value, key: odd} for odd in numbers_in(member, depth - 1))
    elif depth and isinstance(value, list) and value:
        yield from ([odd, *value[1:]] for odd in numbers_in(value[0], depth - 1))


@pytest.mark.parametrize("dialect", sorted({each.parts[0] for each in RELATIVE}))
def test_a_number_that_is_too_large_stops_no_lake(dialect: str) -> None:
    # the whole batch failed, again and again, and with it the lines of all other sources
    mapper = load_dialect(dialect)
    columns = ColumnBuffer()
    for fixture in (FIXTURES / each for each in RELATIVE if each.parts[0] == dialect):
        for line in dict.fromkeys(fixture.read_bytes().splitlines()):
            for odd in numbers_in(msgspec.json.decode(line)):
                try:
                    events = mapper.map_line(json.dumps(odd).encode(), mapper.begin(NAME))
                except (UnknownType, msgspec.ValidationError):
                    continue
                for event in events:
                    columns.add(event)
    columns.flush()


def test_a_sum_of_counts_that_is_too_large_is_no_count() -> None:
    assert total(*[2**53] * 2000) is None
    assert total(2**53 - 1, 1, None) == 2**53


@pytest.mark.parametrize(
    "value", ["2025-W01-1T10:00:00.000Z", "\u00b2", "1764547200\u00b2", 10**400]
)
def test_what_looks_like_a_time_and_is_none_stops_no_lake(value: object) -> None:
    # a day of a week passed as it was: no column of times takes that, and no batch was delivered
    assert utc(value) is None or str(value).isascii()
    line = {"type": "user", "uuid": "u", "sessionId": "s", "timestamp": value}
    [event] = events_of("s.jsonl", [{**line, "message": {"role": "user", "content": "hello"}}])
    assert event.text == "hello"
    columns = ColumnBuffer()
    columns.add(event)
    columns.flush()


def test_a_line_of_very_many_values_is_known_by_its_size_and_its_neighbours_as_ever() -> None:
    line = {"type": "user", "uuid": "u", "sessionId": "s", "cwd": "/x", "version": "2.0.1"}
    usual = {**line, "message": {"role": "user", "content": "hello"}}
    heavy = {**line, "message": {"role": "user", "content": [{}] * (MOST_VALUES // 2 + 1000)}}
    before, between, after = events_of("s.jsonl", [usual, heavy, usual])
    assert (before.text, after.text) == ("hello", "hello")
    assert (between.event_kind, between.truncated, between.conversation_id) == (
        "unknown",
        True,
        "s",
    )
    assert between.raw is not None
    stub = msgspec.json.decode(between.raw, type=dict[str, object])
    content = json.dumps(heavy).encode()
    assert stub["bytes"] == len(content) == between.line_bytes
    assert stub["sha256"] == hashlib.sha256(content).hexdigest() == between.line_sha256
