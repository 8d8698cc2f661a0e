"""A model call that two recorders tell stays two rows, and is one call in every total."""

from __future__ import annotations

import json

import duckdb
import pytest

from tests.dialects.golden import clean_chunk
from tests.dialects.mapping import events_of
from tracesidecar.ddl import duckdb_file
from tracesidecar.ddl.statement import ROW
from tracesidecar.dialects.event import Event
from tracesidecar.introspect.usage_totals import UsageTally
from tracesidecar.model import Chunk

SESSION = "7c1e0f52-3b1d-4a57-9d8e-2f6a41c0b9d3"
TRANSCRIPT = {
    "type": "assistant",
    "isSidechain": False,
    "uuid": "0b8f4444-5a11-4c22-8d33-9e44a55b66c7",
    "sessionId": SESSION,
    "timestamp": "2026-11-01T10:00:00.000Z",
    "cwd": "/srv/orchard",
    "requestId": "req_011OrchardAAAA",
    "message": {
        "id": "msg_01OrchardTwice",
        "model": "claude-opus-4-8",
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 200},
    },
}


def attributes(**values: object) -> list[dict[str, object]]:
    return [
        {
            "key": name.replace("__", "."),
            "value": {"intValue": str(value)}
            if isinstance(value, int)
            else {"doubleValue": value}
            if isinstance(value, float)
            else {"stringValue": value},
        }
        for name, value in values.items()
    ]


def log_line() -> dict[str, object]:
    record = {
        "timeUnixNano": "1793527200000000000",
        "eventName": "claude_code.api_request",
        "attributes": attributes(
            session__id=SESSION,
            model="claude-opus-4-8",
            cost_usd=0.25,
            duration_ms=1500,
            input_tokens=10,
            output_tokens=5,
            cache_read_tokens=200,
            request_id="req_011OrchardAAAA",
        ),
    }
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


def span(number: str, parent: str, **values: object) -> dict[str, object]:
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": number * 8,
        "parentSpanId": parent * 8,
        "name": "call",
        "startTimeUnixNano": "1793527200000000000",
        "endTimeUnixNano": "1793527201000000000",
        "attributes": attributes(**values),
    }


OUTER = span(
    "a1",
    "00",
    openinference__span__kind="LLM",
    llm__model_name="gpt-5",
    llm__token_count__prompt=100,
    llm__token_count__completion=9,
)
INNER = span(
    "b2",
    "a1",
    gen_ai__operation__name="chat",
    gen_ai__request__model="gpt-5",
    gen_ai__response__id="chatcmpl-Orchard1",
    gen_ai__usage__input_tokens=100,
    gen_ai__usage__output_tokens=9,
)


def spans(*each: object) -> dict[str, object]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(each)}]}]}


@pytest.mark.parametrize(
    "lines",
    [
        [spans(OUTER, INNER)],
        [spans(INNER, OUTER)],
        [spans(INNER), spans(OUTER)],
        [spans(OUTER), spans(INNER)],
    ],
    ids=["outer first", "inner first", "inner line first", "outer line first"],
)
def test_a_span_and_that_of_the_client_within_it_are_one_call(lines: list[object]) -> None:
    events = events_of("/x/otel.jsonl", lines)
    assert len(events) == 2
    assert len({each.api_call_id for each in events}) == 1
    assert all(each.usage_scope == "call" for each in events)


def test_calls_within_a_span_that_adds_them_up_are_calls() -> None:
    other = span(
        "c3",
        "a1",
        gen_ai__operation__name="chat",
        gen_ai__usage__input_tokens=30,
        gen_ai__usage__output_tokens=1,
    )
    events = events_of("/x/otel.jsonl", [spans(other, OUTER)])
    assert len({each.api_call_id for each in events}) == 2


def sum_up(files: dict[str, object]) -> UsageTally:
    tally = UsageTally()
    for name, line in files.items():
        data = json.dumps(line).encode() + b"\n"
        clean = clean_chunk(data)
        tally.begin(name)
        tally.take(name, _chunk(data), clean)
    return tally


def _chunk(data: bytes) -> Chunk:
    clean = clean_chunk(data)
    return Chunk(clean.segment, clean.start, clean.end, data, clean.next)


@pytest.mark.parametrize("order", [("t", "o"), ("o", "t")])
def test_a_scan_counts_a_call_of_two_recorders_once(order: tuple[str, str]) -> None:
    lines = {"t": TRANSCRIPT, "o": log_line()}
    sums = sum_up({f"/x/{each}.jsonl": lines[each] for each in order}).sums()
    assert sum(each.calls for each in sums.values()) == 1
    assert sum(each.output_tokens for each in sums.values()) == 5


def test_the_view_has_one_call_with_what_both_recorders_know() -> None:
    transcript, recorded = (
        events_of(path, [line])[0]
        for path, line in (
            (f"/home/wren/.claude/projects/-x/{SESSION}.jsonl", TRANSCRIPT),
            ("/x/otel.jsonl", log_line()),
        )
    )
    with duckdb.connect() as connection:
        for statement in duckdb_file.statements():
            connection.execute(statement.text)
        for dialect, event in (("claude_code", transcript), ("otlp", recorded)):
            names = [column.name for column in ROW]
            values = [_value(event, dialect, name) for name in names]
            connection.execute(
                f"INSERT INTO events ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                values,
            )
        found = connection.execute(
            "SELECT request_id, output_tokens, cost_usd, cost_source, duration_ms, cwd, project "
            "FROM model_calls"
        ).fetchall()
    assert found == [("req_011OrchardAAAA", 5, 0.25, "recorded", 1500.0, "/srv/orchard", "orchard")]


def _value(event: Event, dialect: str, name: str) -> object:
    if name == "dialect":
        return dialect
    if name == "dt":
        return (event.event_time or "")[:10]
    return getattr(event, name)
