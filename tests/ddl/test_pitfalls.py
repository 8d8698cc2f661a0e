"""The bytes that are written have nothing that makes Athena and BigQuery fail."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.ddl.lakes import event, rows, write
from tests.ddl.pitfalls import of_line, pitfalls
from tests.dialects.golden import clean_chunk
from tracesidecar.dialects import Interpreter
from tracesidecar.dialects.registry import load_dialect
from tracesidecar.encode.canonical import encode_partitioned

POISON = {
    "polymorphic": [{"a": "text"}, {"a": {"b": 1}}, {"a": [1, "2", None]}],
    "case": {"URL": 1, "Url": 2, "url": 3},
    "dots and dollars": {"gen_ai.usage.input_tokens": 5, "$set": {"x": 1}},
    "free keys": {f"tool {n}": n for n in range(500)},
    "large integer": 2**70,
    "newline": "one\ntwo\r\nthree\u2028four",
    "nul": "\x00",
    "empty": "",
}


def interpret(line: bytes) -> list[bytes]:
    """Return the rows of one line of no known dialect."""
    found, _ = Interpreter(load_dialect("generic"), host="host")(
        "/traces/one.jsonl", clean_chunk(line + b"\n"), None
    )
    for _, each in found:
        each.event_time = each.event_time or "2026-09-01T00:00:00.000000Z"
        each.ingest_time = "2026-09-01T00:00:00.000000Z"
    return [encode_partitioned(each, dialect) for dialect, each in found]


def test_a_lake_of_ours_has_none(tmp_path: Path) -> None:
    write(tmp_path, rows(), "json")
    assert list(pitfalls(tmp_path)) == []


@pytest.mark.parametrize("name", POISON)
def test_what_a_trace_may_hold_is_a_string_in_the_row(name: str) -> None:
    line = json.dumps(
        {"timestamp": "2026-09-01T00:00:00Z", name: POISON[name], "type": "message"}
    ).encode()
    assert [problem for row in interpret(line) for problem in of_line(row)] == []


def test_keys_that_a_line_has_twice_are_not_twice_in_the_row() -> None:
    assert [
        problem
        for row in interpret(b'{"type":"a","type":"b","Type":"c"}')
        for problem in of_line(row)
    ] == []


def test_a_row_of_a_huge_line_is_within_the_limit() -> None:
    line = json.dumps(
        {
            "type": "message",
            "role": "user",
            "text": "x" * (8 << 20),
            "more": [{"deep": "y" * (1 << 20)}] * 4,
        }
    ).encode()
    assert [problem for row in interpret(line) for problem in of_line(row)] == []


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (b'{"Model":"x"}', "lower snake case"),
        (b'{"model":"x","model":"y"}', "each key once"),
        (b'{"model":"x"} {"model":"y"}', "each key once"),
        (b'{"input_tokens":"7"}', "another type"),
        (b'{"input_tokens":9007199254740993}', "2^53"),
        (b'{"truncated":1}', "another type"),
        (b'{"cost_usd":NaN}', "each key once"),
        (b'{"dt":"2026-09-01"}', "partition"),
        (b'{"event_time":"2026-09-01 10:00:00"}', "RFC 3339"),
        (b"[]", "not an object"),
        (b'{"raw":"%s"}' % (b"x" * (1 << 20)), "1 MiB"),
    ],
)
def test_the_search_finds_them(wrong: bytes, problem: str) -> None:
    assert any(problem in found for found in of_line(wrong))


def test_the_search_finds_what_does_not_belong_under_the_prefix(tmp_path: Path) -> None:
    [name] = write(tmp_path, [("codex", event(1))], "json")
    (tmp_path / name).rename((tmp_path / name).with_name("_hidden.jsonl.gz"))
    (tmp_path / "v1" / "notes.txt").write_text("x")
    assert len(list(pitfalls(tmp_path))) == 4
    (tmp_path / "v1" / "notes.txt").unlink()
    (tmp_path / name).with_name("_hidden.jsonl.gz").rename(tmp_path / name)
    (tmp_path / name).write_bytes(gzip.compress(b'{"event_id":"x"}'))
    assert list(pitfalls(tmp_path)) == [f"{name}: the last line has no newline"]
