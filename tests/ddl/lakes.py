"""Invented events with known totals, and a lake of them on disk, laid out like the daemon's."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tracesidecar.ddl.lake_location import LAKE_ROOTS, LakeFormat
from tracesidecar.dialects import Event
from tracesidecar.encode.canonical import encode_partitioned
from tracesidecar.encode.jsonl import EXTENSIONS, encode_lines
from tracesidecar.encode.parquet import ParquetEncoder
from tracesidecar.model import Compression

Rows = list[tuple[str, Event]]
"""Dialect and event."""


def event(number: int, **given: object) -> Event:
    """Return an event with all required columns."""
    raw = json.dumps(
        {
            "n": number,
            "nested": {"URL": 1, "url": 2},
            "gen_ai.usage.input_tokens": 1,
            "text": "NUL \u0000 and \\u0000, a quote ' and ünïcode 🙂",
        }
    )
    columns: dict[str, object] = {
        "schema_version": 3,
        "event_id": hashlib.sha256(f"event {number}".encode()).hexdigest(),
        "conversation_id": "conversation-1",
        "event_time": f"2026-09-01T10:{number % 60:02}:00.000001Z",
        "event_time_source": "line",
        "ingest_time": "2026-09-03T00:00:00.000000Z",
        "event_kind": "state",
        "source_file": "/traces/one.jsonl",
        "source_line": number + 1,
        "source_offset": number * 100,
        "line_bytes": 100,
        "line_sha256": hashlib.sha256(raw.encode()).hexdigest(),
        "line_state": "ok",
        "redaction_count": 0,
        "redaction_kinds": "",
        "truncated": False,
        "raw": raw,
        "generation": 0,
        "processed_by": "1.0.0+00000000",
    }
    return msgspec.structs.replace(Event(event_kind="state"), **(columns | given))


def call(
    number: int, api_call_id: str | None, input_tokens: int, output_tokens: int, **given: object
) -> Event:
    """Return the usage row of a model call."""
    usage: dict[str, object] = {
        "event_kind": "model_call",
        "usage_scope": "call",
        "model": "model-a",
        "provider_name": "invented",
        "is_subagent": False,
    }
    return event(
        number,
        **(
            usage
            | {
                "api_call_id": api_call_id,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                "cost_usd": output_tokens / 4,
            }
            | given
        ),
    )


def rows() -> Rows:
    """Return events of four calls in one dialect, one in another, and a session with totals only.

    One call is repeated while it streams and in a fork, one has no id, and one has two recorders.
    """
    return [
        ("claude_code", event(0, event_kind="user_message", role="user", text="hello")),
        ("claude_code", call(1, "msg_1", 100, 1)),
        ("claude_code", call(2, "msg_1", 100, 40)),
        (
            "claude_code",
            call(
                3,
                "msg_1",
                100,
                40,
                conversation_id="fork",
                event_time="2026-09-02T08:00:00.000000Z",
            ),
        ),
        ("claude_code", call(4, None, 10, 5)),
        ("claude_code", call(5, "msg_2", 7, 3, is_subagent=True, duration_ms=12.5)),
        ("claude_code", call(6, "msg_3", 1000, 1000, usage_scope="repeat")),
        ("codex", call(7, "msg_1", 20, 2, conversation_id="codex-1")),
        (
            "codex",
            call(8, None, 9999, 9999, conversation_id="codex-1", usage_scope="session_total"),
        ),
        (
            "copilot",
            call(
                9,
                None,
                500,
                50,
                conversation_id="copilot-1",
                usage_scope="session_total",
                event_kind="usage_summary",
            ),
        ),
        (
            "generic",
            event(
                10,
                event_kind="tool_call",
                tool_name="Bash",
                tool_arguments='{"command":"ls"}',
                outcome="success",
                labels='{"team":"a"}',
            ),
        ),
        (
            "claude_code",
            call(11, "msg_4", 30, 6, request_id="req_4", cwd="/srv/orchard", project="orchard"),
        ),
        (
            "otlp",
            call(12, "req_4", 30, 6, request_id="req_4", cost_source="recorded", cost_usd=0.5),
        ),
    ]


CALLS = {("claude_code", 4, 147, 54), ("codex", 1, 20, 2)}
"""(dialect, calls, input tokens, output tokens) that model_calls must give."""
SESSIONS = {("copilot", "copilot-1", 500, 50)}


def write(
    root: Path,
    given: Rows,
    form: LakeFormat,
    name: str = "host-20260903T000000Z-0123456789abcdef",
    compression: Compression = "gzip",
) -> dict[str, bytes]:
    """Write an object for each day and dialect, and return them by name."""
    partitions: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for dialect, row in given:
        partitions[(row.event_time or "")[:10], dialect].append(row)
    written = {}
    for (dt, dialect), events in partitions.items():
        extension, content = (
            (EXTENSIONS[compression], _lines(events, dialect, compression))
            if form == "json"
            else (".parquet", _parquet(events))
        )
        written[f"{LAKE_ROOTS[form]}/dt={dt}/dialect={dialect}/{name}{extension}"] = content
    for path, content in written.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return written


def _lines(events: Iterable[Event], dialect: str, compression: Compression) -> bytes:
    return encode_lines(
        b"".join(encode_partitioned(row, dialect) + b"\n" for row in events), compression
    )


def _parquet(events: Iterable[Event]) -> bytes:
    encoder = ParquetEncoder()
    encoder.add(list(events), "")
    return encoder.finish()


def as_row(dialect: str, given: Event) -> dict[str, object]:
    """Return the row that every engine should give, with times as text."""
    return {
        **msgspec.structs.asdict(given),
        "dt": (given.event_time or "")[:10],
        "dialect": dialect,
    }
