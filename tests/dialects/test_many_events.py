"""One line may hold very many records: what it becomes is bounded."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.dialects.golden import clean_chunk
from tracesidecar.dialects.dialect import MOST_EVENTS
from tracesidecar.dialects.event import Event
from tracesidecar.dialects.interpreter import Interpreter
from tracesidecar.dialects.registry import load_dialect

BLOCKS = b'{"type":"assistant","uuid":"u","sessionId":"s","message":{"content":[%b]}}'
RECORDS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}'


@pytest.mark.parametrize(
    ("dialect", "line", "record"),
    [("otlp", RECORDS, b"{}"), ("claude_code", BLOCKS, b'{"type":"tool_use"}')],
)
def test_a_line_of_too_many_records_becomes_one_event_that_has_it(
    dialect: str, line: bytes, record: bytes
) -> None:
    observed = Counter[str]()
    interpreter = Interpreter(
        load_dialect(dialect), observe=lambda _, name: observed.update([name])
    )

    def interpret(records: int) -> list[Event]:
        chunk = clean_chunk(line % b",".join([record] * records) + b"\n")
        return [each.event for each in interpreter("a.jsonl", chunk, None)[0]]

    assert len(interpret(MOST_EVENTS)) == MOST_EVENTS
    assert not observed["too_many_events"]
    (event,) = interpret(MOST_EVENTS + 1)
    assert (event.event_kind, event.truncated, observed["too_many_events"]) == ("unknown", True, 1)
    assert (event.raw or "").startswith(line[:20].decode())
