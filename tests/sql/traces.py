"""Invented conversations, as events and as the records of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from tracesidecar.dialects import Event
from tracesidecar.encode.canonical import encode
from tracesidecar.model import Batch, Record


def event(
    number: int, kind: str, seconds: float, *, day: str = "2026-09-01", **given: object
) -> Event:
    """Make an event this many seconds after ten o'clock."""
    minutes, rest = divmod(seconds, 60)
    columns: dict[str, object] = {
        "schema_version": 3,
        "event_id": hashlib.sha256(f"event {number}".encode()).hexdigest()[:32],
        "conversation_id": "conversation-1",
        "event_time": f"{day}T10:{int(minutes):02}:{rest:09.6f}Z",
        "event_time_source": "line",
        "ingest_time": "2026-09-03T00:00:00.000000Z",
        "event_kind": kind,
        "source_file": "/traces/one.jsonl",
        "source_offset": number * 100,
        "agent_name": "invented",
        "generation": 0,
        "processed_by": "1.0.0+00000000",
    }
    return msgspec.structs.replace(Event(event_kind="state"), **(columns | given))


def conversation() -> list[Event]:
    """Two turns of the main agent, one of an agent that it started; bookkeeping before, between and
    after.
    """
    usage = {"usage_scope": "call", "model": "model-a"}
    return [
        event(0, "session_start", 0, cwd="/home/someone/project"),
        event(1, "user_message", 1, text="list the files"),
        event(2, "model_call", 2, api_call_id="call-1", input_tokens=100, output_tokens=1, **usage),
        event(
            3, "model_call", 3, api_call_id="call-1", input_tokens=100, output_tokens=20, **usage
        ),
        event(4, "tool_call", 3, tool_call_id="tool-1", tool_name="Bash"),
        event(
            5,
            "tool_result",
            4.5,
            tool_call_id="tool-1",
            tool_name="Bash",
            outcome="failure",
            error_message="no such folder",
        ),
        event(
            6,
            "model_call",
            6,
            api_call_id="call-2",
            input_tokens=130,
            output_tokens=10,
            cwd="/home/someone/project",
            **usage,
        ),
        event(7, "state", 50),
        event(8, "user_message", 60, text="and the hidden ones"),
        event(
            9, "user_message", 61, agent_id="helper", is_subagent=True, text="look for hidden files"
        ),
        event(
            10,
            "model_call",
            62,
            agent_id="helper",
            is_subagent=True,
            api_call_id="call-3",
            input_tokens=5,
            output_tokens=6,
            **usage,
        ),
        event(
            11,
            "error",
            64,
            outcome="failure",
            error_type="api_timeout",
            error_message="the model did not answer",
        ),
        event(12, "session_end", 90),
    ]


def batch(events: Iterable[Event], dialect: str = "claude_code", batch_id: str = "b1") -> Batch:
    """Make the batch of these events."""
    records = tuple(record(each, dialect) for each in events)
    return Batch(
        id=batch_id,
        time=1_790_000_000,
        objects=(),
        manifest=None,
        lines=len(records),
        size_bytes=sum(len(each.body) for each in records),
        fingerprint="test",
        records=records,
    )


def record(each: Event, dialect: str = "claude_code") -> Record:
    """Encode one event as the pipeline does."""
    body = encode(each, dialect)
    return Record(
        body,
        each.event_id or "",
        dialect,
        each.conversation_id or "",
        each.source_file or "",
        each.event_time or "",
        each.event_kind,
        None,
        None,
        line_sha256=each.line_sha256 or "",
        processed_by=each.processed_by or "",
    )
